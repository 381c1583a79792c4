"""k4d-dataset: checks, shows, converts and counts data sets."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro
from tqdm import tqdm

from k4d_kinematics import Robot, resources
from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.pictures import write_png
from k4d_world_model.dataset.building.convert import ConversionSettings, convert_dataset
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.dataset.review.check import CheckReport, CheckSettings, check_dataset
from k4d_world_model.dataset.review.flags import FlagThresholds, JointLimits
from k4d_world_model.dataset.review.review_page import write_review_page
from k4d_world_model.dataset.review.show import describe, episode_sheet
from k4d_world_model.dataset.review.stats import DatasetStatistics, dataset_statistics
from k4d_world_model.dataset.sampling import CLIP_FRAMES, FrameSampling
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.errors import WorldModelError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Check:
    """Verifies every file of a data set and writes a review page, review/index.html, below its root.

    Prints every bad file and exits with 1 when there is one; flags are warnings.

    Example: k4d-dataset check out/dataset --workers 2
    """

    folder: tyro.conf.Positional[Path]
    """Root of a native data set."""
    robot: Path | None = None
    """Robot YAML as in config/robots; the joints that it names are held against its limits."""
    workers: int = 1
    """Processes that share the work."""
    sheets: int = 200
    """Contact sheets to draw, besides those of flagged samples."""
    thresholds: FlagThresholds = field(default_factory=FlagThresholds)
    """Beyond what a sample is flagged."""


@dataclass(frozen=True)
class Show:
    """Describes one sample and draws its contact sheet.

    Example: k4d-dataset show out/dataset pick_place_000000_expert
    """

    folder: tyro.conf.Positional[Path]
    """Root of a native data set."""
    episode: tyro.conf.Positional[str]
    """The sample's identifier."""
    out: Path | None = None
    """PNG to write; by default review/sheets/EPISODE.png below the root."""
    columns: int = 5
    """Frames side by side."""
    width: int = 240
    """Pixels of one frame's width."""


@dataclass(frozen=True)
class Convert:
    """Writes a data set in another layout: the published robo4d folders, ours, or one rosbag2 recording a sample.

    Example: k4d-dataset convert out/dataset --to robo4d --out out/robo4d
    """

    folder: tyro.conf.Positional[Path]
    """Root of the data set to read: a robo4d one to convert to native, else a native one."""
    to: Literal["robo4d", "native", "bag"]
    """Layout to write."""
    out: Path
    """Root of the data set to write; made where it does not exist."""
    mask_threshold: int = 8
    """Of robo4d, the colour level above which a pixel of a mask video shows the robot."""
    bag_source: Path | None = None
    """Of bags, a source YAML as config/sources/bag.yaml: its topics and frames are written."""
    frames: int = CLIP_FRAMES
    """Frames of robo4d samples, uniformly chosen."""
    mirror_short: bool = False
    """Play samples that are too short for robo4d forth and back instead of rejecting them."""
    workers: int = 1
    """Processes that share the work."""


@dataclass(frozen=True)
class Stats:
    """Counts a data set: strata, success, sizes, durations, depths.

    Example: k4d-dataset stats out/dataset --json out/stats.json
    """

    folder: tyro.conf.Positional[Path]
    """Root of a native data set."""
    json: Path | None = None
    """File for the same figures as JSON."""
    depth_samples: int = 100
    """Samples that are decoded for the range of depths."""


Command = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Stats, tyro.conf.subcommand("stats")]
)
_DESCRIPTION = "Checks, shows, converts and counts data sets. Example: k4d-dataset check out/dataset"


def main() -> int:
    """Parses the command line, runs the command and prints what came out."""
    command: Check | Show | Convert | Stats = tyro.cli(Command, description=_DESCRIPTION)
    try:
        match command:
            case Check():
                return check(command)
            case Show():
                show(command)
            case Convert():
                convert(command)
            case Stats():
                stats(command)
    except (WorldModelError, KinematicsError, OSError) as error:
        print(f"k4d-dataset: {error}", file=sys.stderr)
        return 1
    return 0


