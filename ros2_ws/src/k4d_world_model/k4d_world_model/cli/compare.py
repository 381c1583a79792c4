"""k4d-compare: a prediction against what happened when its plan was executed."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from k4d_kinematics import configured_robot
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.comparison.comparison import Comparison, compare_execution
from k4d_world_model.comparison.pictures import comparison_pictures
from k4d_world_model.comparison.recorded_execution import StartRule, recorded_execution
from k4d_world_model.comparison.report_files import PAGE, write_comparison
from k4d_world_model.comparison.titles import FRAME_TITLES, middle_and_worst, shown
from k4d_world_model.errors import WorldModelError
from k4d_world_model.rollout_files import read_rollout, read_stamp_ns


@dataclass(frozen=True)
class Arguments:
    """Compares a predicted future with the recording of its execution, frame by frame.

    Each predicted frame is compared with the executed frame nearest to its moment. Writes report.html, which opens
    without a network, figures.json, frames.csv, side_by_side.mp4, side_by_side.png and error_map.png.

    Example: k4d-compare --rollout out/demo/rollout --executed examples/panda_pick_place --out out/compare
    """

    rollout: Path
    """Folder that k4d-predict or k4d-demo wrote, its rollout.mcap, or a recording that holds one rollout."""
    executed: Path
    """Recording of the execution, a rosbag2 folder or MCAP file, or the folder of one sample of a native data set."""
    out: Path
    """Folder for the report; an older one in it is replaced."""
    source: Path = Path("config/sources/bag.yaml")
    """Of a recording, the YAML with its topics, frames and robot."""
    robot: Path | None = None
    """Robot YAML, where --source names none: planned and executed robot are compared with it."""
    align: Literal["stamp", "joints"] = "stamp"
    """When the execution began: at the rollout's stamp, or where the recorded joints follow the plan."""
    start: float | None = None
    """When the execution began, in seconds on the recording's clock, instead of --align."""
    joint_error: float = 0.05
    """Of --align joints, how far joints may be from the plan, rad or m (root mean square)."""
    tolerance: float = 0.05
    """Most seconds between a predicted frame and the executed one that it is compared with."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it they are prepared anew."""


def main() -> int:
    """Parses the command line, compares and prints the figures."""
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (WorldModelError, KinematicsError) as error:
        print(f"k4d-compare: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    rollout, stamp_ns = read_rollout(arguments.rollout), read_stamp_ns(arguments.rollout)
    rule = StartRule(arguments.start, arguments.align, arguments.joint_error)
    found = recorded_execution(arguments.executed, arguments.source, rollout, stamp_ns, rule, arguments.cache)
    robot = found.robot if arguments.robot is None else configured_robot(arguments.robot, arguments.cache)
    comparison = compare_execution(rollout, found.frames, found.start, arguments.tolerance, robot)
    write_comparison(arguments.out, comparison, comparison_pictures(comparison), found.known_by)
    print(_table(comparison))
    for remark in comparison.remarks:
        print(f"note: {remark}")
    print(f"The execution began at {found.start:.3f} s: {found.known_by}.\nTo look at it: {arguments.out / PAGE}")


def _table(comparison: Comparison) -> str:
    rows = [("figure", "median", "worst", "")]
    for title in FRAME_TITLES:
        middle, worst, count = middle_and_worst(comparison, title)
        texts = (shown(middle, title.digits), shown(worst, title.digits) if count else "")
        rows.append((title.text, *texts, title.unit))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{text:{widths[0]}}  {middle:>{widths[1]}}  {worst:>{widths[2]}}  {unit}".rstrip()
        for text, middle, worst, unit in rows
    )
