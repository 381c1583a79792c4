"""A clip to learn from: what the model reads and what really happened, and how both are kept on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from k4d_world_model.dataset.normalization import MISSING
from k4d_world_model.errors import SampleError
from k4d_world_model.training.tensor_file import read_tensors, write_tensors
from k4d_world_model.wan.inputs import Inputs

CLIP_VERSION = "4"
# Depths are kept in so many even steps between a clip's nearest and farthest point.
_STEPS = 65535
# Furthest that a point may lie off its pixel's ray, in normalised units.
_OFF_RAY = 1e-3
# Parts of the inputs that are kept as they are.
_SINGLE = ("first_points", "background_points", "behind_points", "rays", "scale", "offset", "surfaces")
# Parts of which single frames are read, and along which dimension these lie.
_FRAMES = {"actions": 0, "mover_path": 1, "mover_evidence": 1}


class Lens(NamedTuple):
    """Rays (3, H, W) at one metre, and scale and offset (3,): metres = scale * normalised + offset."""

    rays: Tensor
    scale: Tensor
    offset: Tensor


class TrainingClip(NamedTuple):
    """One clip, or a batch of them with a leading b. Pictures and points are float32, about in [-1, 1].

    episode_id: which sample; a list of them in a batch. position: () how many clips of the run came before it.
    inputs: what the model reads, without their b where it is one clip.
    rgb, points: (3, T, H, W) the truth; points are -1 where there is none. valid: (T, H, W) bool, where there is one.
    """

    episode_id: Sequence[str]
    position: Tensor
    inputs: Inputs
    rgb: Tensor
    points: Tensor
    valid: Tensor


def write_clip(path: Path, clip: TrainingClip) -> None:
    """Keeps a clip: pictures as bytes, points as depths on their pixels' rays to 1/65535 of their range.

    Raises SampleError when points lie off their rays, and OSError as on a full disk.
    """
    inputs = clip.inputs
    depths = torch.cat([clip.points[2][clip.valid], inputs.robot_points[2][inputs.robot_mask]])
    low, high = (float(depths.min()), float(depths.max())) if len(depths) else (0.0, 1.0)
    step = max(high - low, 1e-6) / _STEPS
    single = {name: getattr(inputs, name) for name in (*_SINGLE, *_FRAMES)}
    tensors = single | {
        "rgb": _levels(clip.rgb),
        "depth": _codes(torch.where(clip.valid, clip.points[2], low), low, step),
        "valid": _packed(clip.valid),
        "robot_mask": _packed(inputs.robot_mask),
        "robot_rgb": _levels(inputs.robot_rgb[:, inputs.robot_mask]),
        "robot_depth": _codes(inputs.robot_points[2][inputs.robot_mask], low, step),
        "first_rgb": _levels(inputs.first_rgb),
        "background_rgb": _levels(inputs.background_rgb),
        "behind_rgb": _levels(inputs.behind_rgb),
        "mover_pixels": inputs.mover_pixels,
        "shadows": _packed_shadows(inputs.shadows),
        "depth_range": torch.tensor([low, step], dtype=torch.float64),
    }
    _check_rays(clip, step)
    # Copies, since the points of a ramp are one tensor under several names.
    contiguous = {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    write_tensors(path, contiguous, CLIP_VERSION)


def read_clip(path: Path, episode_id: str, position: int, frame_step: int = 1) -> TrainingClip:
    """The clip of a file, every ``frame_step``-th of its frames, the first among them.

    Raises SampleError naming the file when it is missing, damaged or of another version.
    """
    stored = read_tensors(path, CLIP_VERSION)
    low, step = stored["depth_range"].tolist()
    frames = slice(None, None, frame_step)
    rgb, depth = _colours(stored["rgb"][:, frames]), _depths(stored["depth"][frames], low, step)
    shape = tuple(stored["depth"].shape)  # (T, H, W)
    valid, whole_mask = (_unpacked(stored[name], shape) for name in ("valid", "robot_mask"))
    valid, robot_mask = valid[frames], whole_mask[frames]
    chosen = torch.zeros(shape, dtype=torch.bool)
    chosen[frames] = True
    chosen = chosen[whole_mask]
    robot_rgb = torch.full_like(rgb, MISSING)
    robot_rgb[:, robot_mask] = _colours(stored["robot_rgb"][:, chosen])
    robot_depth = torch.zeros(depth.shape)
    robot_depth[robot_mask] = _depths(stored["robot_depth"][chosen], low, step)
    lens = Lens(stored["rays"], stored["scale"], stored["offset"])
    inputs = Inputs(
        **{name: stored[name] for name in _SINGLE},
        **{name: stored[name][(slice(None),) * axis + (frames,)] for name, axis in _FRAMES.items()},
        mover_pixels=stored["mover_pixels"],
        shadows=_unpacked_shadows(stored["shadows"][:, frames], shape),
        first_rgb=_colours(stored["first_rgb"]),
        background_rgb=_colours(stored["background_rgb"]),
        behind_rgb=_colours(stored["behind_rgb"]),
        robot_rgb=robot_rgb,
        robot_points=_on_rays(lens, robot_depth, robot_mask),
        robot_mask=robot_mask,
    )
    return TrainingClip(episode_id, torch.tensor(position), inputs, rgb, _on_rays(lens, depth, valid), valid)


def _on_rays(lens: Lens, depth: Tensor, valid: Tensor) -> Tensor:
    """Normalised points (3, T, H, W) on the pixels' rays at normalised depths (T, H, W), -1 where not ``valid``."""
    points = torch.empty(3, *depth.shape)
    metres = depth * lens.scale[2] + lens.offset[2]
    for axis, ray in enumerate(lens.rays):
        torch.mul(metres, ray / lens.scale[axis], out=points[axis])
        points[axis] -= lens.offset[axis] / lens.scale[axis]
    return points.masked_fill_(~valid, MISSING)


