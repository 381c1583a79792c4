"""k4d-demo: replays a recorded episode through the real graph and reports what came out of it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from k4d_bringup.bag_agreement import depth_agreement
from k4d_bringup.bag_pictures import write_pictures
from k4d_bringup.bag_report import TopicReport, recorded_types, report_on
from k4d_bringup.errors import BringupError, DemoError
from k4d_bringup.message_types import typestore_for
from k4d_bringup.prediction_report import ROLLOUT, SHEET, PredictionReport, check_prediction, report_prediction
from k4d_bringup.ros.installation import launch_file, share_folders
from k4d_kinematics import read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import WorldModelError
from k4d_world_model.world_model_config import WorldModelConfig

CAMERAS = ("front", "wrist")
# Where the robot's surface is kept once it is prepared.
SURFACES = "surfaces"

# Figures of the prediction to print: name, title, digits.
_FIGURES = (
    ("psnr", "RGB PSNR, whole picture (dB)", 1),
    ("psnr_changed", "RGB PSNR, changed region (dB)", 1),
    ("xyz_psnr_changed", "XYZ PSNR, changed region (dB)", 1),
    ("robot_error_mm", "robot points, median error (mm)", 1),
    ("environment_error_mm", "environment, median error (mm)", 1),
)


@dataclass(frozen=True)
class Arguments:
    """Replays a recorded episode through robot_state_publisher, pointmap node, prediction node and playback node.

    The episode's own motion is the plan whose future is predicted from its first picture. Records all that is
    published, compares the prediction with what the episode really did, and reports.

    Example: k4d-demo --out out/demo
    """

    out: Path = Path("out/demo")
    """Folder for recording/, rollout/, pointmaps.mp4, contact_sheet.png, prediction.png and summary.json; replaced."""
    bag: Path = Path("examples/panda_pick_place")
    """Recording to replay; it must hold the topics that examples/README.md lists."""
    robot: Path = Path("config/robots/panda.yaml")
    """Robot YAML."""
    model: Path = Path("config/world_models/tiny.yaml")
    """World model YAML that predicts."""
    baseline: Path = Path("config/world_models/frozen_world.yaml")
    """World model YAML that the prediction is compared with."""
    source: Path = Path("config/sources/bag.yaml")
    """Source YAML that reads the recording as an episode."""
    timeout: float = 240.0
    """Seconds after which the graph is stopped and counts as failed."""


def main() -> int:
    """Parses the command line, runs the demonstration and prints its table."""
    arguments = tyro.cli(Arguments)
    try:
        run_demo(arguments)
    except (BringupError, WorldModelError, KinematicsError) as error:
        print(f"k4d-demo: {error}", file=sys.stderr)
        return 1
    return 0


def run_demo(arguments: Arguments) -> None:
    """Runs the graph, writes its artefacts and prints its tables.

    Raises DemoError when the graph or the prediction fails or, in the end, when messages were dropped, BagError when
    nothing is recorded, and WorldModelError when the rollout, the baseline or the episode cannot be read.
    """
    recording = arguments.out / "recording"
    shutil.rmtree(recording, ignore_errors=True)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"--out must name a folder that exists or can be made, got {arguments.out}: {error}") from error
    check_model(arguments.model)
    started = time.monotonic()
    launch(arguments, recording)
    graph_s = time.monotonic() - started
    store = typestore_for(recorded_types(recording), share_folders())
    topics = report_on(recording, store)
    frames = write_pictures(
        recording, store, CAMERAS, arguments.out / "pointmaps.mp4", arguments.out / "contact_sheet.png"
    )
    agreements = [found for camera in CAMERAS if (found := depth_agreement(recording, store, camera))]
    check_prediction(recording, store)
    prediction = report_prediction(
        recording,
        arguments.bag,
        arguments.source,
        arguments.robot,
        arguments.baseline,
        arguments.out,
        arguments.out / SURFACES,
    )
    summary = {
        **prediction.as_dict(),
        "graph_s": graph_s,
        "total_s": time.monotonic() - started,
        "pictured_frames": frames,
        "agreement": [agreement.as_dict() for agreement in agreements],
        "topics": [topic.as_dict() for topic in topics],
    }
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    print(table(topics) + "\n")
    for agreement in agreements:
        print(
            f"{agreement.camera}: robot pointmap and recorded depth differ by {agreement.median_mm:.3f} mm (median), "
            f"{agreement.p99_mm:.3f} mm (p99) on {agreement.pixels} visible robot pixels of {agreement.frames} frames."
        )
    print("\n" + prediction_table(prediction) + "\n")
    print(f"The graph ran for {graph_s:.0f} s, of {summary['total_s']:.0f} s in all.")
    print(f"Look at {arguments.out}/{SHEET} (RGB of truth, model, baseline; then their depths), contact_sheet.png and")
    print(f"pointmaps.mp4; everything published is in {recording}, these figures are in {arguments.out}/summary.json.")
    print(f"To look around in the prediction: k4d-view {arguments.out}/{ROLLOUT}")
    lossy = [f"{topic.topic} ({topic.dropped} of {topic.expected})" for topic in topics if topic.dropped]
    if lossy:
        raise DemoError(f"messages were dropped: {', '.join(lossy)}")


def check_model(path: Path) -> None:
    """Raises DemoError when the world model's files are not there, ConfigurationError when its YAML is unusable."""
    config = read_configuration(path, WorldModelConfig)
    folders = [path.parent / name for name in (config.checkpoint, config.base, config.adapter) if name]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise DemoError(f"the model {path} needs {', '.join(missing)}, which does not exist")


