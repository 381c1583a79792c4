"""The backends that the contract of kinematics is held against, each opened the way a node opens it."""

import importlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pinocchio
import pytest
import rclpy
from geometry_msgs.msg import Pose
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, DisplayTrajectory, RobotTrajectory
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from shape_msgs.msg import SolidPrimitive
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from k4d_kinematics import resources
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import duration_message
from k4d_kinematics.ros.kinematics_backend import BackendConfig, Kinematics, open_kinematics
from k4d_kinematics.trajectory import JointTrajectory

from .moveit_configuration import GROUP, write_parameters

URI, TIP = "package://example-robot-data/robots/panda_description/urdf/panda.urdf", "panda_hand_tcp"
HOME = {
    "panda_joint2": -0.4,
    "panda_joint4": -2.2,
    "panda_joint6": 1.9,
    "panda_joint7": 0.8,
    "panda_finger_joint1": 0.02,
}


@dataclass(frozen=True)
class Backend:
    """An opened backend of the Panda, and what may be expected of it.

    ``ik_share`` of the poses near a seed are reached; tool paths stay within ``straightness`` metres. ``displayed`` is
    what stands on display_planned_path after a plan: its own message where it is move_group.
    """

    name: str
    kinematics: Kinematics
    reopened: Callable[[Robot], Kinematics]
    robot: Robot
    home: np.ndarray
    model: pinocchio.Model
    knows_collisions: bool
    ik_share: float
    straightness: float
    displayed: Callable[[JointTrajectory], DisplayTrajectory]

    def oracle_pose(self, q: np.ndarray) -> np.ndarray:
        """T_base_tool (4, 4) by pinocchio."""
        data, positions = self.model.createData(), pinocchio.neutral(self.model)
        for name, value in zip(self.robot.joint_names, q, strict=True):
            positions[self.model.joints[self.model.getJointId(name)].idx_q] = value
        pinocchio.framesForwardKinematics(self.model, data, positions)
        return data.oMf[self.model.getFrameId(TIP)].homogeneous

    @contextmanager
    def holding_a_long_box(self) -> Iterator[None]:
        """moveit_py only: its robot holds a box that reaches from the hand to the robot's base."""
        monitor = self.kinematics.planner._moveit._moveit.get_planning_scene_monitor()
        held = AttachedCollisionObject(link_name="panda_hand")
        held.object.id, held.object.header.frame_id = "box", "panda_hand"
        held.object.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[0.04, 0.04, 2.0])]
        held.object.primitive_poses = [Pose()]
        held.object.operation = CollisionObject.ADD
        with monitor.read_write() as scene:
            scene.process_attached_collision_object(held)
        yield
        held.object.operation = CollisionObject.REMOVE
        with monitor.read_write() as scene:
            scene.process_attached_collision_object(held)
            scene.remove_all_collision_objects()  # what is let go lies in the world

    def random_positions(self, generator: np.random.Generator, count: int, part: float) -> np.ndarray:
        """Joint positions (count, J), uniform in the middle ``part`` of the limits."""
        lower, upper = self.robot.lower, self.robot.upper
        middle, half = 0.5 * (lower + upper), 0.5 * part * (upper - lower)
        q = generator.uniform(middle - half, middle + half, (count, len(lower)))
        q[:, -1] = self.home[-1]
        return q


