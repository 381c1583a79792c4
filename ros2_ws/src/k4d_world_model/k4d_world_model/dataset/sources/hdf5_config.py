"""How LIBERO's, robomimic's and robosuite's HDF5 files are read: which data sets mean what."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.sources.calibration import CalibrationConfig, check_robot_inputs
from k4d_world_model.dataset.sources.recorded_episode import check_name, check_rate
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField
from k4d_world_model.errors import SourceError


@dataclass(frozen=True)
class MujocoCamera:
    """The camera and the robot's base body by their names in the MuJoCo model that each demonstration carries."""

    camera: str
    base_body: str = "robot0_base"
    attribute: str = "model_file"


@dataclass(frozen=True)
class DepthField:
    """A data set (T, H, W) or (T, H, W, 1) of z-depths in metres.

    With ``near`` and ``far`` in metres it holds OpenGL's depth buffer, 0 at ``near`` and 1 at ``far``, as robosuite
    returns it. Raises SourceError unless both are given, 0 < near < far.
    """

    field: str
    near: float = 0.0
    far: float = 0.0

    def __post_init__(self) -> None:
        if (self.near, self.far) != (0.0, 0.0) and not 0.0 < self.near < self.far < np.inf:
            raise SourceError(f"near and far of {self.field!r} must be 0 < near < far, got {self.near}, {self.far}")

    def metres(self, recorded: NDArray[np.generic]) -> NDArray[np.float32]:
        """Z-depths in metres; where nothing finite above 0 (or short of ``far``) was seen, NaN."""
        depth = recorded.astype(np.float32)
        if self.far:
            depth = np.where(depth < 1.0, self.near / (1.0 - depth * (1.0 - self.near / self.far)), np.nan)
        return np.where(np.isfinite(depth) & (depth > 0.0), depth, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Hdf5Config:
    """Which data sets below data/demo_N make an episode, such as "obs/agentview_rgb".

    ``name`` begins the episodes' identifiers. ``rate_hz`` is the control rate, since the files keep no times. ``files``
    is a pattern below the root. ``first_row`` says where the pictures begin: robosuite and LIBERO store OpenGL's rows,
    "bottom" first; robomimic stores "top" first. ``caption`` is an attribute of the demonstration or of data, with a
    member after a slash where it holds JSON: "problem_info/language_instruction". Calibration comes from this file or
    from the recorded MuJoCo model. ``robot`` names a YAML of config/robots, for which ``joints`` and one of the two are
    needed. Raises SourceError when a value is not usable.
    """

    name: str
    image: str
    rate_hz: float
    first_row: Literal["top", "bottom"]
    files: str = "*.hdf5"
    caption: str = ""
    joints: tuple[JointField, ...] = ()
    depth: DepthField | None = None
    success: SuccessField | None = None
    calibration: CalibrationConfig | None = None
    mujoco: MujocoCamera | None = None
    robot: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_rate(self.rate_hz)
        if self.files.startswith("/") or ".." in self.files.split("/") or not self.files:
            raise SourceError(f"files must be a pattern inside the root such as '**/*.hdf5', got {self.files!r}")
        if self.calibration is not None and self.mujoco is not None:
            raise SourceError("give either calibration or mujoco, got both")
        is_calibrated = self.calibration is not None or self.mujoco is not None
        check_robot_inputs(self.robot, self.joints, is_calibrated=is_calibrated)
        if self.depth is not None and not is_calibrated:
            raise SourceError("depth needs calibration or mujoco in the same file to become a pointmap")
