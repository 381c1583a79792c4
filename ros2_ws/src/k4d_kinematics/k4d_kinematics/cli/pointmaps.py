"""k4d-pointmaps: the robot pointmaps of a trajectory file, without ROS."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tyro
from tqdm import tqdm

from k4d_kinematics.configuration import CameraConfig, read_configuration
from k4d_kinematics.errors import ConfigurationError, KinematicsError
from k4d_kinematics.pictures import contact_sheet, coordinates_as_colours, side_by_side, write_png, write_video
from k4d_kinematics.pipeline import render_trajectory
from k4d_kinematics.pointmap import PointmapSequence
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.trajectory_files import read_trajectory

_SHEET_COLUMNS = 5
_FRAMES_AT_ONCE = 4


@dataclass(frozen=True)
class Arguments:
    """Renders the robot pointmaps of a trajectory as a camera sees them.

    Writes pointmaps.npz (points_cam, mask, link_ids, rgb, times, T_cam_base, positions, joint_names, K), pointmaps.mp4,
    contact_sheet.png and summary.json.

    Example: k4d-pointmaps --robot config/robots/panda.yaml --camera config/cameras/front.yaml
    --trajectory examples/panda_pick_place --topic /joint_states --out out/pointmaps
    """

    robot: Path
    """Robot YAML as in config/robots."""
    camera: Path
    """Camera YAML as in config/cameras; a parent_frame that is a moving link makes a camera that rides on the robot."""
    trajectory: Path
    """CSV, NPZ, YAML, MCAP file or rosbag2 folder with the joints' positions over time."""
    out: Path
    """Folder for the results; made where it does not exist."""
    frames: int = 49
    """Frames that the trajectory is resampled to, first and last included."""
    topic: str | None = None
    """Topic of a recording to read; needed where it holds several of joint states or planned trajectories."""
    workers: int = 2
    """Rendering threads."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it they are prepared anew."""


def main() -> int:
    """Parses the command line, renders and prints what was written."""
    arguments = tyro.cli(Arguments)
    try:
        render(arguments)
    except KinematicsError as error:
        print(f"k4d-pointmaps: {error}", file=sys.stderr)
        return 1
    return 0


def render(arguments: Arguments) -> None:
    """Does the work of the command. Raises KinematicsError on unusable input."""
    steps = 3 + arguments.frames
    with tqdm(total=steps, desc="reading", bar_format="{desc:<12}{bar}{n_fmt}/{total_fmt} [{elapsed}]") as progress:
        configured = configured_robot(arguments.robot, arguments.cache)
        camera = read_configuration(arguments.camera, CameraConfig)
        trajectory = read_trajectory(arguments.trajectory, configured.robot, topic=arguments.topic)
        with _writing_to(arguments.out):
            arguments.out.mkdir(parents=True, exist_ok=True)
        _advance(progress, "rendering")
        renderer = Renderer(configured.surface, camera.camera(), RenderSettings(rgb=True, link_ids=True))
        parts = []
        for part in _parts(trajectory.resample_uniform(arguments.frames)):
            parts.append(
                render_trajectory(
                    configured.robot,
                    part,
                    renderer,
                    camera.transforms(),
                    mount_link=camera.parent_frame,
                    workers=arguments.workers,
                )
            )
            progress.update(len(part))
        sequence = _joined(parts)
        progress.set_description("writing")
        summary = _summary(configured, sequence)
        with _writing_to(arguments.out):
            _write_arrays(arguments.out / "pointmaps.npz", sequence)
            _advance(progress, "drawing")
            _write_pictures(arguments.out, sequence)
            (arguments.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        _advance(progress, "done")
    print(
        f"{len(sequence.times)} frames, {summary['robot_pixels_mean']:.0f} robot pixels on average, in {arguments.out}"
    )


def _parts(trajectory: JointTrajectory) -> Iterator[JointTrajectory]:
    for first in range(0, len(trajectory), _FRAMES_AT_ONCE):
        part = slice(first, first + _FRAMES_AT_ONCE)
        yield JointTrajectory(trajectory.joint_names, trajectory.times[part], trajectory.positions[part])


def _joined(parts: Sequence[PointmapSequence]) -> PointmapSequence:
    """Parts of one sequence in a row, with link_ids and rgb."""
    over_time = ("points_cam", "mask", "times", "T_cam_base", "positions", "link_ids", "rgb")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in over_time}
    return replace(parts[0], **joined)


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"--out must be a folder that can be written, got {out}: {error}") from error


def _advance(progress: "tqdm[NoReturn]", next_step: str) -> None:
    progress.update()
    progress.set_description(next_step)


def _write_arrays(path: Path, sequence: PointmapSequence) -> None:
    assert sequence.link_ids is not None
    assert sequence.rgb is not None
    np.savez_compressed(
        path,
        points_cam=sequence.points_cam,
        mask=sequence.mask,
        link_ids=sequence.link_ids,
        rgb=sequence.rgb,
        times=sequence.times,
        T_cam_base=sequence.T_cam_base,
        positions=sequence.positions,
        joint_names=np.array(sequence.joint_names),
        K=sequence.camera.matrix,
    )


def _write_pictures(out: Path, sequence: PointmapSequence) -> None:
    assert sequence.rgb is not None
    colours = coordinates_as_colours(sequence.points_cam, sequence.mask)
    duration = float(sequence.times[-1] - sequence.times[0])
    rate_hz = (len(sequence.times) - 1) / duration if duration > 0 else 1.0
    frames = zip(sequence.rgb, colours, strict=True)
    write_video(out / "pointmaps.mp4", (side_by_side(frame) for frame in frames), round(rate_hz, 3))
    chosen = np.linspace(0, len(sequence.times) - 1, _SHEET_COLUMNS).round().astype(int)
    write_png(out / "contact_sheet.png", contact_sheet([[part[i] for i in chosen] for part in (sequence.rgb, colours)]))


def _summary(configured: ConfiguredRobot, sequence: PointmapSequence) -> dict[str, object]:
    pixels = sequence.mask.sum(axis=(1, 2))
    depth = sequence.points_cam[..., 2][sequence.mask]
    return {
        "robot": configured.robot.name,
        "robot_sha256": configured.robot.sha256,
        "triangles": configured.surface.triangle_count,
        "camera_frame": sequence.camera.frame_id,
        "frames": len(sequence.times),
        "duration_s": float(sequence.times[-1] - sequence.times[0]),
        "robot_pixels_mean": float(pixels.mean()),
        "robot_pixels_min": int(pixels.min()),
        "depth_min_m": float(depth.min()) if depth.size else None,
        "depth_max_m": float(depth.max()) if depth.size else None,
    }
