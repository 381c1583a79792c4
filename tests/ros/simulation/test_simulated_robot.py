"""The simulated robot's node: what it publishes, how it follows and refuses commands, its services and parameters."""

import math
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from trajectory_msgs.msg import JointTrajectory

from k4d_kinematics import KinematicsError, Renderer, se3
from k4d_kinematics.ros.conversions import camera_from_message, transform_from_message
from k4d_simulation.errors import SimulationError
from k4d_simulation.ros.simulated_robot_node import SimulatedRobotNode

from .conftest import HEIGHT, WIDTH, Graph, arguments, trajectory

ARM = [f"panda_joint{k}" for k in range(1, 8)]
BASE, OPTICAL = "panda_link0", "front_camera_optical_frame"


def lookup(graph: Graph, target: str, source: str) -> np.ndarray:
    now = rclpy.time.Time()
    graph.until(lambda: graph.transforms.can_transform(target, source, now), f"a transform {target} <- {source}")
    return transform_from_message(graph.transforms.lookup_transform(target, source, now).transform)


def images(graph: Graph) -> list[int]:
    """Stamps of images that have come with depth and calibration."""
    topics = ("front/image_raw", "front/depth", "front/camera_info", "joint_states")
    return sorted(set.intersection(*(set(graph.by_stamp(topic)) for topic in topics)))


def test_joints_images_and_labels_are_published(graph: Graph) -> None:
    graph.until(lambda: len(images(graph)) >= 3, "three images")
    stamp_ns = images(graph)[-1]
    image, depth = graph.by_stamp("front/image_raw")[stamp_ns], graph.by_stamp("front/depth")[stamp_ns]
    camera = camera_from_message(graph.by_stamp("front/camera_info")[stamp_ns])
    state = graph.by_stamp("joint_states")[stamp_ns]
    assert (image.encoding, image.height, image.width, image.step) == ("rgb8", HEIGHT, WIDTH, 3 * WIDTH)
    assert (depth.encoding, depth.height, depth.width, depth.step) == ("32FC1", HEIGHT, WIDTH, 4 * WIDTH)
    assert {image.header.frame_id, depth.header.frame_id, camera.frame_id} == {OPTICAL}
    assert np.ptp(np.frombuffer(image.data, np.uint8)) > 100, "the image shows nothing"
    assert 0.2 < np.nanmin(np.frombuffer(depth.data, np.float32)) < 2.0
    assert list(state.name) == [*ARM, "panda_finger_joint1"]
    assert len(state.position) == len(state.velocity) == 8
    graph.until(lambda: graph.received["success"] and graph.received["seed"], "success and seed")
    assert not graph.received["success"][0].data
    assert graph.received["seed"][0].data == 3
    for name in ("joint_trajectory", "physics", "images"):
        assert graph.status(name).level == DiagnosticStatus.OK


def test_depth_and_joints_of_one_stamp_show_one_robot(graph: Graph) -> None:
    """Also while it moves: the kinematics half's pointmap of the joint state lies on the depth image."""
    start = list(graph.joints().position[:7])
    goal = [q + d for q, d in zip(start, (0.3, 0.2, -0.2, 0.2, 0.3, 0.3, 0.8), strict=True)]
    before = len(images(graph))
    graph.command(trajectory(ARM, [goal, start], [1.0, 2.0]))
    graph.run_for(2.2)
    graph.until(lambda: len(images(graph)) >= before + 5, "images of the motion")
    T_cam_base = lookup(graph, OPTICAL, BASE)
    robot = graph.node.live.scene.robot
    states, depths = graph.by_stamp("joint_states"), graph.by_stamp("front/depth")
    renderer = Renderer(robot.surface, camera_from_message(graph.received["front/camera_info"][-1]))
    speeds = []
    for stamp_ns in images(graph)[before:]:
        positions = robot.robot.order_positions(states[stamp_ns].name, states[stamp_ns].position)
        seen = renderer.render(T_cam_base @ robot.robot.forward_kinematics(positions))
        depth = np.frombuffer(depths[stamp_ns].data, np.float32).reshape(HEIGHT, WIDTH)
        difference = np.abs(depth - seen.points_cam[..., 2])[seen.mask]
        assert len(difference) > 200
        assert np.median(difference) < 2e-5
        assert np.percentile(difference, 95) < 1e-3
        speeds.append(np.abs(states[stamp_ns].velocity).max())
    assert max(speeds) > 0.1, "nothing moved"


def test_the_camera_stands_where_tf_says(graph: Graph) -> None:
    scene = graph.node.live.scene
    np.testing.assert_allclose(lookup(graph, "world", OPTICAL), scene.T_world_cam, atol=1e-9)
    np.testing.assert_allclose(lookup(graph, BASE, "world"), se3.inverse(scene.T_world_base), atol=1e-9)


def test_a_trajectory_leads_the_joints_it_names_to_its_goal(graph: Graph) -> None:
    graph.call("reset")
    start = graph.joints()
    goal = [q + d for q, d in zip(start.position[:7], (0.3, -0.2, 0.2, -0.3, 0.2, 0.2, -0.4), strict=True)]
    status = graph.command(trajectory(ARM[::-1], [goal[::-1]], [0.8]))
    assert (status.level, status.message) == (DiagnosticStatus.OK, "following 1 points")
    graph.run_for(1.4)
    np.testing.assert_allclose(graph.joints().position[:7], goal, atol=3e-3)
    assert graph.joints().position[7] == pytest.approx(start.position[7], abs=1e-4)


