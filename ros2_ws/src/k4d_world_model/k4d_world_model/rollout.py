"""What a world model predicts: pictures and points of the future, and how far to trust them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.errors import WorldModelError


@dataclass(frozen=True, eq=False)
class MetricFit:
    """How predicted points became metres: per axis, ``points = scale * predicted + offset``, fitted on the robot.

    scale, offset: (3,) float64.
    residual: median distance in metres between fitted and known robot points; NaN where the fit was not possible.
    pixel_count: how many robot pixels it rests on.
    reason: why the normalisation's own scale and offset stand in for a fit; empty where there was one.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    residual: float
    pixel_count: int
    reason: str = ""


@dataclass(frozen=True)
class Provenance:
    """What a rollout was made with, so that it can be made again.

    model_name, weights_sha256, robot_sha256: the model, its weights, the robot's description ("" where unknown).
    seed, steps, guidance: of the sampler. device: as torch names it. computation_time: wall seconds.
    peak_memory_bytes: the process's (CPU) or the device's (GPU) largest use; 0 where nobody measured it.
    versions: (package, version) of what took part.
    """

    model_name: str
    weights_sha256: str
    robot_sha256: str
    seed: int
    steps: int
    guidance: str
    device: str
    computation_time: float
    peak_memory_bytes: int
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Rollout:
    """T predicted frames of one camera.

    rgb: (T, H, W, 3) uint8.
    points: (T, H, W, 3) float32 metres in the camera's optical frame, NaN where not ``valid``.
    valid: (T, H, W) bool.
    times: (T,) float64 seconds after the observation, strictly increasing.
    camera: of H x W pixels; its ``frame_id`` names the points' frame.
    T_cam_base: (T, 4, 4), from the robot's base frame into the camera's optical frame.
    fit: how the points became metres.
    joints: the robot's positions at exactly ``times``, None where unknown.

    Raises WorldModelError when shapes or types do not fit each other.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float32]
    valid: NDArray[np.bool_]
    times: NDArray[np.float64]
    camera: Camera
    T_cam_base: se3.Array
    fit: MetricFit
    provenance: Provenance
    joints: JointTrajectory | None = None

    def __post_init__(self) -> None:
        size, count = (self.camera.image_height, self.camera.image_width), len(self.times)
        expected: tuple[tuple[str, NDArray[np.generic], tuple[int, ...], type[np.generic]], ...] = (
            ("rgb", self.rgb, (count, *size, 3), np.uint8),
            ("points", self.points, (count, *size, 3), np.float32),
            ("valid", self.valid, (count, *size), np.bool_),
            ("times", self.times, (count,), np.float64),
            ("T_cam_base", self.T_cam_base, (count, 4, 4), np.float64),
        )
        for name, array, shape, dtype in expected:
            if array.shape != shape or array.dtype != dtype:
                raise WorldModelError(
                    f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}"
                )
        if not np.array_equal(np.isfinite(self.points).all(axis=-1), self.valid):
            raise WorldModelError("points must be finite exactly where valid is True")
