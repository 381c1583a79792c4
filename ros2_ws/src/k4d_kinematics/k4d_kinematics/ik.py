"""Joint positions from tool poses: the seam for solvers, the embedded solver, and tool paths over time."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import chain_kernels
from k4d_kinematics import damped_least_squares as dls
from k4d_kinematics.errors import ConfigurationError, InverseKinematicsError
from k4d_kinematics.ik_inputs import checked_poses, checked_seed
from k4d_kinematics.robot import Robot
from k4d_kinematics.trajectory import JointTrajectory, checked_times

Array = NDArray[np.float64]
IkReason = Literal["not_converged", "joint_limits", "joint_jump"]

_REASONS: dict[int, IkReason] = {
    dls.NOT_CONVERGED: "not_converged",
    dls.AT_JOINT_LIMITS: "joint_limits",
    dls.JOINT_JUMP: "joint_jump",
}


@dataclass(frozen=True)
class IkSettings:
    """When a tool pose counts as reached, and how long and how carefully it is searched.

    position_tolerance (m) and rotation_tolerance (rad): largest errors of a reached pose.
    refinement: in (0, 1]; the search goes on until the errors are this part of the tolerances, or iterations run out.
    iterations: largest number of steps, >= 1.
    damping: grows with the squared error, see damped_least_squares; larger is steadier and slower.
    max_jump (rad) and max_slide (m): largest motion of a revolute or prismatic joint from the seed; inf allows any.
    Raises ConfigurationError on values out of range.
    """

    position_tolerance: float = 1e-4
    rotation_tolerance: float = 1e-3
    refinement: float = 0.01
    iterations: int = 100
    damping: float = 1e-3
    max_jump: float = 0.5
    max_slide: float = 0.1

    def __post_init__(self) -> None:
        for name in ("position_tolerance", "rotation_tolerance", "refinement", "damping", "max_jump", "max_slide"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be > 0, got {getattr(self, name)}")
        for name in ("position_tolerance", "rotation_tolerance", "damping"):
            if not np.isfinite(getattr(self, name)):
                raise ConfigurationError(f"{name} must be finite, got {getattr(self, name)}")
        if self.refinement > 1.0:
            raise ConfigurationError(f"refinement must be in (0, 1], got {self.refinement}")
        if self.iterations < 1:
            raise ConfigurationError(f"iterations must be >= 1, got {self.iterations}")


@dataclass(frozen=True)
class IkFailure:
    """A frame of a path whose tool pose was not reached, so that the joints were held.

    ``position_residual`` (m) and ``rotation_residual`` (rad) are the best attempt's errors: within the tolerances when
    ``reason`` is "joint_jump", for then the pose is reachable, but only by a leap.
    """

    frame: int
    position_residual: float
    rotation_residual: float
    reason: IkReason


@dataclass(frozen=True, eq=False)
class PathSolution:
    """Joint positions (T, J) along T tool poses, and the frames at which they were held, in order."""

    positions: Array
    failures: tuple[IkFailure, ...]


@dataclass(frozen=True, eq=False)
class ToolPathResult:
    """The trajectory that follows a tool path, and the frames at which the joints were held instead, in order."""

    trajectory: JointTrajectory
    failures: tuple[IkFailure, ...]

    def describe_failures(self) -> str:
        """How many poses were not reached and the worst of them, for an operator; empty where all were."""
        if not self.failures:
            return ""
        worst = max(self.failures, key=lambda failure: failure.position_residual)
        return (
            f"{len(self.failures)} of {len(self.trajectory)} poses hold the joints; the worst is pose {worst.frame}, "
            f"off by {worst.position_residual * 1e3:.1f} mm and {worst.rotation_residual:.3f} rad ({worst.reason})"
        )


class IkSolver(Protocol):
    """Inverse kinematics of one tool; MoveIt's fits as well as the embedded one.

    Joint positions are those of the whole robot (J,); joints outside the solver's chain or group keep their values.
    """

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The J joints in the order of every ``q``."""
        ...

    def solve(self, T_base_tool: Array, q_prev: Array) -> Array:
        """Joint positions (J,) near ``q_prev`` (J,) that put the tool at ``T_base_tool`` (4, 4).

        Raises InverseKinematicsError with residuals and a reason when there are none, or only after a jump.
        """
        ...

    def solve_path(self, T_base_tool: Array, q0: Array) -> PathSolution:
        """Joint positions along the poses (T, 4, 4), ``q_t = IK(T_t, q_{t-1})``, held and reported where one fails."""
        ...


