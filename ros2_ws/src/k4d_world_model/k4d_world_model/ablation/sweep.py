"""All runs of several ablations, one after the other; what is finished stays finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k4d_world_model.ablation.config import Ablation
from k4d_world_model.ablation.held_out_clips import HeldOutClips, held_out_clips
from k4d_world_model.ablation.report import RunResult, write_report
from k4d_world_model.ablation.run import Run, score_run, scores_of, train_run, trained_facts
from k4d_world_model.ablation.sweep_settings import SweepSettings
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
    one, and where ablations give different variants one name or want clips of different sizes or robots.
    """
    known = {variant.name for ablation in ablations for variant in ablation.config.variants}
    if unknown := set(only) - known:
        raise AblationError(f"no variant is called {sorted(unknown)}, there are {sorted(known)}")
    _check_same(ablations)
    _check_one_kind_of_clips(ablations)
    runs: list[Run] = []
    for ablation in ablations:
        config = ablation.config
        wanted = set(only or (variant.name for variant in config.variants))
        for variant in config.variants[::-1]:
            wanted |= {variant.model_of, variant.points_by} if variant.name in wanted else set()
        for seed in seeds:
            runs += [Run(ablation, variant, seed) for variant in config.variants if variant.name in wanted]
    return runs


def run_sweep(runs: Sequence[Run], settings: SweepSettings, watch: Watch) -> HeldOutClips:
    """Trains and judges all runs, and writes each ablation's report after every run of it; the clips that judged.

    Raises AblationError on folders of other settings and data sets that are not there, and what training and predicting
    raise.
    """
    if not runs:
        raise AblationError("there is nothing to run: give at least one seed")
    for run in runs:
        settings.roots((*run.variant.data, *run.ablation.config.judged_on))
    architecture = runs[0].ablation.training(runs[0].variant, runs[0].seed).architecture
    held_out = held_out_clips(settings, architecture, watch.on_preparing)
    for number, run in enumerate(runs, start=1):
        watch.on_run(run, number, len(runs))
        train_run(run, settings, watch.on_progress, watch.on_preparing)
        score_run(run, settings, held_out)
        results = finished(kept(run.ablation, runs, settings), run.ablation, settings, held_out)
        write_report(settings.out / run.ablation.config.name, run.ablation.config, results)
    return held_out


def kept(ablation: Ablation, runs: Sequence[Run], settings: SweepSettings) -> list[Run]:
    """All runs of an ablation with the seeds of ``runs`` or of folders that earlier sweeps left, so that tables keep
    what this sweep does not run.
    """
    left = [path.name.removeprefix("seed") for path in (settings.out / "runs").glob("*/seed*")]
    seeds = {run.seed for run in runs} | {int(seed) for seed in left if seed.isdecimal()}
    return planned([ablation], sorted(seeds), ())


def finished(
    runs: Sequence[Run], ablation: Ablation, settings: SweepSettings, held_out: HeldOutClips | None = None
) -> list[RunResult]:
    """The results of those ``runs`` of an ablation that are finished as they would be now, on ``held_out`` if given.

    Raises AblationError where they were judged on different clips, or a data set is not there.
    """
    settings.roots(ablation.config.judged_on)
    results: list[RunResult] = []
    judged: dict[str, str] = {}
    for run in runs:
        if run.ablation is not ablation:
            continue
        scores = scores_of(run, settings, None if held_out is None else held_out.sha256)
        if scores is not None:
            facts = trained_facts(run, settings)
            results.append(RunResult(run.variant.name, run.seed, tuple(scores["clips"]), facts))
            judged.setdefault(scores["judged"], f"{run.variant.name} with seed {run.seed}")
    if len(judged) > 1:
        raise AblationError(
            f"runs of {ablation.config.name!r} were judged on different clips: {' unlike '.join(judged.values())}; "
            "the sweep itself judges all on the same"
        )
    return results


def _check_same(ablations: Sequence[Ablation]) -> None:
    seen: dict[str, tuple[object, object]] = {}
    for ablation in ablations:
        for variant in ablation.config.variants:
            described = (variant, ablation.training(variant, 0))
            if seen.setdefault(variant.name, described) != described:
                raise AblationError(f"two ablations mean different things by {variant.name!r}")


def _check_one_kind_of_clips(ablations: Sequence[Ablation]) -> None:
    kinds: dict[tuple[object, ...], str] = {}
    for ablation in ablations:
        for variant in ablation.config.variants:
            one = ablation.training(variant, 0).architecture
            kind = (one.frames, one.height, one.width, one.robot_pictures)
            kinds.setdefault(kind, f"{variant.name!r} of {ablation.config.name!r}")
    if len(kinds) > 1:
        named = "; ".join(f"{kind} for {name}" for kind, name in kinds.items())
        raise AblationError(f"all are judged on the same clips, of one (frames, height, width, robot), got {named}")
