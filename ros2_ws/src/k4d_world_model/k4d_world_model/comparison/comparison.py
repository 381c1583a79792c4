"""A rollout beside its execution: frame by frame, and as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, JointTrajectory
from k4d_kinematics.errors import JointStateError
from k4d_world_model.comparison.executed_frames import chosen_frames, on_pixels_of
from k4d_world_model.comparison.frame_figures import FrameFigures, frame_figures, pixel_distances, without_partner
from k4d_world_model.comparison.pairing import Pairing, pair
from k4d_world_model.comparison.robot_views import RobotViews, robot_views
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.evaluation.regions import regions
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, compare
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import Rollout


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was predicted, what was executed, and how far they are apart.

    rollout: as it was predicted, T frames. pairing: which of them have an executed partner.
    executed: the K partners in order, at the rollout's size; points are NaN where nobody measured them.
    robot: as planned and as moved, in these K frames.
    figures: of each of the T frames. overall: of all K frames' pixels together.
    remarks: what a reader must know to judge the figures, in words.
    """

    rollout: Rollout
    pairing: Pairing
    executed: Truth
    executed_times: NDArray[np.float64]
    robot: RobotViews
    figures: tuple[FrameFigures, ...]
    overall: RolloutMetrics
    remarks: tuple[str, ...]

    @property
    def distances(self) -> NDArray[np.float64]:
        """Metres (K, H, W) between predicted and executed point of each pixel, NaN where either is unknown."""
        return pixel_distances(self.rollout.points[self.pairing.paired], self.executed.points)

    @property
    def colour_differences(self) -> NDArray[np.float64]:
        """Levels of 255 (K, H, W) by which a pixel's colour is off, the mean of its channels."""
        differences = self.rollout.rgb[self.pairing.paired].astype(np.int16) - self.executed.rgb
        return np.asarray(np.abs(differences).mean(axis=-1))


def compare_execution(
    rollout: Rollout, executed: Episode, start: float, tolerance: float, robot: ConfiguredRobot | None = None
) -> Comparison:
    """A rollout against the frames of ``executed``, its moment 0 being ``start`` on their clock.

    A predicted frame is compared with the executed frame nearest to its moment, within ``tolerance`` seconds. With a
    ``robot`` the planned robot is compared with the executed one. Raises ComparisonError when fewer than two frames
    find a partner, the camera is another, or joints do not fit the robot.
    """
    pairing = pair(rollout.times, executed.times, start, tolerance)
    paired = pairing.paired
    partners = on_pixels_of(rollout, chosen_frames(executed, pairing.partners[paired]))
    plan = _plan_at(rollout, partners.times - start)
    robots = robot_views(rollout, paired, plan, partners, robot)
    truth = _truth(partners, robots)
    part = _part(rollout, paired)
    found = dict(zip(paired.tolist(), _figures(part, partners, truth, robots, plan), strict=True))
    reasons = dict(pairing.unpaired)
    figures = [found[k] if k in found else without_partner(reasons[k]) for k in range(len(rollout.times))]
    return Comparison(
        rollout, pairing, truth, partners.times, robots, tuple(figures), compare(part, truth),
        tuple(_remarks(rollout, partners, robots, pairing)),
    )  # fmt: skip


def _truth(executed: Episode, robots: RobotViews) -> Truth:
    points = executed.scene_points
    if points is None or executed.scale != "metric":
        points = np.full(executed.rgb.shape, np.nan, np.float32)
    # A prediction shows the robot at its own moment: where that is beside the executed one, neither is the scene.
    mask = robots.executed_mask | robots.planned_mask | robots.predicted_mask
    return Truth(executed.rgb, points, robots.executed_points, mask)


def _part(rollout: Rollout, paired: NDArray[np.intp]) -> Rollout:
    joints = rollout.joints
    return replace(
        rollout,
        rgb=rollout.rgb[paired],
        points=rollout.points[paired],
        valid=rollout.valid[paired],
        times=rollout.times[paired],
        T_cam_base=rollout.T_cam_base[paired],
        joints=None
        if joints is None
        else JointTrajectory(joints.joint_names, rollout.times[paired], joints.positions[paired]),
    )


def _plan_at(rollout: Rollout, moments: NDArray[np.float64]) -> JointTrajectory | None:
    """The plan's joints at the executed frames' own moments (K,), and at its ends for those that lie beside it."""
    if rollout.joints is None:
        return None
    return rollout.joints.resample(np.clip(moments, *rollout.joints.times[[0, -1]]))


def _figures(
    part: Rollout, executed: Episode, truth: Truth, robots: RobotViews, plan: JointTrajectory | None
) -> Iterator[FrameFigures]:
    # The first frame is what changes are counted from.
    changed = np.concatenate([np.zeros_like(truth.robot_mask[:1]), regions(truth).changed])
    deviations = _joint_deviations(plan, executed)
    for k in range(len(part.times)):
        yield frame_figures(
            part.rgb[k], part.points[k], truth.rgb[k], truth.points[k], changed[k], robots, k, float(deviations[k])
        )


def _joint_deviations(plan: JointTrajectory | None, executed: Episode) -> NDArray[np.float64]:
    """How far (K,) the worst joint of each executed frame is from the plan; NaN where joints are unknown."""
    unknown = np.full(executed.frame_count, np.nan)
    if plan is None or executed.joints is None:
        return unknown
    try:
        done = executed.joints.reorder(plan.joint_names).positions
    except JointStateError:
        return unknown
    return np.asarray(np.abs(plan.positions - done).max(axis=-1))


def _remarks(rollout: Rollout, executed: Episode, robots: RobotViews, pairing: Pairing) -> Iterator[str]:
    if pairing.unpaired:
        names = ", ".join(str(k) for k, _ in pairing.unpaired)
        yield f"{len(pairing.unpaired)} of {len(rollout.times)} predicted frames have no executed one: {names}"
    if executed.scene_points is None:
        yield "no depth was recorded, so that clouds are not compared"
    elif executed.scale != "metric":
        yield "the executed points are not in metres, so that clouds are not compared"
    if rollout.fit.reason:
        yield f"the prediction's metres are not sure: {rollout.fit.reason}"
    if robots.reason:
        yield f"{robots.reason}: the robot counts as scene where it has moved"
