"""Whether a set of views can say where a camera is: enough robot in each, and postures that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.calibration.silhouettes import border_share
from k4d_kinematics.calibration.views import CalibrationView
from k4d_kinematics.errors import CalibrationError, PoseSetError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoseSetLimits:
    """What a set of views must have at least. Raises CalibrationError for fewer than 5 poses or values out of range.

    poses: usable views that differ.
    travel: metres by which the links of two views must differ, as root mean square over the links.
    robot_share: part of the picture that the robot must cover.
    border_share: part of the mask's outline that may be only the picture's border.
    """

    poses: int = 5
    travel: float = 0.03
    robot_share: float = 0.01
    border_share: float = 0.3

    def __post_init__(self) -> None:
        if self.poses < 5:
            raise CalibrationError(f"poses must be at least 5, got {self.poses}")
        for name in ("robot_share", "border_share"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise CalibrationError(f"{name} must be in (0, 1), got {getattr(self, name)}")
        if not 0.0 < self.travel < np.inf:
            raise CalibrationError(f"travel must be a positive length in metres, got {self.travel}")


def usable_views(views: Sequence[CalibrationView], limits: PoseSetLimits) -> tuple[CalibrationView, ...]:
    """The views in which enough of the robot is seen. Raises PoseSetError when these are too few or too alike."""
    reasons = {view.name: _weakness(view, limits) for view in views}
    usable = tuple(view for view in views if not reasons[view.name])
    weak = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if len(usable) < limits.poses:
        raise PoseSetError(
            f"{limits.poses} usable poses are needed, got {len(usable)} of {len(views)}"
            + "".join(f"; {w}" for w in weak)
        )
    different = different_postures([view.T_parent_link for view in usable], limits.travel)
    if len(different) < limits.poses:
        raise PoseSetError(
            f"{limits.poses} different poses are needed, got {len(different)}: of {len(usable)} the others are within "
            f"{limits.travel} m of one of these, as root mean square over the links"
        )
    return usable


def different_postures(T_parent_link: Sequence[Array], travel: float) -> list[int]:
    """Places of postures (L, 4, 4), first ones first, that are all at least ``travel`` metres apart."""
    chosen: list[int] = []
    for index, T in enumerate(T_parent_link):
        if all(posture_distance(T, T_parent_link[other]) >= travel for other in chosen):
            chosen.append(index)
    return chosen


def posture_distance(T_first: Array, T_second: Array) -> Array:
    """How far (...) postures (..., L, 4, 4) are apart: root mean square over the links, metres."""
    offsets = T_first[..., :3, 3] - T_second[..., :3, 3]
    return np.asarray(np.sqrt((offsets**2).sum(axis=-1).mean(axis=-1)))


def _weakness(view: CalibrationView, limits: PoseSetLimits) -> str:
    share, border = float(view.mask.mean()), border_share(view.mask)
    if share < limits.robot_share:
        return f"the robot covers {share:.2%} of the picture, {limits.robot_share:.2%} are needed"
    if border > limits.border_share:
        return f"{border:.0%} of the robot's outline is the picture's border, {limits.border_share:.0%} may be"
    return ""
