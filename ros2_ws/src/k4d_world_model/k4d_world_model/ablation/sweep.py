"""All runs of several ablations, one after the other; what is finished stays finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k4d_kinematics import configured_robot
from k4d_world_model.ablation.config import Ablation
from k4d_world_model.ablation.held_out_clips import HeldOutClip, held_out_clips
from k4d_world_model.ablation.report import RunResult, write_report
from k4d_world_model.ablation.run import Run, SweepSettings, score_run, train_run, trained_facts
from k4d_world_model.errors import AblationError
from k4d_world_model.training.data import OnPreparing
from k4d_world_model.training.train import OnProgress


@dataclass(frozen=True)
class Watch:
    """Who hears of a sweep: ``on_run`` as each run begins (index from 1, how many), the others as training's own."""

    on_run: Callable[[Run, int, int], None]
    on_progress: OnProgress
    on_preparing: OnPreparing


def planned(ablations: Sequence[Ablation], seeds: Sequence[int], only: Sequence[str]) -> list[Run]:
    """The runs in their order: an ablation after the other, a seed after the other, all of its variants.

    ``only`` names the variants to run, with those that they need; all without any. Raises AblationError for an unknown
    one, and where ablations give different variants one name.
    """
    known = {variant.name for ablation in ablations for variant in ablation.config.variants}
    if unknown := set(only) - known:
        raise AblationError(f"no variant is called {sorted(unknown)}, there are {sorted(known)}")
    _check_same(ablations)
    runs: list[Run] = []
    for ablation in ablations:
        config = ablation.config
        wanted = set(only or (variant.name for variant in config.variants))
        for variant in config.variants[::-1]:
            wanted |= {variant.model_of, variant.points_by} if variant.name in wanted else set()
        for seed in seeds:
            runs += [Run(ablation, variant, seed) for variant in config.variants if variant.name in wanted]
    return runs


def run_sweep(runs: Sequence[Run], settings: SweepSettings, episodes: int | None, watch: Watch) -> None:
    """Trains and judges all runs, and writes each ablation's report after every run of it.

    Raises AblationError as on folders of other settings, and what training and predicting raise.
    """
    if not runs:
        raise AblationError("there is nothing to run: give at least one seed")
    clips = clips_of(runs[0], settings, episodes, watch)
    for number, run in enumerate(runs, start=1):
        watch.on_run(run, number, len(runs))
        train_run(run, settings, watch.on_progress, watch.on_preparing)
        score_run(run, settings, clips)
        write_report(
            settings.out / run.ablation.config.name, run.ablation.config, finished(runs, run.ablation, settings)
        )


def clips_of(run: Run, settings: SweepSettings, episodes: int | None, watch: Watch) -> tuple[HeldOutClip, ...]:
    """The held-out clips of a sweep, ``episodes`` of each data set or all."""
    architecture = run.ablation.training(run.variant, run.seed).architecture
    robot = None
    if architecture.robot_pictures == "rendered" and settings.robot is not None:
        robot = configured_robot(settings.robot, settings.cache / "surfaces")
    return held_out_clips(settings.data, episodes, architecture, robot, watch.on_preparing)


def finished(runs: Sequence[Run], ablation: Ablation, settings: SweepSettings) -> list[RunResult]:
    """The results of those ``runs`` of an ablation that are finished."""
    results = []
    for run in runs:
        scores = run.scores(settings.out) if run.ablation is ablation else None
        if scores is not None:
            facts = trained_facts(run, settings)
            results.append(RunResult(run.variant.name, run.seed, tuple(scores["clips"]), facts))
    return results


def _check_same(ablations: Sequence[Ablation]) -> None:
    seen: dict[str, tuple[object, object]] = {}
    for ablation in ablations:
        for variant in ablation.config.variants:
            described = (variant, ablation.training(variant, 0))
            if seen.setdefault(variant.name, described) != described:
                raise AblationError(f"two ablations mean different things by {variant.name!r}")
