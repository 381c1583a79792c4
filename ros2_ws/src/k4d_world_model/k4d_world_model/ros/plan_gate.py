"""The newest plan of one robot beside its newest prediction, and what may be done with them."""

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
from k4d_world_model.errors import WorldModelError
from k4d_world_model.plan_assessment import Assessment, assess, links_of_tool
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig
from k4d_world_model.ros.previewed_plan import ReceivedPlan, concerns, contact_messages

_Verdict = tuple[int, str]  # an error constant of ExecutePlan and the reason


@dataclass(frozen=True, eq=False)
class _Prediction:
    """The newest prediction: its summary and, unless it failed, the rollout and what is being found about it."""

    summary: RolloutMessage
    rollout: Rollout | None = None
    assessment: "Future[Assessment] | None" = None


class PlanGate:
    """Judges in a thread of its own; whoever asks is answered at once with what is known by then."""

    def __init__(self, configured: ConfiguredRobot, config: PlanGateNodeConfig) -> None:
        self.robot, self._surface, self._config = configured.robot, configured.surface, config
        self._tool_links = links_of_tool(configured.robot, configured.surface, configured.tool_link)
        self._positions: NDArray[Any] | None = None
        self._plan: ReceivedPlan | None = None
        self._prediction: _Prediction | None = None
        self._worker = ThreadPoolExecutor(1)

    def stand(self, names: list[str], positions: list[float]) -> None:
        """Takes the newest joint state. Raises JointStateError."""
        self._positions = self.robot.order_positions(names, positions)

    def receive(self, convert: Callable[..., ReceivedPlan], message: Any) -> int:
        """Takes a plan in place of the one before, usable or not; how many points it has. Raises TrajectoryError."""
        self._plan = None
        if self._positions is None:
            raise TrajectoryError("a plan came before any joint state, without which its other joints are unknown")
        self._plan = convert(message, self.robot, self._positions)
        return len(self._plan.trajectory)

    def predict(self, summary: RolloutMessage, rollout: Rollout | None) -> None:
        """Takes the newest prediction and begins to judge it; None for one that failed."""
        found = None
        if rollout is not None:
            distance = self._config.contact_distance
            found = self._worker.submit(assess, rollout, self.robot, self._surface, self._tool_links, distance=distance)
        self._prediction = _Prediction(summary, rollout, found)

    def judge(self, response: ExecutePlan.Response) -> _Verdict:
        """Fills in what the newest plan's prediction says; NONE, or NOT_PREDICTED and what is missing."""
        prediction, plan = self._prediction, self._plan
        response.clearance = float("nan")
        if plan is None:
            return (
                ExecutePlan.Request.NOT_PREDICTED,
                "there is no plan: none has come, or it was not usable, or it was sent on",
            )
        if prediction is None:
            return ExecutePlan.Request.NOT_PREDICTED, "nothing has been predicted yet"
        response.rollout = prediction.summary
        if prediction.rollout is None or prediction.assessment is None:
            return ExecutePlan.Request.NOT_PREDICTED, f"the prediction failed: {prediction.summary.error_string}"
        if not plan.is_shown_by(prediction.rollout):
            return (
                ExecutePlan.Request.NOT_PREDICTED,
                "the newest prediction is not of the newest plan; wait for its own",
            )
        if not prediction.assessment.done():
            return ExecutePlan.Request.NOT_PREDICTED, "the prediction is still being looked at; ask again in a moment"
        try:
            assessment = prediction.assessment.result()
        except (WorldModelError, KinematicsError) as error:
            return ExecutePlan.Request.NOT_PREDICTED, str(error)
        response.contacts, response.clearance = contact_messages(assessment), assessment.clearance
        response.concerns = concerns(prediction.summary, assessment, self._config)
        return ExecutePlan.Request.NONE, ""

    def obstacle(self, request: ExecutePlan.Request, response: ExecutePlan.Response, now_ns: int) -> _Verdict:
        """What keeps a judged plan from being sent on at ``now_ns``; NONE where nothing does."""
        config, asked, newest = self._config, request.sequence_id, response.rollout.sequence_id
        if asked != newest:
            return ExecutePlan.Request.ANOTHER_ROLLOUT, f"the newest plan is shown by rollout {newest!r}, not {asked!r}"
        age = (now_ns - nanoseconds(response.rollout.header.stamp)) * 1e-9
        if not 0.0 <= age <= config.observation_age:
            return (
                ExecutePlan.Request.TOO_OLD,
                f"the observation is {age:.1f} s old; at most {config.observation_age:.1f} s count",
            )
        assert self._plan is not None
        assert self._positions is not None
        joint, gap = self._plan.distance_from(self._positions)
        if gap > config.start_tolerance:
            return (
                ExecutePlan.Request.ROBOT_ELSEWHERE,
                f"{joint} is {gap:.4f} from the plan's start, more than {config.start_tolerance:g} (rad, m)",
            )
        if response.concerns and not request.accept_concerns:
            return ExecutePlan.Request.CONCERNS, "; ".join(response.concerns)
        return ExecutePlan.Request.NONE, ""

    def release(self) -> JointTrajectoryMessage:
        """The command of the newest plan, once."""
        assert self._plan is not None
        command, self._plan = self._plan.command, None
        return command

    def close(self) -> None:
        """Ends the thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)