class DampedLeastSquaresIk:
    """Embedded solver: seeded damped least squares with active joint limits, compiled by numba."""

    def __init__(self, robot: Robot, tip: str, base: str | None = None, settings: IkSettings | None = None) -> None:
        """For the tool link ``tip``, with poses relative to link ``base`` (the root link unless given).

        Raises RobotModelError when there is no such chain.
        """
        self.chain = robot.chain(tip, base)
        self.settings = settings or IkSettings()
        self._robot = robot
        self._arrays = chain_kernels.ChainArrays(
            T_parent_joint=np.array(self.chain.T_parent_joint, np.float64),
            axes=np.array(self.chain.axes, np.float64),
            is_revolute=np.array(self.chain.is_revolute, np.bool_),
            lower=np.array(self.chain.lower, np.float64),
            upper=np.array(self.chain.upper, np.float64),
            T_joint_tip=np.array(self.chain.T_joint_tip, np.float64),
        )
        s = self.settings
        self._criteria = dls.Criteria(
            position_tolerance=float(s.position_tolerance),
            rotation_tolerance=float(s.rotation_tolerance),
            refinement=float(s.refinement),
            iterations=int(s.iterations),
            damping=float(s.damping),
            max_jump=float(s.max_jump),
            max_slide=float(s.max_slide),
        )

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The robot's J joints in the order of every ``q``."""
        return self._robot.joint_names

    def tool_pose(self, q: ArrayLike) -> Array:
        """``T_base_tool`` (4, 4) at joint positions (J,). Raises InverseKinematicsError when they do not fit."""
        q_chain = checked_seed(self.joint_names, self.chain, q)[self.chain.joint_indices]
        return np.asarray(
            chain_kernels.forward(self._arrays, q_chain, np.empty((len(q_chain), 3)), np.empty((len(q_chain), 3)))
        )

    def solve(self, T_base_tool: ArrayLike, q_prev: ArrayLike) -> Array:
        """Joint positions (J,) near ``q_prev`` (J,) with the tool at ``T_base_tool`` (4, 4).

        Raises InverseKinematicsError: reason "invalid_input" when the pose is not a finite rigid transform or
        ``q_prev`` is not J finite positions with the chain's within limits; "not_converged", "joint_limits" (not
        reached, with joints at their limits) or "joint_jump" (reached, but further than ``max_jump`` from the seed).
        """
        T, q = checked_poses(T_base_tool, stacked=False), checked_seed(self.joint_names, self.chain, q_prev).copy()
        indices = self.chain.joint_indices
        q_chain, residual = np.empty(len(indices)), np.empty(2)
        outcome = dls.solve_pose(self._arrays, T, q[indices], self._criteria, q_chain, residual)
        if outcome != dls.REACHED:
            raise InverseKinematicsError(
                f"tool {self.chain.tip_link!r} cannot reach {T.tolist()}: {_REASONS[outcome]}; the best attempt is off "
                f"by {residual[0]:.3g} m and {residual[1]:.3g} rad, valid are {self.settings.position_tolerance} m, "
                f"{self.settings.rotation_tolerance} rad and joint steps of {self.settings.max_jump} rad, "
                f"{self.settings.max_slide} m",
                reason=_REASONS[outcome],
                position_residual=float(residual[0]),
                rotation_residual=float(residual[1]),
            )
        q[indices] = q_chain
        return q

    def solve_path(self, T_base_tool: ArrayLike, q0: ArrayLike) -> PathSolution:
        """Joint positions (T, J) along poses (T, 4, 4), each seeded by the one before and the first by ``q0`` (J,).

        Where a pose is not reached the joints are held, and the frame is reported. Raises InverseKinematicsError with
        reason "invalid_input" as ``solve`` does.
        """
        T, seed = checked_poses(T_base_tool, stacked=True), checked_seed(self.joint_names, self.chain, q0)
        indices = self.chain.joint_indices
        q_chain = np.empty((len(T), len(indices)))
        residual, outcome = np.empty((len(T), 2)), np.empty(len(T), np.int64)
        dls.solve_path(self._arrays, T, seed[indices], self._criteria, q_chain, residual, outcome)
        positions = np.tile(seed, (len(T), 1))
        positions[:, indices] = q_chain
        failures = tuple(
            IkFailure(int(t), float(residual[t, 0]), float(residual[t, 1]), _REASONS[int(outcome[t])])
            for t in np.flatnonzero(outcome != dls.REACHED)
        )
        return PathSolution(positions, failures)


def follow_tool_path(solver: IkSolver, T_base_tool: ArrayLike, times: ArrayLike, q0: ArrayLike) -> ToolPathResult:
    """The trajectory whose tool follows ``T_base_tool`` (T, 4, 4) at ``times`` (T,) s, starting from ``q0`` (J,).

    Frames whose pose is not reached hold the joints of the frame before and are reported. Raises TrajectoryError on
    empty paths and wrong times, InverseKinematicsError on poses that are no rigid transforms or an invalid ``q0``.
    """
    moments = checked_times(times)
    T = checked_poses(T_base_tool, stacked=True)
    if len(T) != len(moments):
        raise InverseKinematicsError(f"a tool path needs one pose per time, got {len(T)} poses, {len(moments)} times")
    solution = solver.solve_path(T, np.asarray(q0, np.float64))
    return ToolPathResult(JointTrajectory(solver.joint_names, moments, solution.positions), solution.failures)