def launch(arguments: Arguments, recording: Path) -> None:
    """Runs launch/demo.launch.xml under whichever launcher is there. Raises DemoError unless it ends well in time."""
    # The launch file calls commands of this environment, activated or not.
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    ours, theirs = (shutil.which(program, path=search) for program in ("k4d-launch", "ros2"))
    if not ours and not theirs:
        raise DemoError("neither k4d-launch nor ros2 is on PATH")
    values = {
        "robot": arguments.robot,
        "world_model": arguments.model,
        "bag": arguments.bag,
        "output": recording,
        "surface_cache": arguments.out / SURFACES,
    }
    words = [str(launch_file("demo.launch.xml")), *(f"{name}:={path.resolve()}" for name, path in values.items())]
    command = [ours, *words] if ours else [str(theirs), "launch", *words]
    try:
        done = subprocess.run(command, env={**os.environ, "PATH": search}, timeout=arguments.timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"the graph did not end within {arguments.timeout} s") from error
    if done.returncode != 0:
        raise DemoError(f"the graph failed with exit code {done.returncode}; its output above says why")


def table(topics: tuple[TopicReport, ...]) -> str:
    """The reports as a table."""
    head = ("topic", "messages", "Hz", "dropped", "p50 ms", "p99 ms", "robot pixels")
    rows = [head] + [
        (
            topic.topic,
            str(topic.messages),
            _figure(topic.rate_hz, 1),
            "-" if topic.dropped is None else str(topic.dropped),
            _figure(topic.latency_p50_ms, 1),
            _figure(topic.latency_p99_ms, 1),
            _figure(topic.robot_pixels, 0),
        )
        for topic in topics
    ]
    return _aligned(rows)


def prediction_table(report: PredictionReport) -> str:
    """The figures of model and baseline side by side."""
    names = [rollout.provenance.model_name for rollout in (report.model, report.baseline)]
    rows = [("prediction against what happened", *names)]
    for name, title, digits in _FIGURES:
        values = [getattr(metrics, name) for metrics in (report.model_metrics, report.baseline_metrics)]
        rows.append((title, *(_figure(value, digits) for value in values)))
    seconds = [rollout.provenance.computation_time for rollout in (report.model, report.baseline)]
    rows.append((f"prediction of {len(report.model.times)} frames (s)", *(_figure(value, 1) for value in seconds)))
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, the first underlined, all columns but the first flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
