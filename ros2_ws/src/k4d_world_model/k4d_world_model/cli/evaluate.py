"""k4d-evaluate: a world model against a baseline on episodes that it was not trained on."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

from k4d_kinematics import configured_robot
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.pictures import write_png
from k4d_world_model.errors import WorldModelError
from k4d_world_model.evaluation.evaluate import EpisodeScores, evaluate
from k4d_world_model.evaluation.held_out import HeldOut, of_source, of_split
from k4d_world_model.evaluation.report import markdown_table, write_report
from k4d_world_model.evaluation.sheet import comparison_sheet
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import Rollout
from k4d_world_model.world_model import WorldModel, open_world_model


@dataclass(frozen=True)
class Arguments:
    """Predicts held-out episodes with a model and a baseline and compares both with what really happened.

    Writes metrics.csv (a line an episode and model), summary.json, table.md and sheets/ with pictures: RGB of truth,
    model and baseline, then their depths. Episodes come from --source, simulated now, or from a data set's split.

    Example: k4d-evaluate --source config/sources/held_out_easy.yaml --episodes 4 --out out/evaluation
    """

    out: Path
    """Folder of the results; made where it does not exist."""
    model: Path = Path("config/world_models/tiny.yaml")
    """World model YAML as in config/world_models."""
    baseline: Path = Path("config/world_models/frozen_world.yaml")
    """World model YAML that it is compared with."""
    source: tuple[Path, ...] = ()
    """Simulation YAMLs as in config/sources, whose seeds must not be among those trained on."""
    data: Path | None = None
    """Root of a native data set, instead of --source."""
    split: Literal["val", "train"] = "val"
    """Of --data, the samples to take."""
    robot: Path = Path("config/robots/panda.yaml")
    """Of --data, the robot YAML for the robot's pictures."""
    episodes: int | None = None
    """How many episodes of each source or of the split, from the first; all by default."""
    seed: int = 0
    """Of every prediction's random numbers."""
    device: str | None = None
    """As torch names it, instead of the models' own."""
    sheets: int = 12
    """Episodes to draw, from the first."""
    cache: Path | None = None
    """Folder for prepared robot surfaces."""


def main() -> int:
    """Parses the command line, evaluates and prints the table."""
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    if bool(arguments.source) == (arguments.data is not None):
        raise WorldModelError("give either --source or --data, one of them")
    models = [open_world_model(path, device=arguments.device) for path in (arguments.model, arguments.baseline)]
    held_out = [part.first(arguments.episodes) for part in _held_out(arguments, models[0].frame_shape[0])]
    sheets = arguments.out / "sheets"
    sheets.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(len(part.episode_ids) for part in held_out), desc="episodes", unit="episode") as progress:

        def on_episode(scores: EpisodeScores, truth: Truth, rollouts: Sequence[Rollout]) -> None:
            if progress.n < arguments.sheets:
                write_png(sheets / f"{scores.info.episode_id}.png", comparison_sheet(truth, rollouts))
            progress.update()

        evaluation = evaluate(models, held_out, seed=arguments.seed, on_episode=on_episode)
    _close(models)
    write_report(arguments.out, evaluation)
    print(markdown_table(evaluation))
    for episode, reason in evaluation.rejected:
        print(f"left out {episode}: {reason}")
    print(f"Everything is in {arguments.out}.")


def _held_out(arguments: Arguments, frames: int) -> list[HeldOut]:
    if arguments.data is not None:
        robot = configured_robot(arguments.robot, arguments.cache)
        return [of_split(arguments.data, arguments.split, robot)]
    return [of_source(path, frames, arguments.cache) for path in arguments.source]


def _close(models: Sequence[WorldModel]) -> None:
    for model in models:
        model.close()