def test_a_new_trajectory_replaces_the_old_and_an_empty_one_stops(graph: Graph) -> None:
    graph.call("reset")
    start = graph.joints().position[0]
    graph.command(trajectory(["panda_joint1"], [[start + 2.0]], [8.0]))
    graph.run_for(0.5)
    graph.command(trajectory(["panda_joint1"], [[start - 1.0]], [8.0]))
    graph.run_for(1.0)
    assert graph.joints().velocity[0] < -0.05
    assert graph.command(JointTrajectory()).message == "stopped"
    graph.run_for(0.5)
    here = graph.joints().position[0]
    graph.run_for(0.5)
    assert graph.joints().position[0] == pytest.approx(here, abs=1e-3)
    assert start - 0.9 < here


def test_a_stamp_says_when_a_trajectory_starts(graph: Graph) -> None:
    graph.call("reset")
    start = graph.joints().position[0]
    soon_ns = graph.node.live.stamp_ns + 10**9
    graph.command(trajectory(["panda_joint1"], [[start], [start + 0.3]], [0.0, 0.5], soon_ns))
    states = graph.received["joint_states"]
    graph.until(lambda: abs(states[-1].position[0] - start - 0.3) < 3e-3, "the trajectory to end")
    graph.run_for(0.5)
    by_stamp = graph.by_stamp("joint_states")
    early = [state.position[0] for stamp_ns, state in by_stamp.items() if soon_ns - 9 * 10**8 < stamp_ns < soon_ns]
    np.testing.assert_allclose(early, start, atol=1e-3)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (trajectory(["elbow"], [[0.1]], [1.0]), "unknown joints elbow; valid are panda_joint1"),
        (trajectory(["panda_joint1"], [[3.5]], [1.0]), "panda_joint1 must stay within"),
        (trajectory(["panda_joint1"], [[0.1], [0.2]], [1.0, 1.0]), "times must increase strictly"),
        (trajectory(["panda_joint1"], [[0.1]], [-1.0]), "times_from_start must be >= 0"),
        (trajectory(["panda_joint1"], [[math.nan]], [1.0]), "positions must be finite"),
        (trajectory(["panda_joint1"], [[0.1]], [1.0], velocities=[math.inf]), "velocities must be finite"),
        (trajectory(["panda_joint1"], [[0.1, 0.2]], [1.0]), "positions must have shape"),
        (trajectory(["panda_joint1", "panda_joint1"], [[0.1, 0.1]], [1.0]), "unique"),
        (trajectory(["panda_joint1"], [[0.1]], [1.0], stamp_ns=10**9), "must end in the future"),
        (trajectory(["panda_joint1"], [[0.1]], [1.0], effort=[2.0]), "no effort"),
        (trajectory([], [[]], [1.0]), "must name joints; valid are panda_joint1"),
    ],
    ids=lambda value: "" if isinstance(value, JointTrajectory) else value[:20],
)
def test_a_wrong_command_is_reported_and_the_robot_holds_still(
    graph: Graph, message: JointTrajectory, reason: str
) -> None:
    before = graph.joints().position
    graph.node.diagnostics.publish()  # what is under way when the command comes must not be taken for its answer
    status = graph.command(message)
    assert status.level == DiagnosticStatus.ERROR
    assert reason in status.message
    graph.run_for(0.2)
    np.testing.assert_allclose(graph.joints().position, before, atol=2e-3)


def test_a_command_beyond_all_numbers_ends_without_the_node(graph: Graph) -> None:
    conditions = graph.node.diagnostics._conditions
    for speed in (1e308, -1e308):
        before = sum(condition.errors for condition in conditions.values())
        graph.command(trajectory(["panda_joint1"], [[0.1]], [1.0], velocities=[speed]))
        graph.run_for(0.3)
        assert sum(condition.errors for condition in conditions.values()) > before
    assert np.isfinite(graph.joints().position).all()


def test_the_expert_succeeds_and_a_reset_takes_it_back(graph: Graph) -> None:
    graph.call("reset")
    graph.run_for(0.1)
    start = graph.joints().position
    answer = graph.call("run_expert")
    assert answer.success
    assert "reach" in answer.message
    graph.until(lambda: graph.received["success"][-1].data, "success")
    graph.run_for(1.0)
    assert np.abs(np.subtract(graph.joints().position, start)).max() > 0.1
    assert graph.call("reset").success
    graph.until(lambda: not graph.received["success"][-1].data, "success to be taken back")
    np.testing.assert_allclose(graph.joints().position, start, atol=2e-3)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"robot": "''"}, "robot must be the path of a YAML"),
        ({"scene": "nowhere.yaml"}, "nowhere.yaml"),
        ({"task": "juggle"}, "cannot do task 'juggle'; it can do pick_place, push, reach"),
        ({"meshes": "coarser"}, "meshes must be one of full, reduced, coarse"),
        ({"samples": 3}, "samples must be one of 0, 2, 4, 8, 16"),
        ({"camera": "9 eyes"}, "camera must be a name"),
        ({"use_sim_time": True}, "use_sim_time must be false"),
        ({"image_rate": 5.0}, "did you mean 'image_rate_hz'"),
        ({"height": 0}, "height"),
        # Physics catch up with 0.25 s at most: at 2 Hz the scene would run at half the clock's speed.
        ({"joint_rate_hz": 2.0}, "joint_rate_hz"),
    ],
)
def test_wrong_parameters_are_named(surfaces: Path, parameters: dict[str, object], reason: str) -> None:
    context = rclpy.Context()
    context.init(args=["--ros-args", *arguments(surfaces, **parameters)])
    try:
        with pytest.raises((KinematicsError, SimulationError), match=reason.replace("?", r"\?")):
            SimulatedRobotNode(context=context)
    finally:
        context.shutdown()
