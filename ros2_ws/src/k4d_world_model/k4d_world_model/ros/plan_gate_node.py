"""k4d_plan_gate_node: says what the prediction of a plan shows, and sends the plan on once an operator accepts it."""

from functools import partial
from typing import Any

from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.msg import RolloutFrame
from k4d_msgs.srv import ExecutePlan
from moveit_msgs.msg import DisplayTrajectory
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics.errors import JointStateError, KinematicsError
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot, described_robot
from k4d_kinematics.ros.camera_output import frames_qos, summaries_qos, summary_qos
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_world_model.errors import RefusedPlanError, WorldModelError
from k4d_world_model.ros.plan_command import PlanCommand
from k4d_world_model.ros.plan_gate import PlanGate
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig
from k4d_world_model.ros.previewed_plan import ReceivedPlan, contact_messages
from k4d_world_model.ros.rollout_messages import rollout_from_messages
from k4d_world_model.ros.sequence_collector import SequenceCollector

# Only the newest plan and the newest joint state count.
NEWEST_QOS = QoSProfile(depth=1)


class PlanGateNode(Node):
    """Nothing moves unless ``command_topic`` is set and an operator names the rollout that shows the newest plan."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_plan_gate_node", **kwargs)
        self.config = declare_parameters(self, PlanGateNodeConfig)
        self.diagnostics = Diagnostics(self)
        self._collector: SequenceCollector[RolloutMessage, RolloutFrame] = SequenceCollector(
            partial(self.diagnostics.error, "rollout")
        )
        self._gate: PlanGate | None = None
        self.diagnostics.waiting("joint_states", "no joint state has been received")
        self.diagnostics.waiting("plan", "no plan has been received")
        self.diagnostics.waiting("rollout", "no rollout has been received")
        if self.config.robot:
            self._use(configured_robot(self.config.robot, self.config.cache_dir))
        else:
            self.diagnostics.waiting("robot", "no robot_description has been received")
            self.create_subscription(String, "robot_description", self._on_description, summary_qos())
        self._command = PlanCommand(self, self.config.command_topic)
        self.create_subscription(JointState, "joint_states", self._on_joint_state, NEWEST_QOS)
        self.create_subscription(
            JointTrajectoryMessage, "planned_trajectory", partial(self._receive, ReceivedPlan.of_trajectory), NEWEST_QOS
        )
        self.create_subscription(
            DisplayTrajectory, "display_planned_path", partial(self._receive, ReceivedPlan.of_display), NEWEST_QOS
        )
        rollout, frames = (f"{self.config.camera}/predicted/{topic}" for topic in ("rollout", "frames"))
        self.create_subscription(RolloutMessage, rollout, self._on_summary, summaries_qos())
        self.create_subscription(RolloutFrame, frames, self._on_frame, frames_qos())
        self.create_service(ExecutePlan, "execute_plan", self._on_execute)

    def _on_description(self, message: String) -> None:
        if self._gate is not None and self._gate.robot.urdf == message.data:
            self.diagnostics.ok("robot", self._gate.robot.name)
            return
        try:
            self._use(
                described_robot(
                    message.data, tool_link=self.config.tool_link, geometry="visual", triangle_fraction=1.0,
                    mesh_folders=self.config.mesh_folders, cache_dir=self.config.cache_dir,
                )
            )  # fmt: skip
        except KinematicsError as error:
            # The robot may have become another one: nothing is judged by the description before.
            self.close()
            self._gate = None
            self.diagnostics.error("robot", str(error))

    def _use(self, configured: ConfiguredRobot) -> None:
        self.close()
        self._gate = PlanGate(configured, self.config)
        self.diagnostics.ok("robot", configured.robot.name)

    def _on_joint_state(self, message: JointState) -> None:
        if self._gate is None:
            return
        try:
            self._gate.stand(list(message.name), list(message.position))
        except JointStateError as error:
            self.diagnostics.error("joint_states", str(error))
        else:
            self.diagnostics.ok("joint_states", "receiving", stale_after=2.0)

    def _receive(self, convert: Any, message: Any) -> None:
        if self._gate is None:
            self.diagnostics.error("plan", "a plan came before any robot_description")
            return
        try:
            self.diagnostics.ok("plan", f"{self._gate.receive(convert, message)} points")
        except KinematicsError as error:
            self.diagnostics.error("plan", str(error))

    def _on_summary(self, message: RolloutMessage) -> None:
        if message.error_code == RolloutMessage.NONE:
            self._collect(self._collector.announce, message)
            return
        self.diagnostics.error("rollout", f"a prediction failed: {message.error_string}")
        if self._gate is not None:
            self._gate.predict(message, None)

    def _on_frame(self, message: RolloutFrame) -> None:
        self._collect(self._collector.add, message)

    def _collect(self, take: Any, message: Any) -> None:
        try:
            if take(message):
                summary, frames = self._collector.take()
                self._collector.drop()
                if self._gate is None:
                    raise RefusedPlanError(ExecutePlan.Request.NOT_PREDICTED, "it came before any robot_description")
                self._gate.predict(summary, rollout_from_messages(summary, frames))
                late = self._gate.lateness(summary, self.get_clock().now().nanoseconds)
                if late:
                    raise RefusedPlanError(ExecutePlan.Request.TOO_OLD, f"it came too late to send its plan on: {late}")
                self.diagnostics.ok("rollout", f"{summary.frame_count} frames of {summary.model_name}")
        except (WorldModelError, KinematicsError) as error:
            self.diagnostics.error("rollout", str(error))

    def _on_execute(self, request: ExecutePlan.Request, response: ExecutePlan.Response) -> ExecutePlan.Response:
        response.clearance = float("nan")
        try:
            if self._gate is None:
                raise RefusedPlanError(ExecutePlan.Request.NOT_PREDICTED, "there is no robot yet")
            response.rollout = self._gate.summary
            judged = self._gate.judge()
            response.contacts, response.clearance = contact_messages(judged.assessment), judged.assessment.clearance
            response.concerns = judged.concerns
            if request.sequence_id:
                now_ns = self.get_clock().now().nanoseconds
                self._gate.check(judged, request, now_ns)
                self._command.send(partial(self._gate.release, judged, now_ns))
                self.get_logger().info(f"the plan that rollout {request.sequence_id} shows was sent on")
                response.executed = True
        except RefusedPlanError as error:
            response.error_code, response.error_string = error.code, str(error)
        return response

    def close(self) -> None:
        """Ends the thread that judges predictions."""
        if self._gate is not None:
            self._gate.close()


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(PlanGateNode, PlanGateNodeConfig, __doc__, (KinematicsError, WorldModelError))
