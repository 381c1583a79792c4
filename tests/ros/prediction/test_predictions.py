"""The prediction node on good inputs: what it tells a model, what it publishes, how goals and plans compete."""

import json

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from k4d_msgs.msg import Rollout
from tf2_ros import StaticTransformBroadcaster

from k4d_kinematics import se3
from k4d_kinematics.ros.conversions import (
    camera_from_message,
    nanoseconds,
    seconds,
    transform_from_message,
    transform_message,
)
from k4d_world_model.fitting import fitted
from k4d_world_model.ros.rollout_messages import rollout_from_messages

from .conftest import START_NS, T_BASE_CAM, TIMES, Inputs
from .fake_model import COUNT, MODEL_SHAPE, FakeModel, Gate

SIZE = MODEL_SHAPE[1:]


def pixels(message, dtype, channels):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, channels)


def test_a_goal_brings_summary_frames_and_standard_topics(start) -> None:
    model = FakeModel()
    graph = start(model)
    inputs = Inputs()
    graph.show(inputs)
    status, result = graph.predict(seed=7)
    assert status == GoalStatus.STATUS_SUCCEEDED
    summary = result.rollout
    assert (summary.error_code, summary.error_string) == (Rollout.NONE, "")
    assert (summary.camera, summary.pointmap_sequence_id, summary.seed) == ("front", "plan", 7)
    assert (summary.frame_count, summary.height, summary.width) == MODEL_SHAPE
    assert (summary.weights_sha256, summary.robot_sha256) == ("ab" * 32, "cd" * 32)
    assert (summary.metric, summary.metric_residual) == (True, 0.004)
    assert [seconds(moment) for moment in summary.time_from_start] == TIMES.tolist()
    assert nanoseconds(summary.header.stamp) == START_NS
    assert summary.header.frame_id == "front_optical"
    provenance = {item.key: json.loads(item.value) for item in summary.provenance}
    assert provenance["provenance"]["versions"] == [["numpy", np.__version__]]
    np.testing.assert_allclose(provenance["T_cam_base"][2], se3.inverse(T_BASE_CAM), atol=1e-9)
    for topic in ("predicted/frames", "predicted/image", "predicted/points", "predicted/camera_info"):
        graph.until(lambda topic=topic: len(graph.received[topic]) == COUNT, topic)
    assert graph.received["predicted/rollout"] == [summary]

    rollout = rollout_from_messages(summary, graph.received["predicted/frames"])
    np.testing.assert_array_equal(rollout.rgb[3], model.conditionings[0].first_frame // 4)
    np.testing.assert_array_equal(rollout.valid, np.isfinite(rollout.points[..., 0]))
    np.testing.assert_allclose(rollout.joints.positions[:, 0], 0.1 * np.arange(COUNT))
    for index, frame in enumerate(graph.received["predicted/frames"]):
        assert (frame.index, frame.sequence_id, frame.base_frame_id) == (index, result.sequence_id, "base")
        assert frame.header == summary.header
        assert seconds(frame.time_from_start) == TIMES[index]
        np.testing.assert_allclose(transform_from_message(frame.t_base_cam), T_BASE_CAM, atol=1e-9)

    topics = [graph.received[f"predicted/{name}"] for name in ("image", "points", "camera_info")]
    for index, (image, cloud, info) in enumerate(zip(*topics, strict=True)):
        moment_ns = START_NS + round(TIMES[index] * 1e9)
        assert {nanoseconds(message.header.stamp) for message in (image, cloud, info)} == {moment_ns}
        assert {message.header.frame_id for message in (image, cloud, info)} == {"front_optical"}
        np.testing.assert_array_equal(pixels(image, np.uint8, 3), rollout.rgb[index])
        np.testing.assert_array_equal(pixels(cloud, np.float32, 4)[..., :3], rollout.points[index])
        assert camera_from_message(info) == rollout.camera


def test_the_model_is_told_what_was_published(start) -> None:
    model = FakeModel()
    graph = start(model)
    inputs = Inputs()
    graph.show(inputs)
    graph.predict(seed=3)
    (told,) = model.conditionings
    assert model.seeds == [3]
    assert told.robot_sha256 == "cd" * 32
    np.testing.assert_array_equal(told.times, TIMES)
    # Twice as many pixels along each side: the model's are averages of four, or the lower right one of the four.
    expected = inputs.rgb.reshape(6, 2, 9, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(told.first_frame - expected).max() <= 0.5
    np.testing.assert_array_equal(told.robot_mask, inputs.mask[:, 1::2, 1::2])
    np.testing.assert_array_equal(told.robot_rgb, inputs.robot_rgb[:, 1::2, 1::2])
    np.testing.assert_allclose(told.first_points[..., 2], inputs.depth_m[1::2, 1::2])
    np.testing.assert_allclose(told.T_cam_base, np.broadcast_to(se3.inverse(T_BASE_CAM), (COUNT, 4, 4)), atol=1e-9)


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "mono8"])
def test_pictures_may_be_encoded_otherwise_and_depth_in_millimetres(start, encoding: str) -> None:
    model = FakeModel()
    graph = start(model)
    inputs = Inputs()
    rgb = {
        "bgr8": inputs.rgb[..., ::-1],
        "rgba8": np.dstack([inputs.rgb, inputs.rgb[..., 0]]),
        "mono8": inputs.rgb[..., 1],
    }
    inputs.image = inputs.bridge.cv2_to_imgmsg(np.ascontiguousarray(rgb[encoding]), encoding, header=inputs.header)
    millimetres = np.round(inputs.depth_m * 1000).astype(np.uint16)
    millimetres[5, 7] = 0
    inputs.depth = inputs.bridge.cv2_to_imgmsg(millimetres, "16UC1", header=inputs.header)
    graph.show(inputs)
    graph.predict()
    expected = inputs.rgb if encoding != "mono8" else np.dstack([inputs.rgb[..., 1]] * 3)
    averages = expected.reshape(6, 2, 9, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(model.conditionings[0].first_frame - averages).max() <= 0.5
    depth = model.conditionings[0].first_points[..., 2]
    assert np.isnan(depth[2, 3])
    depth[2, 3] = inputs.depth_m[5, 7]
    np.testing.assert_allclose(depth, inputs.depth_m[1::2, 1::2], atol=5.1e-4)


def test_feedback_counts_steps_and_estimates_the_rest(start) -> None:
    graph = start(FakeModel())
    graph.show(Inputs())
    _, result = graph.predict(steps=6)
    graph.until(lambda: len(graph.feedback) == 6, "feedback")
    assert [(message.step, message.total) for message in graph.feedback] == [(step, 6) for step in range(1, 7)]
    assert seconds(graph.feedback[-1].time_remaining) == 0.0
    assert seconds(graph.feedback[0].time_remaining) > 0.0
    assert result.rollout.error_code == Rollout.NONE


def test_points_can_be_in_any_frame_that_tf_knows(start) -> None:
    model = FakeModel()
    graph = start(model, points_frame="table")
    T_table_base = se3.from_xyz_rpy((0.4, -0.2, 0.1), (0.3, 0.1, -0.5))
    placed = StaticTransformBroadcaster(graph.driver)
    message = TransformStamped(child_frame_id="base", transform=transform_message(T_table_base))
    message.header.frame_id = "table"
    placed.sendTransform(message)
    graph.until(lambda: _knows(graph, "table", "base"), "the transform")
    graph.show(Inputs())
    graph.predict()
    graph.until(lambda: len(graph.received["predicted/points"]) == COUNT, "points")
    graph.until(lambda: len(graph.received["predicted/frames"]) == COUNT, "frames")
    cloud = graph.received["predicted/points"][2]
    points_cam = pixels(graph.received["predicted/frames"][2].pointmap, np.float32, 3)
    assert cloud.header.frame_id == "table"
    expected = se3.transform_points(T_table_base @ T_BASE_CAM, points_cam.reshape(-1, 3)).reshape(*SIZE, 3)
    np.testing.assert_allclose(pixels(cloud, np.float32, 4)[..., :3], expected, atol=1e-5)


def test_without_that_transform_there_are_no_points_and_everything_else(start) -> None:
    graph = start(FakeModel(), points_frame="nowhere")
    graph.show(Inputs())
    status, _ = graph.predict()
    assert status == GoalStatus.STATUS_SUCCEEDED
    graph.until(lambda: len(graph.received["predicted/image"]) == COUNT, "images")
    assert not graph.received["predicted/points"]
    reported = graph.status("front/predicted/points")
    assert reported.level == DiagnosticStatus.ERROR
    assert "nowhere" in reported.message


def test_each_new_plan_is_predicted_and_the_newest_wins(start) -> None:
    gate = Gate(1)
    model = FakeModel(gate)
    graph = start(model, predict_automatically=True, seed=11)
    graph.show(Inputs("first"))
    graph.until(gate.reached.is_set, "the first prediction")
    graph.show(Inputs("second", START_NS + 10**9))
    graph.show(Inputs("third", START_NS + 2 * 10**9))
    gate.opened.set()
    told = graph.received["predicted/rollout"]
    graph.until(lambda: len(told) >= 3, "three summaries")
    assert [(summary.pointmap_sequence_id, summary.error_code) for summary in told] == [
        ("first", Rollout.CANCELED),
        ("second", Rollout.CANCELED),
        ("third", Rollout.NONE),
    ]
    assert model.seeds == [11, 11]
    graph.until(lambda: len(graph.received["predicted/frames"]) == COUNT, "frames of the third")
    assert {frame.sequence_id for frame in graph.received["predicted/frames"]} == {told[-1].sequence_id}


def test_a_goal_ends_an_automatic_prediction_and_is_not_ended_by_one(start) -> None:
    gate = Gate(1)
    graph = start(FakeModel(gate), predict_automatically=True)
    graph.show(Inputs("first"))
    graph.until(gate.reached.is_set, "the automatic prediction")
    goal = graph.send()
    graph.show(Inputs("second", START_NS + 10**9))
    gate.opened.set()
    status, result = graph.result(goal)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.rollout.pointmap_sequence_id == "first"
    told = graph.received["predicted/rollout"]
    graph.until(lambda: len(told) >= 3, "three summaries")
    assert [summary.error_code for summary in told] == [Rollout.CANCELED, Rollout.NONE, Rollout.NONE]
    assert told[2].pointmap_sequence_id == "second"


def test_the_lifecycle_loads_readies_and_frees(start) -> None:
    model = FakeModel()
    graph = start(model, autostart=False)
    assert graph.state() == "unconfigured"
    assert graph.predict()[1].rollout.error_code == Rollout.MODEL_UNAVAILABLE
    assert graph.change("configure")
    assert graph.status("model").level == DiagnosticStatus.OK
    status, result = graph.predict()
    assert status == GoalStatus.STATUS_ABORTED
    assert "not active" in result.rollout.error_string
    assert graph.change("activate")
    graph.show(Inputs())
    assert graph.predict()[0] == GoalStatus.STATUS_SUCCEEDED
    assert graph.change("deactivate")
    assert not graph.node._inputs
    assert not model.is_closed
    assert graph.change("activate")
    assert "must have been received" in graph.predict()[1].rollout.error_string
    assert graph.change("deactivate")
    assert graph.change("cleanup")
    assert model.is_closed
    assert graph.state() == "unconfigured"


def test_deactivation_ends_a_running_prediction(start) -> None:
    gate = Gate(2)
    graph = start(FakeModel(gate))
    graph.show(Inputs())
    goal = graph.send()
    graph.until(gate.reached.is_set, "the prediction")
    changed = graph._changes
    graph.until(changed.service_is_ready, "the lifecycle's services")
    gate.opened.set()
    assert graph.change("deactivate")
    status, result = graph.result(goal)
    # Opened before the node heard of it, the prediction may also have come to its end.
    assert (status, result.rollout.error_code) in [
        (GoalStatus.STATUS_ABORTED, Rollout.CANCELED),
        (GoalStatus.STATUS_SUCCEEDED, Rollout.NONE),
    ]
    assert graph.state() == "inactive"


def test_diagnostics_tell_model_device_memory_duration_and_residual(start) -> None:
    graph = start(FakeModel())
    graph.show(Inputs())
    graph.predict()
    assert graph.status("model").message == "fake on cpu, 5 x 6 x 9, weights abababababab"
    assert graph.status("prediction").message == "0.25 s, metric residual 4.0 mm"
    assert graph.status("memory").message == "at most 12 MB on cpu"


def test_fitting_is_what_the_model_gets_at_its_own_size_too(start) -> None:
    model = FakeModel()
    model.frame_shape = (COUNT, 12, 18)
    graph = start(model)
    inputs = Inputs()
    graph.show(inputs)
    graph.send()
    graph.until(lambda: model.conditionings, "the model to be asked")
    np.testing.assert_array_equal(model.conditionings[0].first_frame, inputs.rgb)
    assert fitted(model.conditionings[0], 12, 18) is model.conditionings[0]


def _knows(graph, target: str, source: str) -> bool:
    topics = graph.node._outputs["front"]._topics
    return topics._transforms.can_transform(target, source, rclpy.time.Time())
