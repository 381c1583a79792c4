"""How good a model is on clips that it did not learn from: always the same ones with the same noise."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from k4d_kinematics.pictures import contact_sheet, coordinates_as_colours
from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.learner import Batch, Learner
from k4d_world_model.training.order import VALIDATION, ClipSource
from k4d_world_model.wan.head import clean_latents
from k4d_world_model.wan.prior import frozen_world

# What counts as changed since the first frame: levels of 0 to 2, and metres.
_CHANGED_COLOUR, _CHANGED_METRES = 2 * 8 / 255, 0.01
_SHEET_FRAMES = 6


class ValidationReport(NamedTuple):
    """Means over the validation clips, of predictions in one step from noise alone but for the first.

    loss: as in training, at noise levels drawn once and for all.
    changed_rgb_psnr: dB on the pixels, not of the robot, that differ from the first frame by more than 8/255 or 1 cm.
    changed_rgb_gain_db, changed_points_gain_db: by how much the squared error is below the frozen world's there.
    """

    loss: float
    changed_rgb_psnr: float
    changed_rgb_gain_db: float
    changed_points_gain_db: float


class Pictures(NamedTuple):
    """A prediction and the frozen world (3, T, H, W) each."""

    rgb: Tensor
    points: Tensor
    frozen_rgb: Tensor
    frozen_points: Tensor


@torch.no_grad()
def validate(learner: Learner, clips: ClipSource[Batch]) -> ValidationReport:
    """What the averaged weights reach on at least one clip. Raises SampleError naming a damaged clip.

    Clips that were encoded beforehand tell no pictures: all but the loss is NaN.
    """
    total, errors, counts = 0.0, np.zeros(4), 0
    with learner.average.applied():
        learner.model.eval()
        for position in range(len(clips)):
            clip = clips.clip(position, position)
            total += float(learner.losses(learner.problem(default_collate([clip]), VALIDATION)).total)
            if isinstance(clip, TrainingClip):
                changed = changed_pixels(clip)
                counts += 3 * int(changed.sum())
                errors += _squared_errors(clip, predicted(learner, clip), changed)
    rgb, points, frozen_rgb, frozen_points = errors.tolist()
    return ValidationReport(
        total / len(clips),
        _decibel(4.0 * counts, rgb),
        _decibel(frozen_rgb, rgb),
        _decibel(frozen_points, points),
    )


@torch.no_grad()
def predicted(learner: Learner, clip: TrainingClip) -> Pictures:
    """What the model makes of noise alone in one step."""
    problem = learner.problem(default_collate([clip]), VALIDATION)
    problem = problem._replace(sigma=torch.ones_like(problem.sigma))
    with learner.accelerator.autocast():
        output = learner.output(problem).float()
    architecture, codec = learner.config.architecture, learner.codec
    latents = clean_latents(output, problem.noisy, problem.sigma, problem.encoded, architecture, codec)
    left, right = latents.chunk(2, dim=-1)
    right = right * architecture.pointmap_latent_std + architecture.pointmap_latent_mean
    pictures = (codec.decode(left), codec.decode(right), *frozen_world(problem.encoded.inputs))
    return Pictures(*(picture[0].cpu() for picture in pictures))


def changed_pixels(clip: TrainingClip) -> Tensor:
    """Where (T, H, W) the truth differs from its first frame and is not the robot, and its point is known."""
    colour = (clip.rgb - clip.rgb[:, :1]).abs().amax(dim=0) > _CHANGED_COLOUR
    metres = (clip.points - clip.points[:, :1]) * clip.inputs.scale.view(3, 1, 1, 1)
    moved = metres.norm(dim=0) > _CHANGED_METRES
    changed: Tensor = (colour | moved) & ~clip.inputs.robot_mask & clip.valid & clip.valid[:1]
    return changed


@torch.no_grad()
def sheet(learner: Learner, clips: Iterable[TrainingClip]) -> NDArray[np.uint8]:
    """Rows of pictures of every clip: truth, prediction in one step, frozen world; colours above coordinates."""
    rows = []
    with learner.average.applied():
        learner.model.eval()
        for clip in clips:
            pictures = predicted(learner, clip)
            frames = np.linspace(0, clip.rgb.shape[1] - 1, _SHEET_FRAMES).round().astype(int)
            for rgb in (clip.rgb, pictures.rgb, pictures.frozen_rgb):
                rows.append([_levels(rgb[:, frame]) for frame in frames])
            for points in (clip.points, pictures.points, pictures.frozen_points):
                coloured = _coordinates(points, clip)
                rows.append([coloured[frame] for frame in frames])
    return contact_sheet(rows, width_px=learner.config.architecture.width)


def _levels(picture: Tensor) -> NDArray[np.uint8]:
    return np.asarray(((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).numpy())


def _coordinates(points: Tensor, clip: TrainingClip) -> NDArray[np.uint8]:
    """Points as colours (T, H, W, 3), all on the scale of the truth, black where that is not known."""
    truth = clip.points.movedim(0, -1)[clip.valid]
    low, high = truth.amin(dim=0), truth.amax(dim=0)
    limited = torch.minimum(torch.maximum(points.movedim(0, -1), low), high)
    framed = torch.cat([limited.reshape(-1, 3), low[None], high[None]]).numpy()
    mask = torch.cat([clip.valid.reshape(-1), torch.ones(2, dtype=torch.bool)]).numpy()
    return coordinates_as_colours(framed, mask)[:-2].reshape(*clip.valid.shape, 3)


def _squared_errors(clip: TrainingClip, pictures: Pictures, changed: Tensor) -> NDArray[np.float64]:
    """Sums over the changed pixels, points in metres: prediction's colours and points, the frozen world's."""
    scale = clip.inputs.scale.view(3, 1)

    def error(picture: Tensor, truth: Tensor, unit: Tensor | float) -> float:
        return float((((picture[:, changed] - truth[:, changed]) * unit) ** 2).sum())

    return np.array(
        [
            error(pictures.rgb, clip.rgb, 1.0),
            error(pictures.points, clip.points, scale),
            error(pictures.frozen_rgb, clip.rgb, 1.0),
            error(pictures.frozen_points, clip.points, scale),
        ]
    )


def _decibel(over: float, under: float) -> float:
    return 10 * math.log10(over / under) if over > 0 and under > 0 else math.nan
