"""A training run from its preset to a model that can be opened, in as many parts as it takes."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from k4d_world_model.content_hash import content_hash
from k4d_world_model.errors import TrainingError
from k4d_world_model.exclusive import exclusive
from k4d_world_model.training.checkpoints import Checkpoints, RunState, read_state
from k4d_world_model.training.config import StageSettings, TrainingConfig
from k4d_world_model.training.data import DataSettings, OnPreparing, clips_of
from k4d_world_model.training.learner import Batch, Learner, StepReport
from k4d_world_model.training.metrics import Metrics
from k4d_world_model.training.model_folder import write_model
from k4d_world_model.training.optimisation import learning_rate, progress
from k4d_world_model.training.order import Batches, ClipSource, ShuffledClips
from k4d_world_model.training.pixel_clips import PixelClips
from k4d_world_model.training.starting_model import starting_model
from k4d_world_model.training.validation import sheet, validate

_LOG = logging.getLogger(__name__)
_SHEET_CLIPS = 3
LOCK_NAME = ".lock"


@dataclass(frozen=True)
class RunSettings:
    """What one call of ``train`` works on.

    data: the clips. out: folder of the run. folder: what the preset's paths start from.
    resume: goes on with the newest state in ``out``, or starts where there is none.
    new_data: resumes although the data sets' lists have changed. stop_after: minutes until this part ends, 0 for never.
    """

    data: DataSettings
    out: Path
    folder: Path = Path()
    resume: bool = False
    new_data: bool = False
    stop_after: float = 0.0


class Progress(NamedTuple):
    """Where a run is after a step: ``done`` in [0, 1] of its budget."""

    state: RunState
    done: float
    report: StepReport


OnProgress = Callable[[Progress], None]


def train(
    config: TrainingConfig,
    run: RunSettings,
    on_progress: OnProgress,
    on_preparing: OnPreparing = lambda items, _: items,
) -> RunState:
    """Trains until the budget is used up or ``run.stop_after`` is over, and leaves a model in ``out/model``.

    Raises TrainingError when the run cannot start, resume or go on, FolderInUseError while another command trains in
    ``out``, and what reading data and weights raises.
    """
    if not config.budget.steps and not config.budget.minutes:
        raise TrainingError("a run needs an end: give steps or minutes above 0")
    accelerator = Accelerator(
        mixed_precision=precision(config),
        gradient_accumulation_steps=config.accumulation,
        step_scheduler_with_optimizer=False,
    )
    if not accelerator.is_main_process:
        return _trained(config, run, accelerator, on_progress, on_preparing)
    run.out.mkdir(parents=True, exist_ok=True)
    with exclusive(run.out / LOCK_NAME, {}):
        return _trained(config, run, accelerator, on_progress, on_preparing)


def _trained(
    config: TrainingConfig,
    run: RunSettings,
    accelerator: Accelerator,
    on_progress: OnProgress,
    on_preparing: OnPreparing,
) -> RunState:
    device = accelerator.device
    _LOG.info("training on %s, mixed precision %s", device, accelerator.mixed_precision)
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    model = starting_model(config, run.folder, device, dtype)
    with accelerator.main_process_first():
        source = (config, run.data, run.folder, model, device, on_preparing)
        clips = clips_of("train", run.data.clips, *source)
        held_out = clips_of("val", config.budget.validation_clips, *source)
    learner = Learner(config, model.transformer, model.codec, accelerator)
    return _Run(config, run, learner, clips, held_out).work(on_progress)


def precision(config: TrainingConfig) -> str:
    """What accelerate calls the mixed precision: bf16 on CUDA unless told otherwise."""
    if config.mixed_precision != "auto":
        return config.mixed_precision
    return "bf16" if torch.cuda.is_available() else "no"


class _Run:
    """The loop of one part of a run."""

    def __init__(
        self,
        config: TrainingConfig,
        run: RunSettings,
        learner: Learner,
        clips: ClipSource[Any],
        held_out: ClipSource[Any],
    ) -> None:
        self.config, self.run, self.learner = config, run, learner
        self.clips, self.held_out = clips, held_out
        self.checkpoints = Checkpoints(run.out / "checkpoints")
        self.state = self._starting_state()
        self.saved_step = self.state.step

    def _starting_state(self) -> RunState:
        data = content_hash(self.clips.names())
        fresh = RunState(0, 0, 0.0, self.config.seed, data, _settings_hash(self.config))
        latest = self.checkpoints.latest()
        if latest is None:
            return fresh
        if not self.run.resume:
            raise TrainingError(f"{self.run.out} holds a run already: resume it, or give another folder")
        state = read_state(latest)
        if (state.settings, state.seed) != (fresh.settings, fresh.seed):
            raise TrainingError(f"{latest}: is of a run with other settings; only budget and loader may change")
        if state.data != fresh.data and not self.run.new_data:
            raise TrainingError(f"{latest}: learnt from other samples; allow new data to go on with these")
        self.checkpoints.load(latest, self.learner.transformer, self.learner.optimiser, self.learner.average)
        return replace(state, data=fresh.data)

    def work(self, on_progress: OnProgress) -> RunState:
        """Trains until the budget or this part of it ends."""
        metrics = Metrics(self.run.out, self.state.step) if self.learner.accelerator.is_main_process else None
        before, started = self.state.seconds, time.monotonic()
        stage, batches = None, self._batches(None)
        config, budget = self.config, self.config.budget
        while (done := progress(budget, self.state.step, self.state.seconds)) < 1:
            rate = learning_rate(config.schedule, config.optimiser.learning_rate, self.state.step, done)
            if (now := config.stage(done)) != stage:
                stage, batches = now, self._batches(now)
            report = self.learner.step(batches, rate, self.state.step + 1)
            elapsed = self._agreed(time.monotonic() - started)
            self.state = replace(
                self.state,
                step=self.state.step + 1,
                clips=self.state.clips + self._clips_a_step,
                seconds=before + elapsed,
            )
            self._report(metrics, report, rate)
            on_progress(Progress(self.state, progress(budget, self.state.step, self.state.seconds), report))
            if budget.checkpoint_every and self.state.step % budget.checkpoint_every == 0:
                self._save()
            if self.run.stop_after and elapsed >= 60 * self.run.stop_after:
                break
        self._finish(metrics)
        return self.state

    def _agreed(self, seconds: float) -> float:
        """The largest of all processes' times, so that none stops while others go on."""
        here = torch.tensor([seconds], dtype=torch.float64, device=self.learner.accelerator.device)
        return float(self.learner.accelerator.gather(here).max())

    def _finish(self, metrics: Metrics | None) -> None:
        if self.saved_step != self.state.step:
            self._save()
        write_model(self.learner, self.run.out, self.run.folder, self.state)
        if metrics:
            metrics.close()

    def _report(self, metrics: Metrics | None, report: StepReport, rate: float) -> None:
        """Validates and draws in all processes, since a model may be spread over them; the first one writes."""
        step, budget = self.state.step, self.config.budget
        values = {"clips": self.state.clips, "seconds": self.state.seconds, "learning_rate": rate, **report._asdict()}
        if self._is_due(budget.validation_every):
            for name, value in validate(self.learner, self.held_out)._asdict().items():
                values["validation_loss" if name == "loss" else name] = value
        if metrics:
            metrics.add(step, values)
        if self._is_due(budget.sheet_every) and not self.config.trains_on_latents:
            clips = [self.held_out.clip(i, i) for i in range(min(_SHEET_CLIPS, len(self.held_out)))]
            picture = sheet(self.learner, clips)
            if metrics:
                metrics.draw(step, picture)

    def _is_due(self, every: int) -> bool:
        """Whether clips that were held out are looked at: every so often, and at the end of the budget."""
        if not every or not len(self.held_out):
            return False
        at_end = progress(self.config.budget, self.state.step, self.state.seconds) >= 1
        return at_end or self.state.step % every == 0

    def _save(self) -> None:
        learner = self.learner
        self.checkpoints.save(self.state, learner.transformer, learner.optimiser, learner.average, learner.accelerator)
        self.saved_step = self.state.step

    @property
    def _clips_a_step(self) -> int:
        processes: int = self.learner.accelerator.num_processes
        return self.config.batch_size * self.config.accumulation * processes

    def _batches(self, stage: StageSettings | None) -> Iterator[Batch]:
        """What follows on the clips learnt from so far, with as many of their frames as the stage shows."""
        accelerator, config = self.learner.accelerator, self.config
        clips = self.clips
        if stage and isinstance(clips, PixelClips):
            clips = clips.with_frame_step(stage.frame_step)
        order = Batches(self.state.clips, config.batch_size, accelerator.process_index, accelerator.num_processes)
        row = ShuffledClips(clips, config.seed)
        on_cuda = accelerator.device.type == "cuda"
        return iter(DataLoader(row, batch_sampler=order, num_workers=config.loader_workers, pin_memory=on_cuda))


def _settings_hash(config: TrainingConfig) -> str:
    """Hash of all settings that make a run's numbers: not how long it takes, reports and reads."""
    kept = {
        name: value for name, value in asdict(config).items() if name not in ("budget", "loader_workers", "sampling")
    }
    return content_hash(kept)
