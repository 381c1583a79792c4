"""Training of a diffusion policy: noise is taken off the expert's goals, given what the camera saw."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from k4d_world_model.errors import TrainingError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.demonstration_files import Demonstrations
from k4d_world_model.policy_evaluation.diffusion.demonstrations import DemonstrationConfig
from k4d_world_model.policy_evaluation.diffusion.frames import Frames
from k4d_world_model.policy_evaluation.diffusion.network import PolicyNetwork
from k4d_world_model.policy_evaluation.diffusion.noise import noise_schedule, sample_goals

SAMPLING_STEPS = 10
_MEASURED_AT_ONCE = 64


@dataclass(frozen=True)
class PolicyTrainingConfig:
    """How a diffusion policy is trained: the schema of config/policies/train_diffusion.yaml.

    robot: YAML file, relative to this configuration. demonstrations: which are made; architecture: see there.
    steps: of the optimiser, each on ``batch`` frames with ``draws`` noise levels each. Its learning rate rises over a
    twentieth of them and falls along a cosine. average: decay of the moving average of the weights, which is kept.
    mark_weight: of the first two keypoints' distance from object and target, against the goals' error.
    held_out: share of the episodes, the last ones, that are only measured on. seed: of order, noise and first weights.

    Raises TrainingError on values out of range.
    """

    robot: str
    demonstrations: DemonstrationConfig
    architecture: PolicyArchitecture = field(default_factory=PolicyArchitecture)
    steps: int = 2000
    batch: int = 32
    draws: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.995
    mark_weight: float = 3.0
    held_out: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.draws < 1 or self.seed < 0:
            raise TrainingError(
                "steps, batch and draws must be at least 1 and seed 0, got "
                f"{self.steps}, {self.batch}, {self.draws} and {self.seed}"
            )
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.mark_weight >= 0):
            raise TrainingError(
                "learning_rate must be above 0, weight_decay and mark_weight at least 0, got "
                f"{self.learning_rate}, {self.weight_decay} and {self.mark_weight}"
            )
        if not (0 <= self.average < 1 and 0 < self.held_out < 1):
            raise TrainingError(f"average must be in [0, 1), held_out in (0, 1), got {self.average}, {self.held_out}")


class StepReport(NamedTuple):
    """Losses of one step: of all goals, and of the two keypoints (squared, in units of the architecture's scale)."""

    step: int
    goals: float
    marks: float


class HeldOutError(NamedTuple):
    """On frames of held-out episodes: median distances in metres.

    goal: of a sampled chunk's positions from the expert's, object and target: of the two keypoints from where they are.
    """

    goal: float
    object: float
    target: float
    frames: int


def train_policy(
    config: PolicyTrainingConfig, demonstrations: Demonstrations, on_step: Callable[[StepReport], None]
) -> tuple[PolicyNetwork, HeldOutError]:
    """A network trained on all but the last episodes, and how far off it is on those.

    Equal configurations and demonstrations give equal weights on one machine. Raises TrainingError where there are too
    few episodes to hold any out, or a loss is no number.
    """
    frames = Frames(demonstrations, config.architecture)
    learnt, held_out = _split(demonstrations, config.held_out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PolicyNetwork(config.architecture)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average))  # type: ignore[no-untyped-call]
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / config.steps))
    draws = _Draws(config, learnt)
    for step in range(config.steps):
        goals, marks = _losses(network, frames, draws)
        report = StepReport(step, goals.item(), marks.item())
        if not np.isfinite(report.goals + report.marks):
            raise TrainingError(f"the loss of step {step} is no number: {report}; a lower learning_rate may help")
        (goals + config.mark_weight * marks).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        average.update_parameters(network)
        on_step(report)
    network.load_state_dict(average.module.state_dict())
    network.eval().requires_grad_(False)
    return network, held_out_error(network, frames, held_out, config.seed)


def held_out_error(network: PolicyNetwork, frames: Frames, chosen: NDArray[np.intp], seed: int) -> HeldOutError:
    """How far off a network is on frames (n,)."""
    generator = torch.Generator().manual_seed(seed)
    distances: list[Tensor] = []
    for part in np.array_split(chosen, max(1, len(chosen) // _MEASURED_AT_ONCE)):
        batch = frames.batch(part)
        seen, keypoints = network.encode(batch.seen)
        goals = sample_goals(network, seen, min(SAMPLING_STEPS, network.architecture.diffusion_steps), generator)
        goal = (goals - batch.goals)[..., :3].norm(dim=-1).mean(dim=-1, keepdim=True)
        mark = (keypoints[:, :2] - network.normalised(batch.marks)).norm(dim=-1)
        distances.append(torch.cat([goal, mark], dim=-1) * network.architecture.scale)
    goal, thing, target = torch.cat(distances).median(dim=0).values.tolist()
    return HeldOutError(goal, thing, target, len(chosen))


def _split(demonstrations: Demonstrations, held_out: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Frames to learn from, and those of the last episodes, to measure on."""
    episodes = len(demonstrations.sentences)
    kept = episodes - max(1, round(held_out * episodes))
    if kept < 1:
        raise TrainingError(f"at least 2 successful demonstrations are needed, got {episodes}")
    return np.flatnonzero(demonstrations.episode < kept), np.flatnonzero(demonstrations.episode >= kept)


def _rate(done: float) -> float:
    """Share of the learning rate when ``done`` of the steps are."""
    return min(1.0, (done + 1e-3) / 0.05) * (0.02 + 0.49 * (1.0 + float(np.cos(np.pi * done))))


class _Draws:
    """Everything random of a training run."""

    def __init__(self, config: PolicyTrainingConfig, frames: NDArray[np.intp]) -> None:
        self.generator = np.random.default_rng([config.seed, 4])
        self.noise = torch.Generator().manual_seed(config.seed)
        self.scheduler = noise_schedule(DDPMScheduler, config.architecture)
        self.per_frame = config.draws
        self._frames, self._batch, self._order = frames, config.batch, frames[:0]

    def frames(self) -> NDArray[np.intp]:
        """The next batch; every frame once before any comes again."""
        while len(self._order) < self._batch:
            self._order = np.concatenate([self._order, self.generator.permutation(self._frames)])
        taken, self._order = self._order[: self._batch], self._order[self._batch :]
        return taken


def _losses(network: PolicyNetwork, frames: Frames, draws: _Draws) -> tuple[Tensor, Tensor]:
    """Mean squared errors of goals freed from noise, and of the first two keypoints."""
    chosen = draws.frames()
    batch = frames.batch(chosen, draws.generator)
    seen, keypoints = network.encode(batch.seen)
    goals = batch.goals.repeat_interleave(draws.per_frame, dim=0)
    steps = network.architecture.diffusion_steps
    level = torch.randint(steps, (len(goals),), generator=draws.noise)
    noise = torch.randn(goals.shape, generator=draws.noise)
    noisy = draws.scheduler.add_noise(goals, noise, level)
    clean = network.denoise(noisy, level, seen.repeat_interleave(draws.per_frame, dim=0))
    marks = network.normalised(batch.marks)
    return (clean - goals).square().mean(), (keypoints[:, :2] - marks).square().mean()
