"""What the page shows, read from files and checked before a server starts."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, se3
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import read_recorded, read_rollout
from k4d_world_model.rollout_frames import Frames
from k4d_world_model.viewer.clouds import CloudVideo, cloud_video, stride
from k4d_world_model.viewer.robot_shape import RobotShape, robot_shape


@dataclass(frozen=True, eq=False)
class Contents:
    """A predicted future of T frames, what was recorded of it, and what goes with both.

    times: (T,) seconds after the observation. T_base_cam: (T, 4, 4). vertical_fov: radians. aspect: width over height.
    point_size: metres that neighbouring points lie apart, about.
    facts: name and value of what is known of the prediction. recorded, robot: None where there is none.
    """

    predicted: CloudVideo
    recorded: CloudVideo | None
    robot: RobotShape | None
    times: NDArray[np.float64]
    T_base_cam: se3.Array
    vertical_fov: float
    aspect: float
    point_size: float
    facts: tuple[tuple[str, str], ...]


def read_contents(
    path: Path, *, recorded: Path | None = None, robot: ConfiguredRobot | None = None, points: int = 20_000
) -> Contents:
    """What a rollout folder or .mcap file holds, at most ``points`` points a frame.

    The recorded future is that of the folder ``recorded``, by default of the rollout's own. Raises RolloutError naming
    the file that is not usable, when ``recorded`` holds none or does not fit, and where ``robot`` is to be shown and
    the rollout says nothing of its joints; JointStateError when these are not the robot's.
    """
    rollout = read_rollout(path)
    happened = _recorded(path, recorded, rollout)
    if robot is not None and rollout.joints is None:
        raise RolloutError(f"{path}: says nothing of the robot's joints, so that the robot cannot be shown")
    camera = rollout.camera
    return Contents(
        predicted=cloud_video(Frames.of_rollout(rollout), rollout.T_cam_base, points=points),
        recorded=None if happened is None else cloud_video(happened, rollout.T_cam_base, points=points),
        robot=None if robot is None or rollout.joints is None else robot_shape(robot, rollout.joints),
        times=rollout.times,
        T_base_cam=se3.inverse(rollout.T_cam_base),
        vertical_fov=2.0 * math.atan(0.5 * camera.image_height / float(camera.matrix[1, 1])),
        aspect=camera.image_width / camera.image_height,
        point_size=_point_size(rollout, points),
        facts=_facts(rollout),
    )


def _point_size(rollout: Rollout, points: int) -> float:
    """What a pixel that is shown covers at the median depth."""
    depths = rollout.points[..., 2][rollout.valid]
    covered_px = stride(rollout.camera.image_height, rollout.camera.image_width, points)
    return float(np.median(depths)) * covered_px / float(rollout.camera.matrix[0, 0]) if len(depths) else 0.01


def _recorded(path: Path, recorded: Path | None, rollout: Rollout) -> Frames | None:
    if recorded is None:
        return read_recorded(path) if path.is_dir() and not (path / "metadata.yaml").is_file() else None
    frames = read_recorded(recorded)
    if frames is None:
        raise RolloutError(f"{recorded}: this rollout was written without a recorded future")
    if frames.valid.shape != rollout.valid.shape:
        raise RolloutError(
            f"{recorded}: the recorded future must be of (frames, height, width) {rollout.valid.shape}, "
            f"got {frames.valid.shape}"
        )
    return frames


def _facts(rollout: Rollout) -> tuple[tuple[str, str], ...]:
    provenance, fit = rollout.provenance, rollout.fit
    count, height, width = rollout.valid.shape
    return (
        ("model", provenance.model_name),
        ("frames", f"{count} of {height} × {width}"),
        ("seed", str(provenance.seed)),
        ("steps", str(provenance.steps)),
        ("predicted in", f"{provenance.computation_time:.1f} s on {provenance.device}"),
        ("metric residual", fit.reason or f"{1000 * fit.residual:.1f} mm on {fit.pixel_count} pixels"),
    )
