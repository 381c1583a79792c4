"""The straight-line path of a tool through given poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import se3
from k4d_kinematics.errors import PlanningError, TransformError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ToolLine:
    """Straight lines through poses ``T_base_tool`` (N, 4, 4) that are passed at ``marks`` (N,) seconds from the first.

    The seconds are those of a tool that always moves or turns at its full speed; equal marks are the same pose.
    """

    T_base_tool: Array
    marks: Array

    @classmethod
    def through(cls, T_base_start: Array, T_base_tool: ArrayLike, speed: float, rotation_speed: float) -> ToolLine:
        """The path from a pose (4, 4) through poses (N, 4, 4) at ``speed`` (m/s) and ``rotation_speed`` (rad/s).

        Raises PlanningError on an empty path and on poses that are no rigid transforms.
        """
        try:
            targets = se3.check_transform(T_base_tool, "T_base_tool")
        except (TransformError, TypeError, ValueError) as error:
            raise PlanningError(str(error)) from error
        if targets.ndim != 3 or len(targets) == 0:
            raise PlanningError(f"a tool path must have shape (N, 4, 4) with N >= 1, got {targets.shape}")
        poses = np.concatenate([T_base_start[None], targets])
        distance = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
        angle = se3.rotation_angle(se3.inverse(poses[:-1]) @ poses[1:])
        seconds = np.maximum(distance / speed, angle / rotation_speed)
        return cls(poses, np.concatenate([[0.0], np.cumsum(seconds)]))

    @property
    def length(self) -> float:
        """Seconds from the first to the last pose at full speed."""
        return float(self.marks[-1])

    def at(self, seconds: Array) -> Array:
        """Poses (T, 4, 4) after ``seconds`` (T,) within [0, length] at full speed."""
        return np.stack([self._pose(float(moment)) for moment in seconds])

    def _pose(self, moment: float) -> Array:
        after = int(np.searchsorted(self.marks, moment))
        if after == 0:
            return np.array(self.T_base_tool[0])
        fraction = (moment - self.marks[after - 1]) / (self.marks[after] - self.marks[after - 1])
        return se3.interpolate(self.T_base_tool[after - 1], self.T_base_tool[after], float(fraction))