def _check_rays(clip: TrainingClip, step: float) -> None:
    inputs = clip.inputs
    lens = Lens(inputs.rays, inputs.scale, inputs.offset)
    for points, valid in ((clip.points, clip.valid), (inputs.robot_points, inputs.robot_mask)):
        off = float((_on_rays(lens, points[2], valid) - points).abs().max())
        if not off <= _OFF_RAY + step:
            raise SampleError(f"sample {clip.episode_id}: points lie {off:.4f} (normalised) off their pixels' rays")


def _levels(pictures: Tensor) -> Tensor:
    """Levels 0 to 255 of pictures in [-1, 1]."""
    return ((pictures + 1.0) * 127.5).round().to(torch.uint8)


def _colours(levels: Tensor) -> Tensor:
    return levels.to(torch.float32).mul_(1 / 127.5).sub_(1.0)


def _codes(depth: Tensor, low: float, step: float) -> Tensor:
    return ((depth.to(torch.float64) - low) / step).round().clamp(0, _STEPS).to(torch.uint16)


def _depths(codes: Tensor, low: float, step: float) -> Tensor:
    return codes.to(torch.float32).mul_(step).add_(low)


def _packed_shadows(shadows: Tensor) -> Tensor:
    """Bits (K, T, n) of shadows (K, T, H / 2, W / 2), so that frames can be read one by one."""
    return torch.from_numpy(np.packbits(shadows.flatten(2).numpy(), axis=-1))


def _unpacked_shadows(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    height, width = shape[1] // 2, shape[2] // 2
    unpacked = np.unpackbits(bits.numpy(), axis=-1, count=height * width).astype(np.bool_)
    return torch.from_numpy(unpacked.reshape(*unpacked.shape[:2], height, width))


def _packed(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.numpy()))


def _unpacked(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    count = int(np.prod(shape))
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(np.bool_)).reshape(shape)
