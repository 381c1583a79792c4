"""The demonstration's prediction against what the recorded episode really did, and against a baseline."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rosbags.typesys.store import Typestore

from k4d_bringup.bag_report import recorded_messages
from k4d_bringup.errors import DemoError
from k4d_kinematics import JointTrajectory, configured_robot
from k4d_kinematics.pictures import write_png
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.bag_messages import SECOND_NS
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.robot_pointmaps import with_robot_pointmaps
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.evaluation.held_out import conditioning_with_robot
from k4d_world_model.evaluation.pixel_figures import figure_values
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, compare
from k4d_world_model.evaluation.sheet import comparison_sheet
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import read_rollout, write_rollout
from k4d_world_model.world_model import open_world_model

SUMMARY_TOPIC = "/front/predicted/rollout"
ROLLOUT, SHEET = "rollout", "prediction.png"


@dataclass(frozen=True)
class PredictionReport:
    """Figures of the model whose rollout was recorded and of the baseline, and what both predictions took."""

    model: Rollout
    baseline: Rollout
    model_metrics: RolloutMetrics
    baseline_metrics: RolloutMetrics

    def as_dict(self) -> dict[str, Any]:
        """``model`` and ``baseline`` with their figures, for JSON."""
        return {
            name: {
                "name": rollout.provenance.model_name,
                "weights_sha256": rollout.provenance.weights_sha256,
                "prediction_s": rollout.provenance.computation_time,
                "peak_mb": rollout.provenance.peak_memory_bytes / 1e6,
                **figure_values(metrics),
            }
            for name, rollout, metrics in (
                ("model", self.model, self.model_metrics),
                ("baseline", self.baseline, self.baseline_metrics),
            )
        }


def check_prediction(recording: Path, store: Typestore) -> None:
    """Raises DemoError with the reason that a recorded prediction gives for having failed."""
    for topic, _, _, message in recorded_messages(recording, store, (SUMMARY_TOPIC,)):
        if message.error_code:
            raise DemoError(f"the prediction failed, {topic} says: {message.error_string}")


def report_prediction(
    recording: Path, bag: Path, source: Path, robot: Path, baseline: Path, out: Path, cache_dir: Path
) -> PredictionReport:
    """Compares the one rollout in ``recording`` with the episode in ``bag`` that it predicted.

    ``source`` is the YAML that reads the bag, ``robot`` and ``baseline`` are those of a robot and a world model. Of the
    episode's pictures and depths those nearest in time to the predicted frames count. Leaves in ``out`` the rollout's
    files, for k4d-view, and a sheet: RGB of truth, model and baseline, then their depths. The robot's prepared surface
    is kept in ``cache_dir``. Raises DemoError when the rollout does not say which joint positions it is of, and
    WorldModelError or KinematicsError when anything cannot be read.
    """
    rollout = read_rollout(recording)
    if rollout.joints is None:
        raise DemoError("the recorded rollout does not say which joint positions it was predicted for")
    configured = configured_robot(robot, cache_dir)
    recordings = open_source(source, root=bag, cache_dir=cache_dir)
    episode = recordings.read(recordings.episode_ids()[0], FrameSampling(len(rollout.times)))
    episode = fitted_episode(episode, rollout.camera.image_height, rollout.camera.image_width)
    planned = with_robot_pointmaps(_moved(episode, rollout.joints), configured)
    conditioning = conditioning_with_robot(planned, configured)
    truth = _truth(episode, planned)
    repeated = _baseline(baseline, conditioning, rollout.provenance.seed)
    stamp_ns = round(Fraction(float(episode.times[0])) * SECOND_NS)
    base_frame = configured.robot.link_names[0]
    write_rollout(out / ROLLOUT, rollout, conditioning, episode, stamp_ns=stamp_ns, base_frame=base_frame)
    write_png(out / SHEET, comparison_sheet(truth, [rollout, repeated]))
    return PredictionReport(rollout, repeated, compare(rollout, truth), compare(repeated, truth))


def _moved(episode: Episode, joints: JointTrajectory) -> Episode:
    """The episode with the robot at ``joints``, timed from the episode's start."""
    times = episode.times[0] + joints.times
    return replace(episode, times=times, joints=JointTrajectory(joints.joint_names, times, joints.positions))


def _truth(episode: Episode, planned: Episode) -> Truth:
    """The episode's pictures and points, the planned robot, and where the robot is in either.

    A recorded frame may lie some milliseconds beside the predicted moment.
    """
    assert episode.scene_points is not None
    assert planned.robot_points is not None
    assert episode.robot_mask is not None
    assert planned.robot_mask is not None
    return Truth(episode.rgb, episode.scene_points, planned.robot_points, episode.robot_mask | planned.robot_mask)


def _baseline(path: Path, conditioning: Conditioning, seed: int) -> Rollout:
    model = open_world_model(path)
    expected = (conditioning.frame_count, *conditioning.first_frame.shape[:2])
    if model.frame_shape != expected:
        raise DemoError(f"the baseline must predict (frames, height, width) {expected}, got {model.frame_shape}")
    try:
        return model.predict(conditioning, seed=seed)
    finally:
        model.close()
