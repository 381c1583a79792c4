"""Waits until predicted plans are executed, and keeps what is seen meanwhile: no more than its limits allow."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.comparison.plan_following import STEP, Following, following
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sampling import nearest_indices
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.dataset.sources.recorded_episode import points_of_depth
from k4d_world_model.errors import ComparisonError, RejectedEpisodeError, WorldModelError
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.rollout import Rollout

_SECOND_NS = 1_000_000_000
# Seconds that joints must be known after an execution's end: until then a later start might fit better.
_SETTLING = 0.3
# Seconds that pictures of an execution's end are waited for: they take longer to come than joint states.
_PICTURE_DELAY = 1.5
# Seconds by which a stamp must lie before the newest one for the clock to have jumped back.
_JUMP = 1.0
# Seconds before and after a plan of which pictures count: more than any tolerance that makes sense.
_MARGIN = 1.0
# Nanoseconds between joint states that are kept: less adds nothing to the steps in which the start is looked for.
_JOINT_GAP_NS = 5_000_000


@dataclass(frozen=True)
class WatchLimits:
    """What is kept, and what counts as an execution.

    seconds, megabytes: of pictures and joints. rate_hz: of pictures. rollouts: how many of the newest are waited for.
    wait: seconds after the observation within which an execution must have begun. joint_error: see Following.holds.
    """

    seconds: float
    megabytes: float
    rate_hz: float
    rollouts: int
    wait: float
    joint_error: float


@dataclass(frozen=True, eq=False)
class Awaited:
    """A rollout, its name, and the stamp of the observation that it starts from."""

    name: str
    rollout: Rollout
    stamp_ns: int


@dataclass(frozen=True, eq=False)
class Execution:
    """A rollout whose plan was executed, when, and what was seen of it, at the rollout's size."""

    awaited: Awaited
    following: Following
    frames: Episode


@dataclass(frozen=True, eq=False)
class _Seen:
    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: NDArray[np.float32] | None  # (H, W) metres: with the camera's rays a third of what points take

    @property
    def size_bytes(self) -> int:
        return self.rgb.nbytes + (0 if self.depth is None else self.depth.nbytes)


