"""Rollouts as k4d_msgs, a summary and one message a frame, and back."""

from collections.abc import Sequence

import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from diagnostic_msgs.msg import KeyValue
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from std_msgs.msg import Header

from k4d_kinematics import se3
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.ros.conversions import camera_message, duration_message, mask_message, transform_message
from k4d_world_model.errors import (
    ArchitectureError,
    BusyError,
    CanceledError,
    CheckpointError,
    ConditioningError,
    ModelUnavailableError,
    OutOfMemoryError,
    RobotNotVisibleError,
    RolloutError,
    SamplingError,
    WorldModelError,
)
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_record import rollout_entries, rollout_of_entries

_ERROR_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConditioningError, RolloutMessage.INVALID_INPUT),
    (ArchitectureError, RolloutMessage.INVALID_INPUT),
    (SamplingError, RolloutMessage.INVALID_INPUT),
    (KinematicsError, RolloutMessage.INVALID_INPUT),
    (RobotNotVisibleError, RolloutMessage.ROBOT_NOT_VISIBLE),
    (ModelUnavailableError, RolloutMessage.MODEL_UNAVAILABLE),
    (CheckpointError, RolloutMessage.MODEL_UNAVAILABLE),
    (BusyError, RolloutMessage.BUSY),
    (CanceledError, RolloutMessage.CANCELED),
    (OutOfMemoryError, RolloutMessage.OUT_OF_MEMORY),
    (MemoryError, RolloutMessage.OUT_OF_MEMORY),
)


def failure(error: BaseException, header: Header, camera: str, pointmap_sequence_id: str, seed: int) -> RolloutMessage:
    """The summary of a prediction that did not come about, with the reason."""
    code = next((code for kind, code in _ERROR_CODES if isinstance(error, kind)), RolloutMessage.FAILED)
    is_named = isinstance(error, WorldModelError | KinematicsError)
    return RolloutMessage(
        header=header,
        camera=camera,
        pointmap_sequence_id=pointmap_sequence_id,
        seed=seed,
        metric_residual=float("nan"),
        error_code=code,
        error_string=str(error) if is_named else f"{type(error).__name__}: {error}",
    )


def summary_message(
    rollout: Rollout, header: Header, *, sequence_id: str, pointmap_sequence_id: str, camera: str
) -> RolloutMessage:
    """The summary of a rollout of the observation that ``header`` names.

    ``provenance`` holds, as JSON, everything that its frames do not: ``rollout_entries``, as recordings do. Raises
    RolloutError when a pose or the fit is not finite.
    """
    made, fit = rollout.provenance, rollout.fit
    count, height, width = rollout.valid.shape
    return RolloutMessage(
        header=header,
        sequence_id=sequence_id,
        pointmap_sequence_id=pointmap_sequence_id,
        camera=camera,
        frame_count=count,
        time_from_start=[duration_message(time) for time in rollout.times.tolist()],
        height=height,
        width=width,
        model_name=made.model_name,
        weights_sha256=made.weights_sha256,
        robot_sha256=made.robot_sha256,
        seed=made.seed,
        computation_time=duration_message(made.computation_time),
        metric=not fit.reason,
        metric_residual=float(fit.residual),
        provenance=[KeyValue(key=key, value=value) for key, value in rollout_entries(rollout)],
    )


def frame_message(rollout: Rollout, index: int, summary: RolloutMessage, base_frame_id: str) -> RolloutFrame:
    """One frame of the rollout that ``summary`` announces."""
    bridge, header = CvBridge(), summary.header
    return RolloutFrame(
        header=header,
        sequence_id=summary.sequence_id,
        index=index,
        time_from_start=summary.time_from_start[index],
        base_frame_id=base_frame_id,
        t_base_cam=transform_message(se3.inverse(rollout.T_cam_base[index])),
        camera_info=camera_message(rollout.camera, header.stamp),
        rgb=bridge.cv2_to_imgmsg(rollout.rgb[index], "rgb8", header=header),
        pointmap=bridge.cv2_to_imgmsg(rollout.points[index], "32FC3", header=header),
        mask=mask_message(bridge, rollout.valid[index], header),
    )


def rollout_from_messages(summary: RolloutMessage, frames: Sequence[RolloutFrame]) -> Rollout:
    """The rollout of a summary and all of its frames in order.

    Raises RolloutError when images are malformed, or the provenance is not what ``summary_message`` writes.
    """
    bridge = CvBridge()
    try:
        rgb = np.stack([bridge.imgmsg_to_cv2(frame.rgb, "rgb8") for frame in frames])
        points = np.stack([bridge.imgmsg_to_cv2(frame.pointmap, "32FC3") for frame in frames])
        valid = np.stack([bridge.imgmsg_to_cv2(frame.mask, "mono8") > 0 for frame in frames])
        return rollout_of_entries([(item.key, item.value) for item in summary.provenance], rgb, points, valid)
    except (CvBridgeError, ValueError, TypeError) as error:
        raise RolloutError(f"rollout {summary.sequence_id!r} is malformed: {error}") from error
