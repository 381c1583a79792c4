"""The frames of demonstrations as batches that a network learns from."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.demonstration_files import Demonstrations
from k4d_world_model.policy_evaluation.diffusion.instruction import read_instruction
from k4d_world_model.policy_evaluation.diffusion.network import SeenBatch

S = TypeVar("S", bound=np.generic)

# By how much one frame may look different each time it is learnt from.
_BRIGHTNESS, _TINT = 0.15, 0.05  # share of all colours, and of each channel
_POINT_NOISE, _STATE_NOISE = 0.001, 0.02  # metres; units of the tool's numbers
# What a mirror image in the plane y = 0 of the base frame turns round: y, and the sine of the turn about the vertical.
_MIRRORED_POINT = np.array([1, -1, 1], np.float32)
_MIRRORED_TOOL = np.array([1, -1, 1, 1, -1, 1], np.float32)


@dataclass(frozen=True, eq=False)
class LearntBatch:
    """What is seen b times, and what a network is told of it in training.

    goals: (b, horizon, TOOL_NUMBERS), where the expert led the tool. marks: (b, 2, 3) metres in the base frame, where
    object and target were.
    """

    seen: SeenBatch
    goals: Tensor
    marks: Tensor


class Frames:
    """Demonstrations, read frame by frame."""

    def __init__(self, demonstrations: Demonstrations, architecture: PolicyArchitecture) -> None:
        told = [read_instruction(sentence, architecture) for sentence in demonstrations.sentences]
        self._all, self._architecture = demonstrations, architecture
        self._verbs = np.array([one.verb for one in told])
        self._colours = np.array([[one.object_colour, one.target_colour] for one in told], np.float32)

    def batch(self, frames: NDArray[np.intp], augmentation: np.random.Generator | None = None) -> LearntBatch:
        """The ``frames`` (b,), as they are or, where ``augmentation`` is given, a little different each time.

        Then half of the batches are mirrored, and colour channels come in any order, those of the words along with
        those of the picture.
        """
        data, episode = self._all, self._all.episode[frames]
        rgb = self._window(data.rgb[frames]).astype(np.float32) / 255.0
        depth = self._window(data.depth[frames]).astype(np.float32)
        points_cam = self._window(data.rays[episode]) * depth[..., None]
        T = data.T_base_cam[episode].astype(np.float32)
        points = np.einsum("bij,bhwj->bhwi", T[:, :3, :3], points_cam, optimize=True) + T[:, None, None, :3, 3]
        state, goals, marks = data.state[frames], data.goals[frames], data.marks[frames]
        colours = self._colours[episode]
        if augmentation is not None:
            rgb = np.clip(rgb * _light(augmentation, len(frames)), 0.0, 1.0)
            order = augmentation.permutation(3)
            rgb, colours = rgb[..., order], colours[..., order]
            points = points + augmentation.normal(0.0, _POINT_NOISE, (len(frames), 1, 1, 3)).astype(np.float32)
            state = state + augmentation.normal(0.0, _STATE_NOISE, state.shape).astype(np.float32)
            if augmentation.random() < 0.5:
                rgb, points = rgb[:, :, ::-1], points[:, :, ::-1] * _MIRRORED_POINT
                state, goals, marks = state * _MIRRORED_TOOL, goals * _MIRRORED_TOOL, marks * _MIRRORED_POINT
        seen = SeenBatch(
            _channels_first(rgb), _channels_first(points), torch.from_numpy(np.ascontiguousarray(colours)),
            torch.from_numpy(self._verbs[episode]), torch.from_numpy(state),
        )  # fmt: skip
        return LearntBatch(seen, torch.from_numpy(goals), torch.from_numpy(marks))

    def _window(self, pictures: NDArray[S]) -> NDArray[S]:
        (top, bottom), (left, right) = self._architecture.rows, self._architecture.columns
        return pictures[:, top:bottom, left:right]


def _light(augmentation: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Factors (b, 1, 1, 3) of brightness and tint."""
    gain = 1.0 + augmentation.uniform(-_BRIGHTNESS, _BRIGHTNESS, (count, 1, 1, 1))
    tint = 1.0 + augmentation.uniform(-_TINT, _TINT, (count, 1, 1, 3))
    return (gain * tint).astype(np.float32)


def _channels_first(pictures: NDArray[np.float32]) -> Tensor:
    """(b, 3, h, w) over the memory of pictures (b, h, w, 3), which is how convolutions here are fastest."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1)
