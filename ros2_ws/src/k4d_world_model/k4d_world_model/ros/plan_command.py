"""Where an accepted plan is sent."""

from collections.abc import Callable

from k4d_msgs.srv import ExecutePlan
from rclpy.node import Node
from rclpy.qos import QoSProfile
from trajectory_msgs.msg import JointTrajectory

from k4d_world_model.errors import RefusedPlanError


class PlanCommand:
    """The topic of a controller; an empty one is none."""

    def __init__(self, node: Node, topic: str) -> None:
        # A command that comes late is worse than none.
        self._publisher = node.create_publisher(JointTrajectory, topic, QoSProfile(depth=1)) if topic else None

    def send(self, release: Callable[[], JointTrajectory]) -> None:
        """Sends the command that ``release`` gives away.

        Raises RefusedPlanError with NOT_ALLOWED, and asks for no command, where there is no topic or nobody listens.
        """
        if self._publisher is None:
            raise RefusedPlanError(
                ExecutePlan.Request.NOT_ALLOWED, "command_topic is empty: this node may not move the robot"
            )
        if not self._publisher.get_subscription_count():
            raise RefusedPlanError(
                ExecutePlan.Request.NOT_ALLOWED,
                f"nobody listens to {self._publisher.topic_name}: is the controller running?",
            )
        self._publisher.publish(release())
