"""Which fields of a recording hold joints and the outcome, and what their values mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory, KinematicsError
from k4d_world_model.errors import RejectedEpisodeError, SourceError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointField:
    """A recorded vector of joint positions: radians (or metres) = ``scale`` * recorded + ``offset``.

    ``joint_names`` names its columns in order; an empty name leaves that column out. Raises SourceError when no column
    is named, a name comes twice, or ``scale`` is 0 or not finite.
    """

    field: str
    joint_names: tuple[str, ...]
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        named = [name for name in self.joint_names if name]
        if not named or len(set(named)) != len(named):
            raise SourceError(f"joint_names of {self.field!r} must be different names, got {self.joint_names}")
        if not np.isfinite([self.scale, self.offset]).all() or self.scale == 0.0:
            raise SourceError(
                f"scale and offset of {self.field!r} must be finite and scale not 0, got {self.scale}, {self.offset}"
            )


@dataclass(frozen=True)
class SuccessField:
    """What says whether an episode succeeded.

    A field of numbers or truth values: success when any of its values is ``at_least`` that much. A field of text:
    success when it contains ``success_text``, failure when it contains ``failure_text``, unknown when neither. Raises
    SourceError when the two texts are equal.
    """

    field: str
    at_least: float = 1.0
    success_text: str = ""
    failure_text: str = ""

    def __post_init__(self) -> None:
        if self.success_text and self.success_text == self.failure_text:
            raise SourceError(f"success_text and failure_text must differ, got {self.success_text!r} twice")

    def judge(self, values: NDArray[np.generic] | str) -> bool | None:
        """The outcome, None where the text says neither. Raises RejectedEpisodeError where the text says both."""
        if not isinstance(values, str):
            return bool((np.asarray(values, np.float64) >= self.at_least).any())
        succeeded = bool(self.success_text) and self.success_text in values
        failed = bool(self.failure_text) and self.failure_text in values
        if succeeded and failed:
            raise RejectedEpisodeError(
                f"its {self.field} {values!r} contains both {self.success_text!r} and {self.failure_text!r}"
            )
        return succeeded if succeeded or failed else None


def join_joints(fields: Sequence[JointField], values: Sequence[NDArray[np.generic]], times: Array) -> JointTrajectory:
    """The joints at ``times`` (T,) of all ``fields``, whose recorded ``values`` are (T, columns) each.

    Raises RejectedEpisodeError when a field has other columns than named, or a value is not finite.
    """
    names: list[str] = []
    columns: list[Array] = []
    for field, recorded in zip(fields, values, strict=True):
        if recorded.shape != (len(times), len(field.joint_names)):
            raise RejectedEpisodeError(
                f"its {field.field} has shape {recorded.shape}, but the joint_names {field.joint_names} name "
                f"{len(field.joint_names)} columns of {len(times)} frames"
            )
        for k, name in enumerate(field.joint_names):
            if name:
                names.append(name)
                columns.append(field.scale * recorded[:, k].astype(np.float64) + field.offset)
    try:
        return JointTrajectory(tuple(names), times, np.stack(columns, axis=1))
    except KinematicsError as error:
        raise RejectedEpisodeError(f"its joints are not usable: {error}") from error
