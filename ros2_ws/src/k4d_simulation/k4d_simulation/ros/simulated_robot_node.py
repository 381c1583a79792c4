"""k4d_simulated_robot_node: a simulated robot at a table, live: joint trajectories in; joints, images and TF out."""

from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage

from k4d_kinematics import JointTrajectory, KinematicsError
from k4d_kinematics.errors import ConfigurationError, TrajectoryError
from k4d_kinematics.rate_limit import RateLimit
from k4d_kinematics.ros.conversions import nanoseconds, trajectory_from_message
from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_kinematics.ros.parameters import declare_parameters
from k4d_kinematics.ros.running import run_node
from k4d_simulation.errors import CommandError, RenderingError, SimulationError
from k4d_simulation.live_pictures import LivePictures
from k4d_simulation.live_scene import LiveScene, Moment
from k4d_simulation.ros.scene_output import SceneOutput
from k4d_simulation.ros.simulated_robot_config import SimulatedRobotConfig

# A new command replaces the one before: only the newest matters, but none may be lost.
COMMAND_QOS = QoSProfile(depth=10)


class SimulatedRobotNode(Node):
    """Lets a scene run along the wall clock; wrong commands are reported in diagnostics and change nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("k4d_simulated_robot_node", **kwargs)
        self.config = declare_parameters(self, SimulatedRobotConfig)
        if self.get_parameter("use_sim_time").value:
            raise ConfigurationError("use_sim_time must be false: this simulation runs along the wall clock")
        # Meshes and OpenGL take seconds: before anything is advertised.
        settings, scene = self.config.rendering_settings(), self.config.build_scene()
        self._pictures = LivePictures(scene, self.config.height, self.config.width, settings)
        self.live = LiveScene(scene, self._now_ns())
        self.diagnostics = Diagnostics(self)
        self._output = SceneOutput(self, scene, self.config)
        self._image_rate = RateLimit(self.config.image_rate_hz)
        self.diagnostics.ok("joint_trajectory", "no command has been received")
        self.create_subscription(JointTrajectoryMessage, "joint_trajectory", self._on_joint_trajectory, COMMAND_QOS)
        self.create_service(Trigger, "reset", self._on_reset)
        self.create_service(Trigger, "run_expert", self._on_run_expert)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0 / self.config.joint_rate_hz, self._tick, clock=steady)

    def _tick(self) -> None:
        try:
            moved = self.live.advance(self._now_ns())
        except (SimulationError, KinematicsError) as error:
            self.live.stop()
            self.diagnostics.error("physics", str(error))
            return
        self.diagnostics.ok("physics", f"along the wall clock, {self.live.lost_ns * 1e-9:.1f} s lost so far")
        if moved:
            moment = self.live.moment()
            self._output.publish_moment(moment)
            if not self._pictures.is_busy and self._image_rate.passes(moment.stamp_ns):
                self._publish_image(moment)

    def _publish_image(self, moment: Moment) -> None:
        if not self._output.is_image_wanted:
            self._output.publish_camera_info(moment.stamp_ns)
            return
        try:
            self._pictures.draw(moment.qpos, partial(self._output.publish_image, moment.stamp_ns))
        except RenderingError as error:
            self.diagnostics.error("images", str(error))
        else:
            self.diagnostics.ok("images", f"{self.config.width} x {self.config.height} pixels")

    def _on_joint_trajectory(self, message: JointTrajectoryMessage) -> None:
        try:
            if message.points:
                start_ns = nanoseconds(message.header.stamp) or self.live.stamp_ns
                self.live.follow(_command(message), start_ns)
            else:
                self.live.stop()
        except (CommandError, KinematicsError) as error:
            self.diagnostics.error("joint_trajectory", str(error))
        else:
            done = f"following {len(message.points)} points" if message.points else "stopped"
            self.diagnostics.ok("joint_trajectory", done)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.live.reset()
        response.success, response.message = True, "everything is back where it started"
        return response

    def _on_run_expert(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        duration = self.live.run_expert()
        response.success = True
        response.message = f"the scene was reset; its expert does {self.live.scene.task} in {duration:.2f} s"
        return response

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def close(self) -> None:
        """Stops drawing."""
        self._pictures.close()


def _command(message: JointTrajectoryMessage) -> JointTrajectory:
    """The commanded trajectory; accelerations play no part. Raises CommandError where it is malformed."""
    if any(point.effort for point in message.points):
        raise CommandError("a commanded trajectory must have positions, and may have velocities, but no effort")
    try:
        return trajectory_from_message(message)
    except TrajectoryError as error:
        raise CommandError(str(error)) from error


def main() -> int:
    """Runs the node; see ``run_node``."""
    return run_node(SimulatedRobotNode, SimulatedRobotConfig, __doc__, (KinematicsError, SimulationError))
