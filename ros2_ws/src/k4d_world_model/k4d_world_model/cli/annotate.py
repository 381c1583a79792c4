"""k4d-annotate: pointmaps, robot masks and captions by outside tools, into a new data set."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from k4d_world_model.dataset.annotation.annotated_dataset import AnnotationReport, annotate_dataset
from k4d_world_model.dataset.annotation.annotator import Annotator
from k4d_world_model.dataset.annotation.command_annotator import CommandAnnotator
from k4d_world_model.dataset.annotation.sam import SamAnnotator
from k4d_world_model.dataset.annotation.sam_prompt import SamPrompt
from k4d_world_model.errors import AnnotationError, WorldModelError

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Annotates the samples of a native data set into a new one; samples themselves are never changed.

    A command is run once an episode. It reads {input}/rgb/00000.png ... and {input}/episode.json (times, intrinsics)
    and writes into {output} one or more of: points.safetensors (tensor "points", float32 (T, H, W, 3) in the camera's
    optical frame, NaN where there is none, metadata scale "metric" or "affine"); masks/00000.png ... (0, or 255 where
    the robot is seen) or masks.safetensors (tensor "robot_mask", bool (T, H, W)); captions.json (caption,
    scene_caption). What it writes is checked and never executed. SAM 2 and SAM 3 give masks.

    The same command goes on where it was stopped. Exits with 1 when an episode failed.

    Example: k4d-annotate out/droid --out out/droid_points --command "python track.py {input} {output}"

    Example: k4d-annotate out/droid --out out/droid_masks --sam weights/sam2.1-hiera-large --points 310 220
    """

    dataset: tyro.conf.Positional[Path]
    """Root of the native data set to annotate."""
    out: Path
    """Root of the data set to write; made where it does not exist."""
    command: str | None = None
    """Command with its arguments, split as a shell would, but no shell runs it."""
    sam: Path | None = None
    """Folder of SAM 2 or SAM 3 video weights as transformers saves them (config.json, safetensors)."""
    episodes: tuple[str, ...] = ()
    """Identifiers of samples; all by default."""
    points: tuple[tuple[float, float], ...] = ()
    """For SAM: pixels u v on the robot in the first picture; by default points inside the robot mask there."""
    box: tuple[float, float, float, float] | None = None
    """For SAM: a box u v u v around the robot in the first picture."""
    device: str = "cpu"
    """For SAM: torch device such as cuda:0."""
    timeout: float = 3600.0
    """Seconds after which a command is killed."""
    replace_robot: bool = False
    """Put the found mask in place of robot pointmaps that were computed from joints."""


def main() -> int:
    """Parses the command line, annotates and prints what came of it."""
    arguments = tyro.cli(Arguments)
    try:
        report = annotate(arguments)
    except WorldModelError as error:
        print(f"k4d-annotate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-annotate: stopped; the same command goes on", file=sys.stderr)
        return _INTERRUPTED
    for name, reason in report.failed:
        print(f"FAILED  {name}: {reason}")
    print(f"{report.written} annotated, {report.kept} kept, {len(report.failed)} failed, in {arguments.out}")
    return 1 if report.failed else 0


def annotate(arguments: Arguments) -> AnnotationReport:
    """Does the work of the command. Raises WorldModelError on unusable input."""
    return annotate_dataset(
        arguments.dataset, arguments.out, _annotator(arguments), episodes=arguments.episodes,
        replace_robot=arguments.replace_robot, watch=_with_progress,
    )  # fmt: skip


def _annotator(arguments: Arguments) -> Annotator:
    if (arguments.command is None) == (arguments.sam is None):
        raise AnnotationError("give either --command or --sam")
    if arguments.sam is not None:
        is_prompted = bool(arguments.points) or arguments.box is not None
        prompt = SamPrompt(arguments.points, box=arguments.box) if is_prompted else None
        return SamAnnotator(arguments.sam, prompt, arguments.device)
    try:
        command = tuple(shlex.split(str(arguments.command)))
    except ValueError as error:
        raise AnnotationError(f"--command {arguments.command!r} cannot be split into arguments: {error}") from error
    return CommandAnnotator(command, arguments.timeout)


def _with_progress(names: Sequence[str]) -> Iterator[str]:
    yield from tqdm(names, desc="annotating", unit="episode")
