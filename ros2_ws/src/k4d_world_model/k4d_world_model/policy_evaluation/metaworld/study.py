"""The harness's statistics on policies whose success nobody here made up: Meta-World's, disturbed more and more."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from k4d_world_model.errors import MetaWorldError
from k4d_world_model.policy_evaluation.agreement_figures import Share, mean_maximum_rank_violation, pearson
from k4d_world_model.policy_evaluation.metaworld.process import MetaWorldProcess, Trial, TrialResult
from k4d_world_model.whole_files import write_whole

Watch = Callable[[Iterable[Trial], int], Iterable[Trial]]


@dataclass(frozen=True)
class StudyConfig:
    """What is played: the schema of config/metaworld/*.yaml.

    tasks: of Meta-World, such as "push-v3". noises: standard deviations of what disturbs a scripted policy's actions,
    each of which counts as one policy. runs: of each policy in each half; the halves share no seed, from ``seed`` on.

    Raises MetaWorldError on values out of range.
    """

    tasks: tuple[str, ...]
    noises: tuple[float, ...]
    runs: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tasks", "noises"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise MetaWorldError(f"{name} must be at least one, none twice, got {values}")
        if self.runs < 1 or self.seed < 0:
            raise MetaWorldError(f"runs must be at least 1 and seed 0, got {self.runs} and {self.seed}")


@dataclass(frozen=True)
class Cell:
    """One policy in one task: its successes in the first half of the runs, and in the second."""

    task: str
    noise: float
    first: Share
    second: Share


@dataclass(frozen=True)
class Agreement:
    """Of the policies in one task, or of all: how far the second half agrees with the first.

    difference: mean absolute one. covered: share of the policies whose first share lies in the second's interval.
    reversed_mmrv, reversed_pearson: the same figures where the second half's policies are taken in reverse order, as a
    judge would have it that knows nothing: what the figures must be able to tell apart.
    """

    task: str
    difference: float
    covered: float
    mmrv: float
    pearson: float
    reversed_mmrv: float
    reversed_pearson: float


def run_study(config: StudyConfig, meta_world: MetaWorldProcess, out: Path, watch: Watch) -> tuple[Cell, ...]:
    """All cells; those that are in ``out`` already are kept, so that a study that was killed goes on.

    ``watch`` is handed the trials that are to be played and their number, and passes them on. Raises MetaWorldError
    naming a file of ``out`` that is damaged or was played with other seeds or versions, and as ``play`` does.
    """
    unknown = [task for task in config.tasks if task not in meta_world.tasks]
    if unknown:
        raise MetaWorldError(f"unknown tasks {', '.join(unknown)}; Meta-World has {', '.join(meta_world.tasks)}")
    recipe: dict[str, str | int] = {
        "metaworld": meta_world.metaworld,
        "mujoco": meta_world.mujoco,
        "seed": config.seed,
        "runs": config.runs,
    }
    paths = {(task, noise): out / f"{task}_noise{noise:g}.json" for task in config.tasks for noise in config.noises}
    missing = [cell for cell, path in paths.items() if not path.exists()]
    seeds = range(config.seed, config.seed + 2 * config.runs)
    trials = iter(watch((Trial(*cell, seed) for cell in missing for seed in seeds), len(missing) * len(seeds)))
    for cell in missing:
        played: list[TrialResult] = [meta_world.play(next(trials)) for _ in seeds]
        content = recipe | {"success": [one.success for one in played], "steps": [one.steps for one in played]}
        write_whole(paths[cell], json.dumps(content).encode())
    return tuple(_cell(task, noise, path, recipe) for (task, noise), path in paths.items())


def agreements(cells: Sequence[Cell]) -> tuple[Agreement, ...]:
    """The agreement in each task, and last over all of them, as task "all"."""
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    parts = [(task, [cell for cell in cells if cell.task == task]) for task in tasks]
    return tuple(_agreement(task, part) for task, part in [*parts, ("all", list(cells))])


def write_study(out: Path, config: StudyConfig, meta_world: MetaWorldProcess, cells: Sequence[Cell]) -> str:
    """Writes summary.json and report.md, whose text is returned."""
    found = agreements(cells)
    content = {
        "config": asdict(config),
        "metaworld": meta_world.metaworld,
        "mujoco": meta_world.mujoco,
        "cells": [asdict(cell) for cell in cells],
        "agreement": [{key: _finite(value) for key, value in asdict(one).items()} for one in found],
    }
    write_whole(out / "summary.json", json.dumps(content, indent=1).encode())
    text = _report(config, f"Meta-World {meta_world.metaworld}, MuJoCo {meta_world.mujoco}", cells, found)
    write_whole(out / "report.md", text.encode())
    return text


def _cell(task: str, noise: float, path: Path, recipe: dict[str, str | int]) -> Cell:
    try:
        content = json.loads(path.read_bytes())
        success = [bool(one) for one in content["success"]]
        differing = [name for name, value in recipe.items() if content[name] != value]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MetaWorldError(f"{path}: is no cell of a study, remove it: {error}") from error
    runs = int(recipe["runs"])
    if differing or len(success) != 2 * runs:
        raise MetaWorldError(f"{path}: was played with other {', '.join(differing) or 'seeds'}; choose another --out")
    return Cell(task, noise, Share(sum(success[:runs]), runs), Share(sum(success[runs:]), runs))


def _agreement(task: str, cells: Sequence[Cell]) -> Agreement:
    first, second = [cell.first.share for cell in cells], [cell.second.share for cell in cells]
    covered = [cell.second.interval[0] <= cell.first.share <= cell.second.interval[1] for cell in cells]
    return Agreement(
        task,
        sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(cells),
        sum(covered) / len(cells),
        mean_maximum_rank_violation(first, second),
        pearson(first, second),
        mean_maximum_rank_violation(first, second[::-1]),
        pearson(first, second[::-1]),
    )


def _report(config: StudyConfig, versions: str, cells: Sequence[Cell], found: Sequence[Agreement]) -> str:
    lines = [
        f"# {versions}: scripted policies, {config.runs} runs a half, seeds from {config.seed} on\n",
        "| task | noise | first half | second half |",
        "|---|---|---|---|",
        *(f"| {cell.task} | {cell.noise:g} | {_shown(cell.first)} | {_shown(cell.second)} |" for cell in cells),
        "\n| task | mean difference | covered | MMRV | Pearson | MMRV, reversed | Pearson, reversed |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.task} | {one.difference:.3f} | {one.covered:.2f} | {one.mmrv:.3f} | {one.pearson:.3f} | "
            f"{one.reversed_mmrv:.3f} | {one.reversed_pearson:.3f} |"
            for one in found
        ),
    ]
    return "\n".join(lines) + "\n"


def _shown(share: Share) -> str:
    low, high = share.interval
    return f"{share.share:.2f} [{low:.2f}, {high:.2f}]"


def _finite(value: str | float) -> str | float | None:
    return None if isinstance(value, float) and math.isnan(value) else value
