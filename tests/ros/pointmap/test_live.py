"""Live pointmaps: what the node publishes is what the core computes for the joints and transforms of that stamp."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import String

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.resources import resolve
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.conversions import camera_from_message
from k4d_kinematics.urdf import read_description

from .conftest import FRONT, IMAGES, LATCHED, PANDA, START_NS, T_BASE_FRONT, T_HAND_WRIST, WRIST, Graph, joint_state

STEP_NS = 20_000_000


def expected(panda: ConfiguredRobot, camera: Camera, T_base_cam: np.ndarray, positions: np.ndarray):
    T_cam_link = se3.inverse(T_base_cam) @ panda.robot.forward_kinematics(positions)
    return Renderer(panda.surface, camera, RenderSettings(rgb=True)).render(T_cam_link)


def pixels(message, dtype: type, channels: int) -> np.ndarray:
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, channels)


def test_topics_hold_what_the_core_renders(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start()
    received = {topic: graph.receive(kind, f"front/robot/{topic}") for topic, kind in IMAGES.items()}
    graph.ready(panda.home)
    graph.until(lambda: all(topic.messages for topic in received.values()), "one message of each topic")
    first = {topic: entry.messages[0] for topic, entry in received.items()}
    image = expected(panda, FRONT, T_BASE_FRONT, panda.home)

    assert {message.header.frame_id for message in first.values()} == {"front_optical"}
    assert {stamp for entry in received.values() for stamp in entry.stamps_ns()} == {START_NS}
    assert (first["pointmap"].encoding, first["mask"].encoding, first["preview"].encoding) == ("32FC3", "mono8", "rgb8")
    np.testing.assert_array_equal(pixels(first["pointmap"], np.float32, 3), image.points_cam)
    np.testing.assert_array_equal(pixels(first["mask"], np.uint8, 1)[..., 0], np.where(image.mask, 255, 0))
    np.testing.assert_array_equal(pixels(first["preview"], np.uint8, 3), image.rgb)
    assert image.mask.sum() > 400
    cloud = first["points"]
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (62, 94, 12, 94 * 12)
    assert [(part.name, part.offset) for part in cloud.fields] == [("x", 0), ("y", 4), ("z", 8)]
    assert not cloud.is_dense
    np.testing.assert_array_equal(pixels(cloud, np.float32, 3), image.points_cam)
    assert camera_from_message(first["camera_info"]) == FRONT


def test_a_camera_on_the_hand_is_placed_by_tf_at_the_stamp_of_the_image(
    start: Callable[..., Graph], panda: ConfiguredRobot
) -> None:
    graph = start(max_rate_hz=0.0)
    pointmaps = graph.receive(IMAGES["pointmap"], "wrist/robot/pointmap")
    graph.ready(panda.home)
    graph.until(lambda: pointmaps.messages, "the first pointmap")
    moved = panda.home + 0.1
    moved[-1] = 0.02
    halfway_ns = START_NS + STEP_NS // 2
    graph.look(WRIST, "wrist", halfway_ns)
    graph.spin_for(0.1)
    assert pointmaps.stamps_ns() == [START_NS], "published before the joints of that stamp were known"
    graph.move(moved, START_NS + STEP_NS)
    graph.until(lambda: len(pointmaps.messages) == 2, "the pointmap between two joint states")
    assert pointmaps.stamps_ns()[1] == halfway_ns

    hand = panda.robot.link_index("panda_hand")
    ends = [panda.robot.forward_kinematics(q)[hand] for q in (panda.home, moved)]
    T_base_cam = se3.interpolate(*ends, 0.5) @ T_HAND_WRIST
    image = expected(panda, WRIST, T_base_cam, (panda.home + moved) / 2)
    shown = pixels(pointmaps.messages[1], np.float32, 3)
    both = image.mask & np.isfinite(shown[..., 2])
    assert both.sum() > 100
    assert both.sum() / (image.mask | np.isfinite(shown[..., 2])).sum() > 0.99
    np.testing.assert_allclose(shown[both], image.points_cam[both], atol=2e-4)


def test_joint_states_trigger_at_the_capped_rate(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(trigger="joint_states", max_rate_hz=25.0)
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.ready(panda.home)
    for index in range(1, 21):
        graph.move(panda.home + 0.01 * index, START_NS + index * STEP_NS)  # 50 Hz
        graph.spin_for(0.02)
    graph.until(lambda: START_NS + 20 * STEP_NS in pointmaps.stamps_ns(), "the last pointmap")
    assert pointmaps.stamps_ns() == [
        START_NS + index * STEP_NS for index in range(2, 21, 2)
    ] or pointmaps.stamps_ns() == [START_NS + index * STEP_NS for index in range(0, 21, 2)]


def test_nothing_is_rendered_for_nobody(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start()
    graph.ready(panda.home)
    graph.spin_for(0.2)
    assert all(not output._renderers for output in graph.node.outputs)
    graph.receive(IMAGES["mask"], "front/robot/mask")
    graph.move(panda.home, START_NS + STEP_NS)
    graph.look(FRONT, "front", START_NS + STEP_NS)
    graph.look(WRIST, "wrist", START_NS + STEP_NS)
    graph.until(lambda: graph.node.outputs[0]._renderers, "the asked camera to be rendered")
    assert not graph.node.outputs[1]._renderers
    assert set(graph.node.outputs[0]._renderers) == {False}, "colour was rendered though nobody asked for it"


def test_the_robot_may_come_by_topic(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(robot="")
    assert graph.status("robot").level != b"\x00"
    graph.publish("robot_description", String(data="<robot name='broken'"), LATCHED)
    graph.until(lambda: graph.status("robot").level == b"\x02", "the broken description to be reported")
    text = read_description(resolve("package://example-robot-data/robots/panda_description/urdf/panda.urdf", None, ()))
    graph.publish("robot_description", String(data=text), LATCHED)
    graph.until(lambda: graph.node.live, "the description")
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.ready(panda.home)
    graph.until(lambda: pointmaps.messages, "a pointmap")
    image = expected(panda, FRONT, T_BASE_FRONT, panda.home)
    np.testing.assert_array_equal(pixels(pointmaps.messages[0], np.float32, 3), image.points_cam)


def test_a_new_description_is_rendered_from_then_on(start: Callable[..., Graph], panda: ConfiguredRobot) -> None:
    graph = start(robot="")
    ball = """<robot name="ball"><link name="panda_link0"><visual><origin xyz="0.2 0 0.4"/>
      <geometry><sphere radius="{radius}"/></geometry></visual></link></robot>"""
    pointmaps = graph.receive(IMAGES["pointmap"], "front/robot/pointmap")
    graph.place_cameras()
    areas = []
    for index, radius in enumerate((0.1, 0.2)):
        graph.publish("robot_description", String(data=ball.format(radius=radius)), LATCHED)
        stamp_ns = START_NS + index * 10 * STEP_NS
        graph.until(lambda: graph.node.live and not len(graph.node.live.joints), "the description")
        graph.publish("joint_states", joint_state((), np.zeros(0), stamp_ns), 100)
        graph.look(FRONT, "front", stamp_ns)
        graph.until(lambda index=index: len(pointmaps.messages) == index + 1, "a pointmap")
        areas.append(np.isfinite(pixels(pointmaps.messages[-1], np.float32, 3)[..., 0]).sum())
        timers = len(list(graph.node.timers))
        graph.publish("robot_description", String(data=ball.format(radius=radius)), LATCHED)
        graph.spin_for(0.1)
        assert len(graph.node.live.joints) == 1, "the same description again changed something"
        assert len(list(graph.node.timers)) == timers == 3, "timers of the robot before were kept"
    assert areas[1] == pytest.approx(4 * areas[0], rel=0.15)


def test_parameters_are_checked(start: Callable[..., Graph], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'cameras'"):
        start(camera="front")
    rclpy.try_shutdown()
    with pytest.raises(ValueError, match="joint_states, camera_info"):
        start(trigger="sometimes")
    rclpy.try_shutdown()
    for names in ("[]", "[my cam]", "[a, a]"):
        with pytest.raises(ConfigurationError, match="cameras"):
            start(cameras=names)
        rclpy.try_shutdown()
    for value, reason in (("5", "DOUBLE"), ("-5.0", "out of range")):
        with pytest.raises(ConfigurationError, match=reason):
            start(max_rate_hz=value)
        rclpy.try_shutdown()
    bad = tmp_path / "robot.yaml"
    bad.write_text(PANDA.read_text().replace("urdf:", "urfd:"))
    with pytest.raises(ValueError, match="unknown key 'urfd'; did you mean 'urdf'"):
        start(robot=str(bad))


def test_parameters_describe_themselves(start: Callable[..., Graph]) -> None:
    node = start().node
    for name in ("max_rate_hz", "plan_frames", "cameras"):
        descriptor = node.describe_parameter(name)
        assert descriptor.description
        assert descriptor.read_only
    (limits,) = node.describe_parameter("max_rate_hz").floating_point_range
    assert (limits.from_value, limits.to_value) == (0.0, 1000.0)
    (limits,) = node.describe_parameter("plan_frames").integer_range
    assert (limits.from_value, limits.to_value) == (2, 10_000)


def test_the_quality_of_service_can_be_overridden(start: Callable[..., Graph]) -> None:
    graph = start(**{"qos_overrides./front/robot/pointmap.publisher.reliability": "best_effort"})
    qualities = {publisher.topic_name: publisher.qos_profile.reliability for publisher in graph.node.publishers}
    assert qualities["/front/robot/pointmap"] == ReliabilityPolicy.BEST_EFFORT
    assert qualities["/front/robot/mask"] == ReliabilityPolicy.RELIABLE
