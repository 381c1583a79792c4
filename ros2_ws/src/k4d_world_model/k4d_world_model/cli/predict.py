"""k4d-predict: what a camera will see when the robot moves as planned."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import tyro
from tqdm import tqdm

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ConditioningError, WorldModelError
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, compare
from k4d_world_model.evaluation.truth import truth_of
from k4d_world_model.fitting import fitted
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import RECORDING, VIDEO, write_rollout
from k4d_world_model.rollout_start import PictureFiles, start_of_picture, start_of_recording
from k4d_world_model.world_model import WorldModel, open_world_model


@dataclass(frozen=True)
class Arguments:
    """Predicts the future of a picture under a robot's motion: RGB and points in metres.

    It starts from --image, --trajectory, --robot and --camera, or from the beginning of the recording --episode, with
    whose further course the prediction is then compared. Writes predicted.mp4, frames/ (an NPZ and a PLY each),
    rollout.mcap and summary.json, which k4d-view shows.

    Example: k4d-predict --episode examples/panda_pick_place --out out/prediction
    """

    out: Path
    """Folder for the results; an older rollout in it is replaced."""
    model: Path = Path("config/world_models/tiny.yaml")
    """World model YAML as in config/world_models."""
    image: Path | None = None
    """Picture, PNG or JPEG, of the moment from which the future is predicted."""
    trajectory: Path | None = None
    """CSV, NPZ, YAML, MCAP file or rosbag2 folder with the joints' positions over time."""
    robot: Path | None = None
    """Robot YAML as in config/robots."""
    camera: Path | None = None
    """Camera YAML as in config/cameras, of the picture's size."""
    depth: Path | None = None
    """Depth of the same pixels as the picture: PNG of 16 bits in millimetres, or NPY in metres."""
    topic: str | None = None
    """Topic of a recorded trajectory; needed where it holds several."""
    start: float = 0.0
    """Second of the trajectory at which the picture was taken."""
    duration: float | None = None
    """Seconds to predict; by default the rest of the trajectory."""
    episode: Path | None = None
    """Recording with picture, depth, calibration and joints: a rosbag2 folder or MCAP file."""
    source: Path = Path("config/sources/bag.yaml")
    """Of --episode, the YAML with its topics, frames and robot."""
    seed: int = 0
    """Of the random numbers: the same inputs, model, device and seed give the same prediction."""
    steps: int | None = None
    """Sampling steps instead of the model's own."""
    device: str | None = None
    """As torch names it, instead of the model's own."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it they are prepared anew."""


def main() -> int:
    """Parses the command line, predicts and prints what was written."""
    arguments = tyro.cli(Arguments)
    try:
        predict(arguments)
    except (WorldModelError, KinematicsError) as error:
        print(f"k4d-predict: {error}", file=sys.stderr)
        return 1
    return 0


def predict(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    files = _picture_files(arguments)
    model = open_world_model(arguments.model, device=arguments.device)
    try:
        frames, height, width = model.frame_shape
        if files is not None:
            start = start_of_picture(files, frames, arguments.cache)
        else:
            assert arguments.episode is not None
            start = start_of_recording(arguments.episode, arguments.source, frames, arguments.cache)
        conditioning = fitted(start.conditioning, height, width)
        rollout = _predicted(model, conditioning, arguments)
    finally:
        model.close()
    recorded = None if start.recorded is None else fitted_episode(start.recorded, height, width)
    write_rollout(arguments.out, rollout, conditioning, recorded, stamp_ns=start.stamp_ns, base_frame=start.base_frame)
    has_truth = recorded is not None and recorded.scene_points is not None
    _print(arguments.out, rollout, compare(rollout, truth_of(recorded)) if recorded and has_truth else None)


def _picture_files(arguments: Arguments) -> PictureFiles | None:
    """The files to start from, None where --episode is given instead. Raises ConditioningError on any other choice."""
    image, trajectory, robot, camera = arguments.image, arguments.trajectory, arguments.robot, arguments.camera
    given = (image, trajectory, robot, camera, arguments.depth)
    if arguments.episode is not None and given == (None,) * 5:
        return None
    if arguments.episode is not None or image is None or trajectory is None or robot is None or camera is None:
        names = [name for name in ("episode", "image", "trajectory", "robot", "camera", "depth")
                 if getattr(arguments, name) is not None]  # fmt: skip
        raise ConditioningError(
            "give either --episode, or --image, --trajectory, --robot, --camera and, where there is one, --depth; got "
            + (", ".join(f"--{name}" for name in names) or "none of them")
        )
    return PictureFiles(
        image, trajectory, robot, camera, arguments.depth, arguments.topic, arguments.start, arguments.duration
    )


def _predicted(model: WorldModel, conditioning: Conditioning, arguments: Arguments) -> Rollout:
    bar: tqdm[NoReturn]
    with tqdm(desc=f"predicting ({model.config.name})", unit="step") as bar:

        def advance(step: int, total: int) -> None:
            bar.total = total
            bar.update(step - bar.n)

        return model.predict(conditioning, seed=arguments.seed, on_step=advance, steps=arguments.steps)


def _print(out: Path, rollout: Rollout, metrics: RolloutMetrics | None) -> None:
    fit, provenance = rollout.fit, rollout.provenance
    how = fit.reason or f"{1000 * fit.residual:.1f} mm median on {fit.pixel_count} robot pixels"
    count, height, width = rollout.valid.shape
    print(f"{count} frames of {height} x {width} in {provenance.computation_time:.1f} s on {provenance.device}")
    print(f"metric residual: {how}")
    if metrics is not None:
        print(
            f"against the recording: PSNR {metrics.psnr:.1f} dB, where it changed {metrics.psnr_changed:.1f} dB; "
            f"XYZ {metrics.xyz_psnr:.1f} dB, where it changed {metrics.xyz_psnr_changed:.1f} dB; "
            f"robot {metrics.robot_error_mm:.1f} mm"
        )
    print(f"video      {out / VIDEO}\nrecording  {out / RECORDING}\nto look at it: k4d-view {out}")
