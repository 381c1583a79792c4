"""The one place that chooses who solves inverse kinematics and plans: this package itself, or MoveIt."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node

from k4d_kinematics import se3
from k4d_kinematics.checked_ik import CheckedIk
from k4d_kinematics.errors import ConfigurationError, SupersededError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings, IkSolver
from k4d_kinematics.planning import InterpolationPlanner, Planner, PlanningSettings
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.moveit_comparison import check_link_poses
from k4d_kinematics.ros.moveit_planner import MoveIt, MoveItPlanner, MoveItSettings
from k4d_kinematics.ros.moveit_python import MoveItPython
from k4d_kinematics.ros.moveit_services import MoveItServices

BACKENDS = ("embedded", "moveit", "move_group")


@dataclass(frozen=True)
class BackendConfig:
    """Which backend, and what MoveIt needs.

    name: "embedded" is this package's own; "moveit" is moveit_py in this process; "move_group" is its services.
    group: MoveIt's planning group of the arm. configuration: "moveit" only, a ROS parameter file with MoveIt's robot,
    kinematics and pipelines. timeout: "move_group" only, seconds that it may take to be there and to answer.
    Raises ConfigurationError on unknown names and on what a backend lacks.
    """

    name: str = "embedded"
    group: str = ""
    configuration: str = ""
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise ConfigurationError(f"kinematics_backend must be one of {', '.join(BACKENDS)}, got {self.name!r}")
        if self.name != "embedded" and not self.group:
            raise ConfigurationError(f"kinematics_backend {self.name} needs planning_group, as the SRDF names it")
        if self.name == "moveit" and not self.configuration:
            raise ConfigurationError("kinematics_backend moveit needs moveit_configuration, a ROS parameter file")


@dataclass(frozen=True, eq=False)
class Kinematics:
    """An opened backend: its solver and planner of one tool, and what ends it."""

    solver: IkSolver
    planner: Planner
    close: Callable[[], None]


def open_kinematics(
    config: BackendConfig,
    robot: Robot,
    tip: str,
    node: Node,
    planning: PlanningSettings | None = None,
    ik: IkSettings | None = None,
    is_superseded: Callable[[], bool] = lambda: False,
) -> Kinematics:
    """Solver and planner for the tool link ``tip``; with MoveIt after its link poses proved equal to this robot's.

    MoveIt's solver and planner block until it has answered, and so does opening it: outside callbacks only. MoveIt may
    take a second for each pose, so its solver asks ``is_superseded`` before each, and then raises SupersededError.
    Raises RobotModelError without such a tool, KinematicsBackendError where MoveIt is missing, unreachable or lacks the
    group, and ModelMismatchError where it means another robot.
    """
    if config.name == "embedded":
        return Kinematics(
            DampedLeastSquaresIk(robot, tip, settings=ik),
            InterpolationPlanner(robot, tip, settings=planning, ik_settings=ik),
            lambda: None,
        )
    settings = MoveItSettings(
        config.group, tip, timeout=config.timeout, planning=planning or PlanningSettings(), ik=ik or IkSettings()
    )
    robot.chain(tip)
    moveit: MoveIt
    if config.name == "moveit":
        moveit = MoveItPython(robot, settings, Path(config.configuration))
    else:
        moveit = MoveItServices(robot, settings, node)
    try:
        check_link_poses(robot, moveit.link_poses)
    except Exception:
        moveit.close()
        raise

    def propose(T_base_tool: se3.Array, q_prev: se3.Array) -> se3.Array | None:
        if is_superseded():
            raise SupersededError("a newer plan came before this one was solved")
        return moveit.propose_ik(T_base_tool, q_prev)

    solver = CheckedIk(robot, tip, propose, settings.ik)
    return Kinematics(solver, MoveItPlanner(robot, moveit, solver, settings), moveit.close)


class OpenedKinematics:
    """A backend that is opened when it is first needed, and again after a failure: move_group may start later.

    All of it belongs to one thread, the one that solves.
    """

    def __init__(self, open_backend: Callable[[], Kinematics]) -> None:
        self._open = open_backend
        self._kinematics: Kinematics | None = None

    @property
    def solver(self) -> IkSolver:
        """The backend's solver. Raises what ``open_kinematics`` does."""
        return self.open().solver

    def open(self) -> Kinematics:
        """The backend, opened now if it was not. Raises what ``open_kinematics`` does."""
        if self._kinematics is None:
            self._kinematics = self._open()
        return self._kinematics

    def close(self) -> None:
        """Ends the backend, if it was opened."""
        if self._kinematics is not None:
            self._kinematics.close()
            self._kinematics = None
