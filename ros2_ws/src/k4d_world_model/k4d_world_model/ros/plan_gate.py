"""The newest plan of one robot beside its newest prediction, and what may be done with them."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.srv import ExecutePlan
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics.errors import KinematicsError, TrajectoryError
from k4d_kinematics.robot_configuration import ConfiguredRobot
from k4d_kinematics.ros.conversions import nanoseconds
from k4d_world_model.errors import RefusedPlanError, WorldModelError
from k4d_world_model.plan_assessment import Assessment, assess, links_of_tool
from k4d_world_model.robot_body import RobotBody
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig
from k4d_world_model.ros.previewed_plan import ReceivedPlan, concerns

_Codes = ExecutePlan.Request


@dataclass(frozen=True, eq=False)
class Judged:
    """A plan with its prediction's summary, what was found about it, and what of that speaks against it, in words."""

    plan: ReceivedPlan
    summary: RolloutMessage
    assessment: Assessment
    concerns: list[str]


@dataclass(frozen=True, eq=False)
class _Stance:
    """Where the robot was (J,) and when that was heard, in seconds of the monotonic clock."""

    positions: NDArray[Any]
    heard: float


class PlanGate:
    """Judges in a thread of its own; whoever asks is answered at once with what is known by then."""

    def __init__(self, configured: ConfiguredRobot, config: PlanGateNodeConfig) -> None:
        self.robot, self._config = configured.robot, config
        self._tool_links = links_of_tool(configured.robot, configured.surface, configured.tool_link)
        self._stance: _Stance | None = None
        self._plan: ReceivedPlan | None = None
        self._summary: RolloutMessage | None = None
        self._rollout: Rollout | None = None  # None for a prediction that failed
        self._assessment: Future[Assessment] | None = None  # None unless the rollout shows the plan
        self._sent_ns = 0  # when the last plan was sent on
        self._worker = ThreadPoolExecutor(1)
        self._body = self._worker.submit(RobotBody, configured.robot, configured.surface, config.contact_distance)

    @property
    def summary(self) -> RolloutMessage:
        """The newest prediction's, empty where there is none."""
        return self._summary or RolloutMessage()

    def stand(self, names: list[str], positions: list[float]) -> None:
        """Takes the newest joint state; where it is not usable, nothing is known. Raises JointStateError."""
        self._stance = None
        self._stance = _Stance(self.robot.order_positions(names, positions), time.monotonic())

    def receive(self, convert: Callable[..., ReceivedPlan], message: Any) -> int:
        """Takes a plan in place of the one before, usable or not; how many points it has. Raises TrajectoryError."""
        self._plan = None
        if self._stance is None:
            raise TrajectoryError("a plan came without a usable joint state before it: its other joints are unknown")
        self._plan = convert(message, self.robot, self._stance.positions, self._config.max_points)
        self._look()
        return len(self._plan.trajectory)

    def predict(self, summary: RolloutMessage, rollout: Rollout | None) -> None:
        """Takes the newest prediction and begins to judge the plan that it shows; None for one that failed."""
        self._summary, self._rollout = summary, rollout
        self._look()

    def _look(self) -> None:
        if self._assessment is not None:
            self._assessment.cancel()
            self._assessment = None
        plan, rollout = self._plan, self._rollout
        if self._another_robot():
            return
        if plan is not None and rollout is not None and plan.is_shown_by(rollout, self._config.start_tolerance):
            self._assessment = self._worker.submit(self._assess, plan, rollout)

    def _another_robot(self) -> str:
        """Why the newest prediction is not of this gate's robot, empty where it is or does not say."""
        shown = "" if self._rollout is None else self._rollout.provenance.robot_sha256
        if shown in ("", self.robot.sha256):
            return ""
        return (
            f"the prediction is of another robot (sha256 {shown[:12]}) than this gate's {self.robot.name} "
            f"({self.robot.sha256[:12]}): give both nodes the same robot YAML or robot_description"
        )

    def _assess(self, plan: ReceivedPlan, rollout: Rollout) -> Assessment:
        distance = self._config.contact_distance
        return assess(rollout, self._body.result(), self._tool_links, distance=distance, motion=plan.trajectory)

    def judge(self) -> Judged:
        """What the newest plan's prediction says. Raises RefusedPlanError with NOT_PREDICTED and what is missing."""
        if self._plan is None:
            raise RefusedPlanError(
                _Codes.NOT_PREDICTED, "there is no plan: none has come, or it was not usable, or it was sent on"
            )
        if self._summary is None:
            raise RefusedPlanError(
                _Codes.NOT_PREDICTED, "nothing has been predicted yet, or not since the last plan was sent on"
            )
        if self._rollout is None:
            raise RefusedPlanError(_Codes.NOT_PREDICTED, f"the prediction failed: {self._summary.error_string}")
        if another := self._another_robot():
            raise RefusedPlanError(_Codes.NOT_PREDICTED, another)
        if self._assessment is None:
            raise RefusedPlanError(
                _Codes.NOT_PREDICTED, "the newest prediction is not of the newest plan; wait for its own"
            )
        if not self._assessment.done():
            raise RefusedPlanError(
                _Codes.NOT_PREDICTED, "the prediction is still being looked at; ask again in a moment"
            )
        try:
            assessment = self._assessment.result()
        except (WorldModelError, KinematicsError, MemoryError) as error:
            raise RefusedPlanError(_Codes.NOT_PREDICTED, str(error)) from error
        return Judged(self._plan, self._summary, assessment, concerns(self._summary, assessment, self._config))

    def check(self, judged: Judged, request: ExecutePlan.Request, now_ns: int) -> None:
        """Raises RefusedPlanError with what keeps a judged plan from being sent on at ``now_ns``."""
        asked, newest = request.sequence_id, judged.summary.sequence_id
        if asked != newest:
            raise RefusedPlanError(
                _Codes.ANOTHER_ROLLOUT, f"the newest plan is shown by rollout {newest!r}, not {asked!r}"
            )
        late = self.lateness(judged.summary, now_ns)
        if late:
            raise RefusedPlanError(_Codes.TOO_OLD, late)
        self._check_stance(judged.plan)
        if judged.concerns and not request.accept_concerns:
            raise RefusedPlanError(_Codes.CONCERNS, "; ".join(judged.concerns))

    def lateness(self, summary: RolloutMessage, now_ns: int) -> str:
        """Why a prediction's observation is too old at ``now_ns`` to send its plan on, empty where it is not."""
        stamp_ns, most = nanoseconds(summary.header.stamp), self._config.observation_age
        age = (now_ns - stamp_ns) * 1e-9
        if stamp_ns <= self._sent_ns <= now_ns:
            return "the observation is from before the last plan was sent on, which may have changed the scene"
        if 0.0 <= age <= most:
            return ""
        return f"the observation is {age:.1f} s old; at most {most:.1f} s count (observation_age)"

    def _check_stance(self, plan: ReceivedPlan) -> None:
        config = self._config
        if self._stance is None:
            raise RefusedPlanError(_Codes.ROBOT_ELSEWHERE, "where the robot is, is not known: no usable joint state")
        age = time.monotonic() - self._stance.heard
        if age > config.joint_state_age:
            raise RefusedPlanError(
                _Codes.ROBOT_ELSEWHERE,
                f"where the robot is, is not known: joint states have been silent for {age:.1f} s, "
                f"more than {config.joint_state_age:g} s (joint_state_age)",
            )
        joint, gap = plan.distance_from(self._stance.positions)
        if gap > config.start_tolerance:
            raise RefusedPlanError(
                _Codes.ROBOT_ELSEWHERE,
                f"{joint} is {gap:.4f} from the plan's start, more than {config.start_tolerance:g} (rad, m)",
            )

    def release(self, judged: Judged, now_ns: int) -> JointTrajectoryMessage:
        """The command of a judged plan, which is sent on once, at ``now_ns``; plan and prediction are then gone."""
        self._plan = self._summary = self._rollout = None
        self._sent_ns = now_ns
        self._look()
        return judged.plan.command

    def close(self) -> None:
        """Ends the thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)
