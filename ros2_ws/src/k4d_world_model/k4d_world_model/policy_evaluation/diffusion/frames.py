"""The frames of demonstrations as batches that a network reads."""

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


class Frames:
    """Demonstrations, read frame by frame."""

    def __init__(self, demonstrations: Demonstrations, architecture: PolicyArchitecture) -> None:
        told = [read_instruction(sentence, architecture) for sentence in demonstrations.sentences]
        self._all, self._architecture = demonstrations, architecture
        self._verbs = np.array([one.verb for one in told])
        self._colours = np.array([[one.object_colour, one.target_colour] for one in told], np.float32)

    def batch(self, frames: NDArray[np.intp], augmentation: np.random.Generator | None = None) -> SeenBatch:
        """What is seen in ``frames`` (b,), a little different each time where ``augmentation`` is given."""
        data, episode = self._all, self._all.episode[frames]
        rgb = self._window(data.rgb[frames]).astype(np.float32) / 255.0
        points_cam = self._window(data.rays[episode] * data.depth[frames].astype(np.float32)[..., None])
        T = data.T_base_cam[episode].astype(np.float32)
        points = np.einsum("bij,bhwj->bhwi", T[:, :3, :3], points_cam, optimize=True) + T[:, None, None, :3, 3]
        state = data.state[frames]
        if augmentation is not None:
            gain = 1.0 + augmentation.uniform(-_BRIGHTNESS, _BRIGHTNESS, (len(frames), 1, 1, 1))
            gain = gain * (1.0 + augmentation.uniform(-_TINT, _TINT, (len(frames), 1, 1, 3)))
            rgb = np.clip(rgb * gain.astype(np.float32), 0.0, 1.0)
            points = points + augmentation.normal(0.0, _POINT_NOISE, points.shape[:1] + (1, 1, 3)).astype(np.float32)
            state = state + augmentation.normal(0.0, _STATE_NOISE, state.shape).astype(np.float32)
        return SeenBatch(
            _channels_first(rgb), _channels_first(points), torch.from_numpy(self._colours[episode]),
            torch.from_numpy(self._verbs[episode]), torch.from_numpy(state),
        )  # fmt: skip

    def _window(self, pictures: NDArray[S]) -> NDArray[S]:
        (top, bottom), (left, right) = self._architecture.rows, self._architecture.columns
        return pictures[:, top:bottom, left:right]

    def goals(self, frames: NDArray[np.intp]) -> Tensor:
        """Where the expert led the tool after ``frames`` (b, horizon, TOOL_NUMBERS)."""
        return torch.from_numpy(self._all.goals[frames])

    def marks(self, frames: NDArray[np.intp]) -> Tensor:
        """Where object and target were in ``frames`` (b, 2, 3), metres in the base frame."""
        return torch.from_numpy(self._all.marks[frames])


def _channels_first(pictures: NDArray[np.float32]) -> Tensor:
    """(b, 3, h, w) over the memory of pictures (b, h, w, 3), which is how convolutions here are fastest."""
    return torch.from_numpy(pictures).movedim(-1, 1)