@contextmanager
def opened_backend(name: str, folder: Path) -> Iterator[Backend]:
    """The backend ``name``; skips the test where what it needs is not installed, and says what."""
    file = resources.resolve(URI, None, ())
    robot = Robot.from_file(file)
    home = np.array([HOME.get(joint, 0.01) for joint in robot.joint_names])
    with ExitStack() as stack:
        context = Context()
        rclpy.init(context=context)
        stack.callback(rclpy.shutdown, context=context)
        node = rclpy.create_node("backend_user", context=context)
        stack.callback(node.destroy_node)
        config = BackendConfig()
        if name == "moveit_py":
            _require("moveit.planning", "moveit-py")
            file_of_moveit = write_parameters(folder / "moveit_py.yaml", robot, for_move_group=False)
            config = BackendConfig("moveit", GROUP, str(file_of_moveit))
        elif name == "move_group":
            _require("moveit_msgs.srv", "moveit-msgs")
            _start_move_group(stack, write_parameters(folder / "move_group.yaml", robot, for_move_group=True))
            config = BackendConfig("move_group", GROUP, timeout=30.0)
        elif name == "stand_in":
            _require("moveit_msgs.srv", "moveit-msgs")
            _start_stand_in(stack, context, robot)
            config = BackendConfig("move_group", GROUP)
        shown = _Shown(node, context) if name == "move_group" else display_message
        kinematics = open_kinematics(config, robot, TIP, node)
        stack.callback(kinematics.close)
        is_ours = name in ("embedded", "stand_in")
        yield Backend(
            name=name,
            kinematics=kinematics,
            reopened=lambda other: open_kinematics(config, other, TIP, node),
            robot=robot,
            home=home,
            model=pinocchio.buildModelFromUrdf(str(file)),
            knows_collisions=name != "embedded",
            ik_share=1.0 if is_ours else 0.95,
            straightness=1e-4 if name in ("embedded", "moveit_py") else 5e-3,
            displayed=shown,
        )


class _Shown:
    """The newest message on display_planned_path, which move_group publishes with each plan."""

    def __init__(self, node: Node, context: Context) -> None:
        self._messages: list[DisplayTrajectory] = []
        node.create_subscription(DisplayTrajectory, "display_planned_path", self._messages.append, 10)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)

    def __call__(self, plan: JointTrajectory) -> DisplayTrajectory:
        last, give_up = plan.positions[-1][:-1], time.monotonic() + 20.0
        while not (self._messages and np.allclose(_end(self._messages[-1]), last)):
            assert time.monotonic() < give_up, f"{len(self._messages)} displayed paths, none of them the plan"
            self._executor.spin_once(timeout_sec=0.05)
        return self._messages[-1]


def _end(message: DisplayTrajectory) -> np.ndarray:
    return np.array(message.trajectory[-1].joint_trajectory.points[-1].positions)


def display_message(plan: JointTrajectory) -> DisplayTrajectory:
    """A plan of the arm as MoveIt displays it, in two parts, from a start state of its own."""
    parts, middle = [], len(plan) // 2
    for begin, rows in ((0.0, slice(0, middle + 1)), (float(plan.times[middle]), slice(middle, None))):
        part = JointTrajectoryMessage(joint_names=plan.joint_names[:-1])
        for k in range(len(plan))[rows]:
            point = JointTrajectoryPoint(positions=plan.positions[k, :-1].tolist())
            point.time_from_start = duration_message(plan.times[k] - begin)
            if plan.velocities is not None:
                point.velocities = plan.velocities[k, :-1].tolist()
            part.points.append(point)
        parts.append(RobotTrajectory(joint_trajectory=part))
    message = DisplayTrajectory(trajectory=parts)
    message.trajectory_start.joint_state = JointState(name=plan.joint_names, position=plan.positions[0].tolist())
    return message


def _require(module: str, package: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"needs the apt package ros-$ROS_DISTRO-{package}: {error}")


def _start_move_group(stack: ExitStack, parameters: Path) -> None:
    from ament_index_python import PackageNotFoundError, get_package_prefix

    try:
        prefix = Path(get_package_prefix("moveit_ros_move_group"))
    except PackageNotFoundError:
        pytest.skip("move_group is not installed here: apt package ros-$ROS_DISTRO-moveit-ros-move-group")
    program = prefix / "lib" / "moveit_ros_move_group" / "move_group"
    process = subprocess.Popen([program, "--ros-args", "--params-file", parameters])
    stack.callback(process.wait, timeout=20)
    stack.callback(process.terminate)


def _start_stand_in(stack: ExitStack, context: Context, robot: Robot) -> None:
    from .move_group_stand_in import MoveGroupStandIn

    node = rclpy.create_node("move_group", context=context)
    stack.callback(node.destroy_node)
    MoveGroupStandIn(node, robot, TIP)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    stack.callback(thread.join)
    stack.callback(executor.shutdown)
