"""k4d-ablate: variants of one small training run compared over several seeds."""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from tqdm import tqdm

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.ablation.report import write_report
from k4d_world_model.ablation.run import Run
from k4d_world_model.ablation.sweep import Watch, finished, kept, planned, run_sweep
from k4d_world_model.ablation.sweep_settings import SweepSettings
from k4d_world_model.errors import WorldModelError
from k4d_world_model.training.train import Progress

_INTERRUPTED = 130
_BAR = "{desc} {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True)
class Arguments:
    """Trains and judges every variant of ablations with every seed, and compares them.

    Each ablation gets a folder in OUT with results.json, results.csv and table.md, written anew after every run; runs
    lie in OUT/runs. It may be stopped or killed at any moment: the same command goes on, and repeats no finished run.

    Example: k4d-ablate --config config/ablations/representations.yaml --data out/easy --data out/hard
    --out out/ablations
    """

    config: tyro.conf.UseAppendAction[tuple[Path, ...]]
    """Ablation YAML as in config/ablations; may be given several times, runs of one name are shared."""
    data: tyro.conf.UseAppendAction[tuple[Path, ...]]
    """Root of a native data set; may be given several times. All are learnt from, and their validation lists judge."""
    out: Path
    """Folder of runs and results; made where it does not exist."""
    robot: Path = Path("config/robots/panda.yaml")
    """Robot YAML as in config/robots, of all data sets."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of every variant for each of them."""
    only: tuple[str, ...] = ()
    """Variants to run, with those that they build on; all by default."""
    episodes: int | None = None
    """How many validation samples of each data set judge, at least 1; all by default."""
    cache: Path | None = None
    """Folder of prepared clips; OUT/clips by default."""
    threads: int = 0
    """Of torch on the CPU; 0 leaves what torch chose."""
    report_only: bool = False
    """Run nothing; write the tables of the runs that are finished, which must be judged on the same clips."""


def main() -> int:
    """Parses the command line, runs the sweep and prints its tables."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-ablate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-ablate: stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    return 0


def run(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    ablations = [read_ablation(path) for path in arguments.config]
    runs = planned(ablations, arguments.seeds, arguments.only)
    cache = arguments.cache or arguments.out / "clips"
    settings = SweepSettings(arguments.data, arguments.out, arguments.robot, cache, arguments.episodes)
    held_out = None
    if not arguments.report_only:
        with tqdm(total=1.0, mininterval=2.0, bar_format=_BAR) as bar:
            held_out = run_sweep(runs, settings, _watch(bar))
    for ablation in ablations:
        known = kept(ablation, runs, settings)
        results, of_all = finished(known, ablation, settings, held_out), len(known)
        print(write_report(arguments.out / ablation.config.name, ablation.config, results))
        print(f"{len(results)} of {of_all} runs of {ablation.config.name} are finished with these settings and data.\n")
    print(f"Everything is in {arguments.out}.")


def _watch(bar: Any) -> Watch:
    def on_run(run: Run, number: int, total: int) -> None:
        bar.set_description_str(f"{number}/{total} {run.variant.name} seed {run.seed}")
        bar.reset()

    def on_progress(progress: Progress) -> None:
        bar.n = progress.done
        bar.set_postfix_str(f"step {progress.state.step}, loss {progress.report.loss:.4f}", refresh=False)
        bar.update(0)

    def on_preparing(items: Iterable[Any], total: int) -> Iterable[Any]:
        yield from tqdm(items, total=total, desc="preparing", unit="clip", leave=False)

    return Watch(on_run, on_progress, on_preparing)


if __name__ == "__main__":
    sys.exit(main())