class ExecutionWatch:
    """Keeps pictures and joints only while a rollout is waited for. Stamps are whole nanoseconds of one clock.

    A clock that jumps back by more than a second clears pictures and joints; the rollouts stay. Pictures that come
    later than joint states of their time are no such jump.
    """

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self._waiting: deque[Awaited] = deque(maxlen=limits.rollouts)
        self._joints = JointSamples()
        self._seen: dict[int, _Seen] = {}
        self._camera: Camera | None = None
        self._bytes = 0
        self._newest_of: dict[Literal["joints", "pictures"], int] = {}  # stamps
        self._moved_ns: dict[tuple[str, ...], int] = {}  # the last joint state kept of each set of joints
        self._why = "none has been predicted"
        self._given_up = 0

    @property
    def is_waiting(self) -> bool:
        """Whether anything is waited for."""
        return bool(self._waiting)

    @property
    def state(self) -> str:
        """What is waited for and kept, in words."""
        kept = f"{len(self._seen)} pictures kept ({self._bytes / 1e6:.1f} MB)"
        waiting = f"{len(self._waiting)} rollouts wait for their execution, {self._given_up} were given up"
        return f"{waiting}, {kept}; {self._why}"

    def await_execution(self, awaited: Awaited) -> None:
        """Waits for one more rollout, in place of the oldest where there are too many.

        Raises ComparisonError when it says nothing of the robot's joints, by which an execution is known.
        """
        if awaited.rollout.joints is None:
            raise ComparisonError(
                f"rollout {awaited.name!r} says nothing of the robot's joints, by which its execution is known"
            )
        size = awaited.rollout.rgb.shape[1:3]
        if self._waiting and self._waiting[-1].rollout.rgb.shape[1:3] != size:
            self._given_up += len(self._waiting)
            self._waiting.clear()
            self._forget_pictures()
        self._given_up += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(awaited)
        self._why = "the newest has not been looked for yet"

    def move(self, stamp_ns: int, names: list[str], positions: list[float]) -> None:
        """Takes a joint state. Raises RejectedEpisodeError on malformed ones."""
        self._advance("joints", stamp_ns)
        last_ns = self._moved_ns.get(tuple(names))
        if self._waiting and (last_ns is None or stamp_ns >= last_ns + _JOINT_GAP_NS):
            self._joints.add(stamp_ns, names, positions)
            self._moved_ns[tuple(names)] = stamp_ns

    def wants(self, stamp_ns: int) -> bool:
        """Whether a picture of this stamp is to be kept: while something is waited for, as often as the rate allows."""
        self._advance("pictures", stamp_ns)
        gap_ns = 0.9 * _SECOND_NS / self._limits.rate_hz
        return self.is_waiting and all(abs(stamp_ns - other) >= gap_ns for other in self._seen)

    def see(self, stamp_ns: int, camera: Camera, rgb: NDArray[np.uint8], points: NDArray[np.float32] | None) -> None:
        """Keeps a picture (H, W, 3) and its points (H, W, 3) in metres, NaN where unknown, of an undistorted camera.

        The oldest ones go where there is no room. Raises EpisodeError when they do not fit each other.
        """
        still = Episode(
            EpisodeInfo("executed", "live"), rgb[None], np.zeros(1), camera=camera,
            scene_points=None if points is None else points[None],
        )  # fmt: skip
        fitted = fitted_episode(still, *self._waiting[-1].rollout.rgb.shape[1:3])
        if self._camera != fitted.camera:
            self._forget_pictures()
            self._camera = fitted.camera
        points = fitted.scene_points
        seen = _Seen(fitted.rgb[0], None if points is None else points[0, ..., 2].copy())
        self._seen[stamp_ns] = seen
        self._bytes += seen.size_bytes
        while self._bytes > self._limits.megabytes * 1e6:
            self._drop(min(self._seen))

    def executed(self) -> tuple[list[Execution], list[str]]:
        """The rollouts whose plans have been executed since the last call, and why others cannot be compared.

        None of them is waited for any more. Those that were not executed in time are given up. Forgets what is too old.
        """
        newest_ns = max(self._newest_of.values(), default=0)
        begin_ns = newest_ns - round(self._limits.seconds * _SECOND_NS)
        self._joints.forget_before(begin_ns)
        for stamp_ns in [stamp_ns for stamp_ns in self._seen if stamp_ns < begin_ns]:
            self._drop(stamp_ns)
        found: list[Execution] = []
        problems = []
        for awaited in list(self._waiting):
            how = self._following(awaited)
            is_late = newest_ns - awaited.stamp_ns > (self._limits.wait + awaited.rollout.times[-1]) * _SECOND_NS
            if how is None and not is_late:
                continue
            self._waiting.remove(awaited)
            if how is None:
                self._given_up += 1
                continue
            try:
                found.append(Execution(awaited, how, self._frames(awaited.rollout, how.start)))
            except WorldModelError as error:
                problems.append(f"rollout {awaited.name!r}: {error}")
        if not self._waiting:
            self._forget()
        return found, problems

    def _following(self, awaited: Awaited) -> Following | None:
        """How its plan was executed, None where it has not been, or not to its end."""
        plan = awaited.rollout.joints
        assert plan is not None
        try:
            # No joint turns by half between two states: drivers that report a joint within a turn jump by one.
            joints = self._joints.sampled(plan.joint_names, STEP, continuous=plan.joint_names)
            how = following(plan, joints, earliest=awaited.stamp_ns / 1e9)
        except (RejectedEpisodeError, ComparisonError) as error:
            self._why = str(error)
            return None
        self._why = f"the joints are {how.error:.3f} (rad or m) from the newest plan, {how.standing:.3f} is standing"
        end, known = how.start + plan.times[-1], joints.times[-1]
        is_seen = self._newest_of.get("pictures", 0) >= end * _SECOND_NS or end + _PICTURE_DELAY <= known
        return how if end + _SETTLING <= known and is_seen and how.holds(self._limits.joint_error) else None

    def _frames(self, rollout: Rollout, start: float) -> Episode:
        """What is kept of the plan's time, the camera standing where the prediction has it at the nearest moment."""
        assert rollout.joints is not None
        names = rollout.joints.joint_names
        first, last = self._joints.range_ns(names)
        first = max(first, round((start + rollout.times[0] - _MARGIN) * _SECOND_NS))
        last = min(last, round((start + rollout.times[-1] + _MARGIN) * _SECOND_NS))
        stamps_ns = np.array(sorted(self._seen), np.int64)
        stamps_ns = stamps_ns[(stamps_ns >= first) & (stamps_ns <= last)]
        if not len(stamps_ns) or self._camera is None:
            raise ComparisonError("a plan was executed, and no picture was kept of it")
        times = stamps_ns / 1e9
        seen = [self._seen[stamp_ns] for stamp_ns in stamps_ns.tolist()]
        depths = [one.depth for one in seen if one.depth is not None]
        has_depth = len(depths) == len(seen)
        T_cam_base = rollout.T_cam_base[nearest_indices(rollout.times + start, times)]
        return Episode(
            EpisodeInfo("executed", "live"), np.stack([one.rgb for one in seen]), times, camera=self._camera,
            T_world_cam=se3.inverse(T_cam_base), T_world_base=np.eye(4),
            scene_points=points_of_depth(self._camera, np.stack(depths)) if has_depth else None,
            joints=JointTrajectory(names, times, self._joints.positions(names, stamps_ns, continuous=names)),
        )  # fmt: skip

    def _advance(self, stream: Literal["joints", "pictures"], stamp_ns: int) -> None:
        newest_ns = self._newest_of.get(stream, stamp_ns)
        if stamp_ns < newest_ns - round(_JUMP * _SECOND_NS):
            self._forget()
            self._newest_of.clear()
            newest_ns = stamp_ns
        self._newest_of[stream] = max(newest_ns, stamp_ns)

    def _drop(self, stamp_ns: int) -> None:
        self._bytes -= self._seen.pop(stamp_ns).size_bytes

    def _forget(self) -> None:
        self._joints = JointSamples()
        self._moved_ns.clear()
        self._forget_pictures()

    def _forget_pictures(self) -> None:
        self._seen.clear()
        self._bytes = 0
