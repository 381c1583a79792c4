"""The prediction node on bad inputs: a named error as result, memory freed, and the next good goal succeeds."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
from k4d_msgs.msg import Rollout
from sensor_msgs.msg import Image

from k4d_kinematics import Camera
from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.conversions import camera_message, duration_message, time_message
from k4d_world_model.errors import ConditioningError, OutOfMemoryError

from .conftest import Graph, Inputs
from .fake_model import FakeModel

Start = Callable[..., Graph]


def small_image(inputs: Inputs) -> None:
    inputs.image = inputs.bridge.cv2_to_imgmsg(inputs.rgb[:-1], "rgb8", header=inputs.header)


def float_image(inputs: Inputs) -> None:
    inputs.image = inputs.bridge.cv2_to_imgmsg(inputs.rgb.astype(np.float32), "32FC3", header=inputs.header)


def cut_image(inputs: Inputs) -> None:
    inputs.image.data = inputs.image.data[:-5]


def small_depth(inputs: Inputs) -> None:
    inputs.depth = inputs.bridge.cv2_to_imgmsg(inputs.depth_m[:, 1:], "32FC1", header=inputs.header)


def coloured_depth(inputs: Inputs) -> None:
    inputs.depth = inputs.bridge.cv2_to_imgmsg(inputs.rgb, "rgb8", header=inputs.header)


def late_image(inputs: Inputs) -> None:
    inputs.image.header.stamp = time_message(1_700_000_001_000_000_000)


def other_calibration(inputs: Inputs) -> None:
    camera = Camera.pinhole(12, 18, 25.0, 21.0, 8.5, 5.5, frame_id="front_optical")
    inputs.camera_info = camera_message(camera, inputs.header.stamp)


def uncalibrated(inputs: Inputs) -> None:
    inputs.camera_info = camera_message(inputs.camera, inputs.header.stamp)
    inputs.camera_info.k = np.zeros(9)


def points_without_mask(inputs: Inputs) -> None:
    inputs.frames[2].mask.data = inputs.frames[1].mask.data


def pointmap_type(inputs: Inputs) -> None:
    inputs.frames[2].pointmap = inputs.depth


def small_pointmap(inputs: Inputs) -> None:
    points = np.ascontiguousarray(inputs.points[2][:, :-1])
    inputs.frames[2].pointmap = inputs.bridge.cv2_to_imgmsg(points, "32FC3", header=inputs.header)


def still_times(inputs: Inputs) -> None:
    inputs.frames[2].time_from_start = duration_message(0.1)


def joints_change(inputs: Inputs) -> None:
    inputs.frames[2].joint_state.name = ["b", "a"]


def joint_is_missing(inputs: Inputs) -> None:
    inputs.frames[2].joint_state.position = [0.5]


def no_rotation(inputs: Inputs) -> None:
    inputs.frames[2].t_base_cam.rotation.w = 0.0
    inputs.frames[2].t_base_cam.rotation.x = 0.0


def robot_out_of_view(inputs: Inputs) -> None:
    for frame in inputs.frames:
        nowhere = np.full_like(inputs.points[0], np.nan)
        frame.pointmap = inputs.bridge.cv2_to_imgmsg(nowhere, "32FC3", header=inputs.header)
        frame.mask = inputs.bridge.cv2_to_imgmsg(np.zeros(nowhere.shape[:2], np.uint8), "mono8", header=inputs.header)


def nowhere_behind_mask(inputs: Inputs) -> None:
    for frame in inputs.frames:
        nowhere = np.full_like(inputs.points[0], np.nan)
        frame.pointmap = inputs.bridge.cv2_to_imgmsg(nowhere, "32FC3", header=inputs.header)


def stereo_lens(inputs: Inputs) -> None:
    turned = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    camera = Camera(12, 18, inputs.camera.K, (0.1,) * 5, "plumb_bob", turned, inputs.camera.P, frame_id="front_optical")
    inputs.camera_info = camera_message(camera, inputs.header.stamp)
    for frame in inputs.frames:
        frame.camera_info = inputs.camera_info


INVALID, UNSEEN = Rollout.INVALID_INPUT, Rollout.ROBOT_NOT_VISIBLE
SPOILT: list[tuple[Callable[[Inputs], None], int, str]] = [
    (small_image, INVALID, "picture must have the camera's size of 12 rows x 18 columns, got 11 x 18"),
    (float_image, INVALID, "picture must be encoded as rgb8 or bgr8 or rgba8 or bgra8 or mono8, got '32FC3'"),
    (cut_image, INVALID, "picture is malformed"),
    (small_depth, INVALID, "depth image must have the camera's size of 12 rows x 18 columns, got 12 x 17"),
    (coloured_depth, INVALID, "depth image must be encoded as 32FC1 or 16UC1, got 'rgb8'"),
    (late_image, INVALID, "front/image_raw nearest to the plan's start must be within 0.25 s of it, got +0.877 s"),
    (other_calibration, INVALID, "one camera with one calibration; the pointmaps' is 'front_optical' 12 x 18 fx 20"),
    (uncalibrated, INVALID, "camera_info is not usable"),
    (points_without_mask, INVALID, "finite exactly where robot_mask is True"),
    (pointmap_type, INVALID, "pointmap must be encoded as 32FC3, got '32FC1'"),
    (small_pointmap, INVALID, "pointmap must have the camera's size of 12 rows x 18 columns, got 12 x 17"),
    (still_times, INVALID, "strictly increasing"),
    (joints_change, INVALID, "must have positions of the joints a, b, frame 2 has 2 of b, a"),
    (joint_is_missing, INVALID, "frame 2 has 1 of a, b"),
    (no_rotation, INVALID, "quaternion (xyzw) must have norm 1"),
    (robot_out_of_view, UNSEEN, "the robot is in none of the frames"),
    (nowhere_behind_mask, INVALID, "finite exactly where robot_mask is True"),
    (stereo_lens, INVALID, "R must be the identity"),
]


def test_every_spoilt_input_is_named_and_the_next_good_one_predicted(start: Start) -> None:
    """One node takes them all: nothing of a bad one is left in it."""
    graph = start(FakeModel())
    for number, (spoil, code, reason) in enumerate(SPOILT):
        inputs = Inputs(f"bad {number}", 1_700_000_000_123_456_789 + number * 10**10)
        if spoil is late_image:
            inputs = Inputs(f"bad {number}")
            graph.node._inputs["front"]._images.clear()
        spoil(inputs)
        graph.show(inputs)
        status, result = graph.predict(sequence_id=inputs.summary.sequence_id)
        assert (status, result.rollout.error_code) == (GoalStatus.STATUS_ABORTED, code), (spoil, result.rollout)
        assert reason in result.rollout.error_string, (spoil, result.rollout.error_string)
        assert result.sequence_id == ""
    graph.show(Inputs("good", 1_700_000_900_000_000_000))
    assert graph.predict()[0] == GoalStatus.STATUS_SUCCEEDED


def test_missing_inputs_are_named(start: Start) -> None:
    graph = start(FakeModel())
    assert "must have been received as a whole; there is none" in graph.predict()[1].rollout.error_string
    inputs = Inputs()
    part = Inputs()
    part.frames = part.frames[:2]
    graph.show(part)
    assert "2 of 5 frames of sequence 'plan' have come" in graph.predict()[1].rollout.error_string
    graph.show(inputs)
    unknown = graph.predict(sequence_id="other")[1].rollout
    assert "sequence 'other' must have been received as a whole; there is 'plan'" in unknown.error_string
    assert "camera must be one of front, got 'wrist'" in graph.predict(camera="wrist")[1].rollout.error_string
    for history, topic in (("_depths", "front/depth"), ("_images", "front/image_raw")):
        getattr(graph.node._inputs["front"], history).clear()
        refused = graph.predict()[1].rollout
        assert refused.error_code == Rollout.INVALID_INPUT
        assert refused.error_string == f"no {topic} has been received"
    graph.node._inputs["front"]._camera_info = None
    assert graph.predict()[1].rollout.error_string == "no front/camera_info has been received"


def test_a_plan_of_another_length_is_refused_with_the_parameter_that_mends_it(start: Start) -> None:
    graph = start(FakeModel())
    inputs = Inputs()
    inputs.frames = inputs.frames[:4]
    inputs.summary.frame_count = 4
    graph.show(inputs)
    status, result = graph.predict()
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_ABORTED, Rollout.INVALID_INPUT)
    assert "predicts 5 frames, the plan has 4: set plan_frames" in result.rollout.error_string


def test_a_model_that_lacks_an_input_is_told_which_parameter_brings_it(start: Start) -> None:
    model = FakeModel()

    def lacking(step: int) -> None:
        raise ConditioningError("this model reads the robot's picture")

    model.at_step = lacking
    graph = start(model, depth=False)
    inputs = Inputs()
    for frame in inputs.frames:
        frame.rgb = Image()
    graph.show(inputs, depth=False)
    text = graph.predict()[1].rollout.error_string
    assert text.startswith("this model reads the robot's picture; ")
    assert "plan_rgb of k4d_pointmap_node" in text
    assert "depth of k4d_prediction_node" in text
    assert model.conditionings[0].robot_rgb is None
    assert model.conditionings[0].first_points is None


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OutOfMemoryError("needs 40 GB; try offload"), Rollout.OUT_OF_MEMORY, "needs 40 GB; try offload"),
        (MemoryError("no more"), Rollout.OUT_OF_MEMORY, "MemoryError: no more"),
        (RuntimeError("kernel died"), Rollout.FAILED, "RuntimeError: kernel died"),
    ],
)
def test_a_failing_model_frees_its_memory_and_leaves_the_node_alive(
    start: Start, caplog: pytest.LogCaptureFixture, error: Exception, code: int, text: str
) -> None:
    model = FakeModel()
    large: list[Any] = []

    def fail(step: int) -> None:
        activations = np.zeros(10)
        large.append(weakref.ref(activations))
        raise error

    model.at_step = fail
    graph = start(model)
    graph.show(Inputs())
    status, result = graph.predict()
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert result.rollout.error_string == text
    assert graph.status("prediction").level == DiagnosticStatus.ERROR
    caplog.clear()  # it keeps tracebacks
    gc.collect()
    assert large[0]() is None
    assert error.__traceback__ is None
    model.at_step = lambda step: None
    assert graph.predict()[0] == GoalStatus.STATUS_SUCCEEDED


@pytest.mark.parametrize(("model", "reason"), [("missing.yaml", "missing.yaml"), ("''", "model must be the path")])
def test_without_a_model_file_the_node_lives_and_says_so(start: Start, model: str, reason: str) -> None:
    graph = start(None, model=model)
    assert graph.state() == "unconfigured"
    status, result = graph.predict()
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_ABORTED, Rollout.MODEL_UNAVAILABLE)
    assert reason in result.rollout.error_string
    assert graph.status("model").level == DiagnosticStatus.ERROR
    assert not graph.change("configure")
    assert graph.state() == "unconfigured"


def test_a_failed_plan_is_reported_and_the_one_before_stays(start: Start) -> None:
    graph = start(FakeModel())
    graph.show(Inputs())
    refused = Inputs("refused").summary
    refused.frame_count, refused.error_code, refused.error_string = 0, refused.TRANSFORM_UNAVAILABLE, "no transform"
    graph.publish("robot/plan/sequence", refused)
    name = "front/robot/plan/sequence"
    graph.until(lambda: graph.status(name).level == DiagnosticStatus.ERROR, "the diagnostic")
    assert "no transform" in graph.status(name).message
    assert graph.predict()[1].rollout.pointmap_sequence_id == "plan"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"cameras": "[9 eyes]"}, "cameras must be"),
        ({"modle": "tiny.yaml"}, "did you mean 'model'"),
        ({"steps": 2000}, "steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_parameters_are_named(start: Start, parameters: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason.replace("?", r"\?")):
        start(FakeModel(), **parameters)
