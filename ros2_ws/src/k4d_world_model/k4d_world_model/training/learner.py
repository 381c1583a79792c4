"""One step of learning: clips in, weights moved."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor

from k4d_world_model.errors import TrainingError
from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.config import TrainingConfig
from k4d_world_model.training.latent_clips import LatentClip, encoded_latents
from k4d_world_model.training.losses import Losses, Problem, draw_sigma, losses
from k4d_world_model.training.optimisation import MovingAverage, build_optimiser
from k4d_world_model.training.order import NOISE, SOFTNESS, draw_on
from k4d_world_model.training.pixel_clips import encoded_pixels
from k4d_world_model.wan.architecture import NUMBERS
from k4d_world_model.wan.codec import Codec
from k4d_world_model.wan.encoding import soften
from k4d_world_model.wan.transformer import RobotWorldTransformer

Batch = TrainingClip | LatentClip


class StepReport(NamedTuple):
    """What one optimiser step did: means over its clips."""

    loss: float
    loss_rgb: float
    loss_points: float
    gradient_norm: float


class Learner:
    """A transformer, its optimiser and the moving average of its weights, on the accelerator's devices."""

    def __init__(
        self, config: TrainingConfig, transformer: RobotWorldTransformer, codec: Codec, accelerator: Accelerator
    ) -> None:
        self.config = config
        self.codec = codec
        self.accelerator = accelerator
        if config.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        self.model, self._optimiser = accelerator.prepare(transformer, build_optimiser(transformer, config.optimiser))
        self.transformer: RobotWorldTransformer = accelerator.unwrap_model(self.model)
        self.optimiser: torch.optim.Optimizer = self._optimiser.optimizer
        self.average = MovingAverage(self.transformer, config.ema_decay)

    def step(self, batches: Iterator[Batch], rate: float, number: int) -> StepReport:
        """Learns from ``config.accumulation`` batches at a learning rate, as step ``number`` (from 1).

        Raises TrainingError naming the episodes when the loss or its gradient is no number.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        parts: list[Tensor] = []
        episodes: list[str] = []
        norm = 0.0
        for _ in range(self.config.accumulation):
            batch = next(batches)
            episodes += batch.episode_id
            with self.accelerator.accumulate(self.model):
                part = self.losses(self.problem(batch, NOISE))
                _check(float(part.total.detach()), "loss", number, list(batch.episode_id))
                self.accelerator.backward(part.total)
                if self.accelerator.sync_gradients:
                    norm = self._clip()
                    _check(norm, "gradient", number, episodes)
                self._optimiser.step()
                self._optimiser.zero_grad()
            parts.append(torch.stack([value.detach() for value in part]))
        self.average.update(number)
        mean = self.accelerator.reduce(torch.stack(parts).mean(dim=0), "mean")
        loss, rgb, points = mean.tolist()
        return StepReport(loss, rgb, points, norm)

    def problem(self, batch: Batch, purpose: int) -> Problem:
        """The batch as latents with the noise that its positions draw for ``purpose``."""
        architecture, device = self.config.architecture, self.accelerator.device
        if isinstance(batch, TrainingClip):
            encoded, clean, known = encoded_pixels(batch, architecture, self.codec, device)
        else:
            encoded, clean, known = encoded_latents(batch, device)
        settings = self.config.loss
        generators = [draw_on(device, self.config.seed, purpose, int(position)) for position in batch.position]
        sigmas = [draw_sigma(generator, settings, architecture.train_shift) for generator in generators]
        noise = torch.zeros_like(clean)
        if architecture.reads_noise:
            noise = torch.stack([torch.randn(clean.shape[1:], generator=g, device=device) for g in generators])
        if settings.soft_mask_share and purpose == NOISE and architecture.condition not in NUMBERS:
            positions = draw_on(torch.device("cpu"), self.config.seed, SOFTNESS, int(batch.position[0]))
            encoded = encoded._replace(robot=soften(encoded.robot, settings.soft_mask_share, positions))
        return Problem(encoded, clean, noise, torch.tensor(sigmas, device=device), known)

    def output(self, problem: Problem) -> Tensor:
        """The transformer's output (b, head_channels, t, h, 2 w) for a problem."""
        encoded = problem.encoded
        reads_noise = self.config.architecture.reads_noise
        result: Tensor = self.model(
            torch.cat([problem.noisy, encoded.channels], dim=1) if reads_noise else encoded.channels,
            1000.0 * problem.sigma,
            encoded.robot,
            encoded.image_embeddings,
            return_dict=False,
            hints=encoded.hints,
        )[0]
        return result

    def losses(self, problem: Problem) -> Losses:
        """How well the model solves a problem."""
        return losses(self.output(problem), problem, self.config.loss, self.config.architecture, self.codec)

    def _clip(self) -> float:
        clip = self.config.optimiser.gradient_clip or math.inf
        parameters = [parameter for parameter in self.transformer.parameters() if parameter.requires_grad]
        norm = self.accelerator.clip_grad_norm_(parameters, clip)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def _check(value: float, what: str, number: int, episodes: list[str]) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} of step {number} is {value}; it learnt from the episodes {', '.join(episodes)}"
        )
