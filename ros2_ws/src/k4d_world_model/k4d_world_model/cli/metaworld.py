"""k4d-metaworld: the harness's statistics on Meta-World's own environments and scripted policies."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from tqdm import tqdm

from k4d_kinematics import read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import WorldModelError
from k4d_world_model.policy_evaluation.metaworld.process import MetaWorldProcess, Trial
from k4d_world_model.policy_evaluation.metaworld.study import StudyConfig, run_study, write_study

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Plays Meta-World's scripted policies, disturbed more and more, twice, and reports how far both halves agree.

    Meta-World needs another MuJoCo than k4d and so lives in an environment of its own; docs/policies.md sets it up in
    one line. Leaves a file for every policy and task, report.md and summary.json in OUT. It may be stopped or killed at
    any moment: the same command goes on with what is missing.

    Example: k4d-metaworld --python out/metaworld_venv/bin/python --out out/metaworld
    """

    python: Path
    """The Python of the environment that has Meta-World."""
    out: Path
    """Folder of the results; made where it does not exist."""
    config: Path = Path("config/metaworld/noisy_experts.yaml")
    """Study YAML as in config/metaworld."""
    runs: int | None = None
    """Runs of each policy in each half, in place of the configuration's."""


def main() -> int:
    """Parses the command line, plays, and prints the report."""
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-metaworld: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-metaworld: stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    return 0


def run(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError."""
    config = read_configuration(arguments.config, StudyConfig)
    if arguments.runs is not None:
        config = replace(config, runs=arguments.runs)
    with MetaWorldProcess(arguments.python) as meta_world:
        cells = run_study(config, meta_world, arguments.out, _watch)
        print(write_study(arguments.out, config, meta_world, cells))
    print(f"Everything is in {arguments.out}.")


def _watch(trials: Iterable[Trial], total: int) -> Iterable[Trial]:
    yield from tqdm(trials, total=total, desc="episodes", unit="episode")


if __name__ == "__main__":
    sys.exit(main())
