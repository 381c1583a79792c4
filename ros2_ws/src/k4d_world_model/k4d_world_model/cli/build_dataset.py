"""k4d-build-dataset: a data set from simulated or recorded episodes, on this machine or on many."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.dataset.building.build import build_dataset
from k4d_world_model.dataset.building.build_report import BuildReport
from k4d_world_model.dataset.building.build_settings import BuildSettings
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.sampling import CLIP_FRAMES, FrameSampling
from k4d_world_model.errors import WorldModelError

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Builds a data set: samples/, manifest.json, train.txt, val.txt and report.json in the folder --out.

    It may be stopped or killed at any moment: the same command goes on with what is there, and makes damaged samples
    anew. Exits with 1 when episodes failed; rejected ones are only reported.

    Example: k4d-build-dataset --source config/sources/simulation_easy.yaml --episodes 64 --out out/dataset
    """

    source: Path
    """Source YAML as in config/sources."""
    out: Path
    """Folder of the data set; made where it does not exist. With --ray every machine sees it at this path."""
    root: Path | None = None
    """Folder of the recordings; a simulation takes none."""
    episodes: int | None = None
    """How many of the source's episodes, from the first; all by default."""
    frames: int = CLIP_FRAMES
    """Frames of each sample."""
    mirror_short: bool = False
    """Play recordings that are too short forth and back instead of rejecting them."""
    validation_share: float = 0.02
    """Part of every stratum that validates."""
    split_seed: int = 0
    """Chooses which samples validate."""
    workers: int | None = None
    """Processes of this machine; one a core by default."""
    ray: str = ""
    """Ray cluster: its HOST:PORT, "auto" for the one that this machine is part of, "local" to start one here."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it every worker prepares them anew."""


def main() -> int:
    """Parses the command line, builds and prints the report."""
    arguments = tyro.cli(Arguments)
    try:
        report = build(arguments)
    except (WorldModelError, KinematicsError) as error:
        print(f"k4d-build-dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-build-dataset: stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    print(report.summary())
    return 1 if report.failed else 0


def build(arguments: Arguments) -> BuildReport:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    settings = BuildSettings(
        episodes=arguments.episodes,
        sampling=FrameSampling(arguments.frames, arguments.mirror_short),
        validation_share=arguments.validation_share,
        split_seed=arguments.split_seed,
        workers=arguments.workers,
        ray=arguments.ray,
        root=arguments.root,
        cache=arguments.cache,
    )
    return build_dataset(arguments.source, arguments.out, settings, _with_progress)


def _with_progress(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    counts: Counter[str] = Counter()
    with tqdm(total=total, desc="episodes", unit="episode") as progress:
        for outcome in outcomes:
            counts[outcome.kind] += 1
            progress.set_postfix(counts, refresh=False)
            progress.update()
            yield outcome
