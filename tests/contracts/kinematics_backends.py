"""The backends that the contract of kinematics is held against, each opened the way a node opens it."""

import importlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pinocchio
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from k4d_kinematics import resources
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.kinematics_backend import BackendConfig, Kinematics, open_kinematics

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

    ``ik_share`` of the poses near a seed are reached; tool paths stay within ``straightness`` metres.
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

    def oracle_pose(self, q: np.ndarray) -> np.ndarray:
        """T_base_tool (4, 4) by pinocchio."""
        data, positions = self.model.createData(), pinocchio.neutral(self.model)
        for name, value in zip(self.robot.joint_names, q, strict=True):
            positions[self.model.joints[self.model.getJointId(name)].idx_q] = value
        pinocchio.framesForwardKinematics(self.model, data, positions)
        return data.oMf[self.model.getFrameId(TIP)].homogeneous

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
        )


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