def check(command: Check) -> int:
    """Checks and prints; 1 when the data set fails. Raises WorldModelError or KinematicsError on unusable input."""
    limits = None if command.robot is None else _joint_limits(command.robot)
    settings = CheckSettings(command.thresholds, limits, command.sheets, command.workers)
    with _progress("checking") as progress:
        report = check_dataset(command.folder, settings, progress)
    page = NativeLayout(command.folder).review_page
    write_review_page(page, report, command.thresholds)
    _print_findings(report)
    print(f"review: {page}")
    return 0 if report.passed else 1


def show(command: Show) -> None:
    """Prints the description and writes the sheet. Raises WorldModelError on an unusable sample."""
    layout = NativeLayout(dataset_root(command.folder))
    episode = read_sample(layout, command.episode)
    sheet = command.out or layout.review_sheet(command.episode)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    write_png(sheet, episode_sheet(episode, columns=command.columns, width_px=command.width))
    print(describe(episode))
    print(f"{'sheet':<11} {sheet}")


def convert(command: Convert) -> None:
    """Converts and prints how many samples there are, and the rejected. Raises WorldModelError on unusable input."""
    sampling = FrameSampling(command.frames, command.mirror_short)
    settings = ConversionSettings(command.mask_threshold, sampling, command.bag_source, command.workers)
    with _progress("converting") as progress:
        conversion = convert_dataset(command.folder, command.to, command.out, settings, progress)
    for episode in conversion.rejected:
        print(f"rejected {episode.episode_id}: {episode.reason}")
    print(f"{conversion.samples} samples in {command.out}, {len(conversion.rejected)} rejected")


def stats(command: Stats) -> None:
    """Prints the figures. Raises WorldModelError on unusable input."""
    layout = NativeLayout(dataset_root(command.folder))
    with _progress("counting") as progress:
        figures = dataset_statistics(layout, depth_samples=command.depth_samples, on_sample=progress)
    _print_figures(figures)
    if command.json is not None:
        command.json.write_text(json.dumps(asdict(figures), indent=1) + "\n")


def _joint_limits(path: Path) -> JointLimits:
    config = read_configuration(path, RobotConfig)
    robot = Robot.from_file(resources.resolve(config.urdf, path.resolve().parent, ()))
    ends = (tuple(map(float, values)) for values in (robot.lower, robot.upper, robot.velocity_limits))
    return JointLimits(robot.joint_names, *ends)


def _print_findings(report: CheckReport) -> None:
    for problem in report.problems:
        print(f"FAILED  {problem}")
    for episode in report.episodes:
        for failure in episode.failures:
            print(f"FAILED  {failure}")
        for warning in episode.warnings:
            print(f"flagged {episode.episode_id}: {warning}")
    failed = sum(bool(episode.failures) for episode in report.episodes)
    flagged = sum(bool(episode.warnings) for episode in report.episodes)
    print(
        f"{len(report.episodes)} samples, {failed} failed, {flagged} flagged; the data set is "
        f"{'sound' if report.passed else 'not sound'}"
    )


def _print_figures(figures: DatasetStatistics) -> None:
    print(
        f"{figures.samples} samples, {figures.train} to train, {figures.val} to validate, {figures.bytes / 1e6:.1f} MB"
    )
    for (frames, height, width), count in figures.sizes:
        print(f"  {count} of {frames} x {height} x {width}")
    print(f"{figures.total_duration:.1f} s in all, {figures.shortest:.2f} s to {figures.longest:.2f} s a sample")
    if figures.nearest is not None:
        print(f"scene depths {figures.nearest:.3f} m to {figures.farthest:.3f} m, in {figures.depth_samples} samples")
    width = max((len(stratum.name) for stratum in figures.strata), default=0)
    for stratum in figures.strata:
        share = "unlabelled" if stratum.success_share is None else f"{100 * stratum.success_share:.0f} % succeed"
        print(f"  {stratum.name:<{width}} {stratum.samples:>6} {share}")


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    bar: tqdm[NoReturn]
    with tqdm(desc=what, unit="sample") as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
