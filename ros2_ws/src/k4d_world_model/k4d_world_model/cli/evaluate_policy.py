"""k4d-evaluate-policy: policies in the simulator and in a world model's prediction, and how far the verdicts agree."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from tqdm import tqdm

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.errors import WorldModelError
from k4d_world_model.policy_evaluation.closed_loop import LoopLimits
from k4d_world_model.policy_evaluation.evaluate_policies import evaluate_policies
from k4d_world_model.policy_evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.policy_evaluation.imagined_world import Memory
from k4d_world_model.policy_evaluation.policy_report import markdown_report, write_report

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Runs policies from the same initial states in the simulator and in a world model's prediction.

    Writes a row (and a video) for every run, then runs.csv, summary.json, report.md and videos of disagreements. It may
    be stopped or killed at any moment: the same command goes on with what is missing; with --report-only it only writes
    what is told of the runs so far. Policies: scripted[:NOISE in metres], replay[:SIGMA in action units], and
    diffusion:YAML or remote:YAML as in config/policies.

    Example: k4d-evaluate-policy --policies scripted scripted:0.03 --runs 2 --out out/policies
    """

    out: Path
    """Folder of the results; made where it does not exist. With --ray every machine sees it at this path."""
    policies: tuple[str, ...] = ("scripted", "scripted:0.015", "scripted:0.03", "replay", "replay:0.1")
    """Policies to run."""
    set_ups: tuple[Path, ...] = (
        Path("config/set_ups/easy.yaml"),
        Path("config/set_ups/medium.yaml"),
        Path("config/set_ups/hard.yaml"),
    )
    """Set-up YAMLs as in config/set_ups."""
    runs: int = 50
    """Initial states of each set-up."""
    model: Path = Path("config/world_models/tiny.yaml")
    """World model YAML as in config/world_models."""
    frames: tuple[int, ...] = (17, 33, 49)
    """Numbers of frames in which the model predicts; the smallest that will do is taken."""
    memory: Memory = "whole_past"
    """What each prediction starts from: the first observation, or the last predicted frame."""
    seed: int = 0
    """Of the predictions' random numbers."""
    limit: int = 240
    """Most commands of a run, 20 a second."""
    chunks: int = 32
    """Most chunks of actions of a run."""
    videos: bool = True
    """Whether to keep footage; without it there are no videos of disagreements."""
    workers: int = 1
    """Processes of this machine; with --ray local the cores of its cluster."""
    ray: str = ""
    """Ray cluster: its HOST:PORT, "auto" for the one that this machine is part of, "local" to start one here."""
    cache: Path | None = None
    """Folder for prepared robot surfaces."""
    report_only: bool = False
    """Report the runs that are there and make none."""


def main() -> int:
    """Parses the command line, runs, and prints the report."""
    arguments = tyro.cli(Arguments)
    try:
        return run(arguments)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-evaluate-policy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED


def run(arguments: Arguments) -> int:
    """Does the work of the command; 1 where initial states failed or runs are missing.

    Raises WorldModelError or KinematicsError.
    """
    settings = EvaluationSettings(
        arguments.model, arguments.frames, arguments.memory, arguments.seed,
        LoopLimits(arguments.limit, arguments.chunks), arguments.videos, arguments.cache,
    )  # fmt: skip
    if arguments.workers == 1:
        torch.set_num_threads(1)
    evaluation = evaluate_policies(
        arguments.policies, arguments.set_ups, arguments.runs, arguments.out, settings, workers=arguments.workers,
        ray=arguments.ray, watch=_watch, report_only=arguments.report_only,
    )  # fmt: skip
    write_report(arguments.out, evaluation)
    print(markdown_report(evaluation))
    for state, reason in evaluation.failed:
        print(f"failed: {state}: {reason}", file=sys.stderr)
    print(f"Everything is in {arguments.out}.")
    missing = 0 if arguments.report_only else evaluation.expected - len(evaluation.rows)
    if missing:
        print(f"{missing} of {evaluation.expected} runs left no row there; does every machine see it?", file=sys.stderr)
    return 1 if evaluation.failed or missing else 0


def _watch(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    yield from tqdm(outcomes, total=total, desc="initial states", unit="state")
