"""k4d-train: a world model trained from a preset and data sets."""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from k4d_kinematics import read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import WorldModelError
from k4d_world_model.training.checkpoints import RunState
from k4d_world_model.training.config import TrainingConfig
from k4d_world_model.training.data import DataSettings
from k4d_world_model.training.train import Progress, RunSettings, train

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Trains a world model, with or without a GPU by the same command, and leaves it in OUT/model.

    Writes metrics.csv, tensorboard/, sheets/ and checkpoints/ into OUT besides. It may be stopped or killed at any
    moment: the same command with --resume goes on exactly where the last checkpoint was. Several GPUs or machines:
    accelerate launch -m k4d_world_model.cli.train, with the same arguments.

    Example: k4d-train --config config/training/tiny.yaml --data out/dataset --robot config/robots/panda.yaml
    --out out/training
    """

    config: Path
    """Preset YAML as in config/training."""
    data: tyro.conf.UseAppendAction[tuple[Path, ...]]
    """Root of a native data set; may be given several times."""
    out: Path
    """Folder of the run; made where it does not exist."""
    robot: Path | None = None
    """Robot YAML as in config/robots, where the preset's architecture reads rendered robots."""
    cache: Path | None = None
    """Folder of prepared clips, which several runs may share; OUT/clips by default."""
    minutes: float | None = None
    """Wall time of the whole run over all its parts, in place of the preset's."""
    steps: int | None = None
    """Optimiser steps of the whole run, in place of the preset's."""
    stop_after: float = 0.0
    """Minutes after which this part of the run saves itself and ends; 0 for never."""
    resume: bool = False
    """Go on with the newest checkpoint in OUT; start where there is none."""
    new_data: bool = False
    """Resume although the data sets' lists have changed since."""
    workers: int = 1
    """Processes that prepare clips."""


def main() -> int:
    """Parses the command line, trains and prints where the model is."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    arguments = tyro.cli(Arguments)
    try:
        state = run(arguments)
    except (WorldModelError, KinematicsError) as error:
        print(f"k4d-train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-train: stopped; the same command with --resume goes on", file=sys.stderr)
        return _INTERRUPTED
    print(
        f"{state.step} steps on {state.clips} clips in {state.seconds:.0f} s; the model is in {arguments.out / 'model'}"
    )
    return 0


def run(arguments: Arguments) -> RunState:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    config = read_configuration(arguments.config, TrainingConfig)
    given = {name: getattr(arguments, name) for name in ("minutes", "steps") if getattr(arguments, name) is not None}
    config = replace(config, budget=replace(config.budget, **given))
    settings = RunSettings(
        data=DataSettings(
            arguments.data, arguments.cache or arguments.out / "clips", arguments.robot, arguments.workers
        ),
        out=arguments.out,
        folder=arguments.config.parent,
        resume=arguments.resume,
        new_data=arguments.new_data,
        stop_after=arguments.stop_after,
    )
    with tqdm(
        total=1.0, desc="training", bar_format="{desc} {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
    ) as bar:

        def on_progress(progress: Progress) -> None:
            if bar.n == 0:
                bar.initial = progress.done
            bar.n = progress.done
            loss, norm = progress.report.loss, progress.report.gradient_norm
            bar.set_postfix_str(f"step {progress.state.step}, loss {loss:.4f}, gradient {norm:.2f}", refresh=False)
            bar.refresh()

        return train(config, settings, on_progress, _with_progress)


def _with_progress(done: Iterable[Any], total: int) -> Iterable[Any]:
    yield from tqdm(done, total=total, desc="preparing", unit="clip")


if __name__ == "__main__":
    sys.exit(main())
