"""What is learnt: latents of the truth, mixed with noise, and how far a prediction is from them."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from k4d_world_model.training.config import LossSettings
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.codec import Codec, PixelCodec
from k4d_world_model.wan.encoding import Encoded, encode_pair
from k4d_world_model.wan.head import clean_latents

# The noise levels that are trained: 1/1000, 2/1000 ... 1.
_LEVELS = 1000


class Material(NamedTuple):
    """A batch in latents.

    encoded: what the transformer is told; it lacks inputs where they were encoded beforehand.
    clean: (b, c, t, h, 2 w) latents of the truth.
    known: of the picture's and the pointmap's half, each (b, c, t, h, w) or of one number: 1 where the truth is known.
    """

    encoded: Encoded
    clean: Tensor
    known: tuple[Tensor, Tensor]


class Problem(NamedTuple):
    """A batch to solve: latents (b, c, t, h, 2 w) of the truth, the noise and the noise levels (b,) mixed with them.

    encoded: what the transformer is told.
    known: of the picture's and the pointmap's half, each (b, c, t, h, w) or of one number: 1 where the truth is known.
    """

    encoded: Encoded
    clean: Tensor
    noise: Tensor
    sigma: Tensor
    known: tuple[Tensor, Tensor]

    @property
    def noisy(self) -> Tensor:
        """The mixture (b, c, t, h, 2 w) that the transformer sees."""
        return torch.lerp(self.clean, self.noise, self.sigma.view(-1, 1, 1, 1, 1))


class Losses(NamedTuple):
    """``total`` is what is minimised; ``rgb`` and ``points`` are mean squared errors of the clean latents."""

    total: Tensor
    rgb: Tensor
    points: Tensor


def draw_sigma(generator: Generator, settings: LossSettings, shift: float) -> float:
    """A noise level in (0, 1]: even over 1/1000 ... 1, moved towards noise by ``shift``; some are exactly 1."""
    noise_only, level = torch.rand(2, generator=generator, device=generator.device).tolist()
    if noise_only < settings.noise_only_share:
        return 1.0
    raw = (int(level * _LEVELS) + 1) / _LEVELS
    return shift * raw / (1 + (shift - 1) * raw)


def truth_latents(rgb: Tensor, points: Tensor, architecture: Architecture, codec: Codec) -> Tensor:
    """Latents (b, c, t, h, 2 w) of true pictures and points (b, 3, T, H, W)."""
    return encode_pair(rgb, points, architecture, codec)


def known_latents(valid: Tensor, robot_mask: Tensor, codec: Codec) -> tuple[Tensor, Tensor]:
    """Where the truth of picture and pointmap is known, as in ``Problem``: points where ``valid`` (b, T, H, W).

    Not beside the robot (``robot_mask`` as ``valid``), where chance says whether a pixel shows it. Latents of an
    autoencoder mix pixels, so all of them count there.
    """
    if not isinstance(codec, PixelCodec):
        everywhere = torch.ones(1, 1, 1, 1, 1, device=valid.device)
        return everywhere, everywhere
    wider = functional.max_pool3d(robot_mask[:, None].float(), (1, 3, 3), stride=1, padding=(0, 1, 1)) > 0
    sure = ~wider[:, 0] | robot_mask
    rgb, points = (codec.encode(known[:, None].expand(-1, 3, -1, -1, -1).float()) for known in (sure, sure & valid))
    return rgb, points


def losses(
    output: Tensor, problem: Problem, settings: LossSettings, architecture: Architecture, codec: Codec
) -> Losses:
    """How far an output (b, head_channels, t, h, 2 w) of the transformer is from the truth."""
    output, sigma = output.float(), problem.sigma.view(-1, 1, 1, 1, 1)
    if architecture.head == "velocity":
        # Before multiplying by sigma, which rounds small ones away.
        wrong = output - (problem.noise - problem.clean)
        clean_error = (sigma * wrong) ** 2
    else:
        predicted = clean_latents(output, problem.noisy, problem.sigma, problem.encoded, architecture, codec)
        wrong = (predicted - problem.clean) / (sigma if settings.kind == "velocity" else 1.0)
        clean_error = (predicted - problem.clean) ** 2
    error = wrong**2 if settings.kind == "velocity" else clean_error
    known = problem.known
    left, right = ((half.detach() * part).mean() for half, part in zip(clean_error.chunk(2, -1), known, strict=True))
    return Losses((error * _weights(problem, settings, codec)).mean(), left, right)


def _weights(problem: Problem, settings: LossSettings, codec: Codec) -> Tensor:
    """Weights that multiply squared errors (b, c, t, h, 2 w)."""
    halves = []
    scene = None
    if settings.changed_weight != 1:
        robot = problem.encoded.inputs.robot_mask[:, None].expand(-1, 3, -1, -1, -1)
        scene = codec.encode((~robot).float()) > 0.5
    parts = [problem.clean.chunk(2, -1), problem.known, settings.modality_weights, settings.changed_thresholds]
    priors = (None, None) if problem.encoded.prior is None else problem.encoded.prior.chunk(2, -1)
    for clean, known, weight, threshold, prior in zip(*parts, priors, strict=True):
        weights = (known * weight).expand_as(clean)
        if settings.changed_weight != 1:
            assert prior is not None
            assert scene is not None
            changed = ((clean - prior).abs() > threshold) & scene
            weights = torch.where(changed, settings.changed_weight * weights, weights)
        halves.append(weights)
    return torch.cat(halves, dim=-1)
