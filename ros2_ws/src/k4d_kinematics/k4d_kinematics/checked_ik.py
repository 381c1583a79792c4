"""Inverse kinematics by whatever proposes joint positions, held to the promises of an IkSolver."""

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from k4d_kinematics import chain_kernels, se3
from k4d_kinematics.errors import InverseKinematicsError
from k4d_kinematics.ik import IkFailure, IkReason, IkSettings, PathSolution
from k4d_kinematics.ik_inputs import checked_poses, checked_seed
from k4d_kinematics.robot import Robot

# From T_base_tool (4, 4) and q_prev (J,): joint positions (J,), or None where the search found none.
Proposal = Callable[[se3.Array, se3.Array], se3.Array | None]


class CheckedIk:
    """An IkSolver around a search that checks neither its seed, nor limits, nor how far its answer is from the seed.

    Tolerances and largest motions are those of the settings; the rest of them is the embedded search's alone. Such a
    search does not say how near it came, so the residuals of a pose without an answer are those of the seed.
    """

    def __init__(self, robot: Robot, tip: str, propose: Proposal, settings: IkSettings | None = None) -> None:
        """For the tool link ``tip``, with poses relative to the root link. Raises RobotModelError without a chain."""
        self.chain = robot.chain(tip)
        self.settings = settings or IkSettings()
        self._robot, self._propose = robot, propose
        self._tip = robot.link_index(tip)
        revolute = self.chain.is_revolute
        self._reach = np.where(revolute, self.settings.max_jump, self.settings.max_slide)  # (n,)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The robot's J joints in the order of every ``q``."""
        return self._robot.joint_names

    def tool_pose(self, q: ArrayLike) -> se3.Array:
        """``T_base_tool`` (4, 4) at joint positions (J,). Raises InverseKinematicsError when they do not fit."""
        return self._pose(checked_seed(self.joint_names, self.chain, q))

    def solve(self, T_base_tool: ArrayLike, q_prev: ArrayLike) -> se3.Array:
        """Joint positions (J,) near ``q_prev`` (J,) with the tool at ``T_base_tool`` (4, 4).

        Raises InverseKinematicsError as DampedLeastSquaresIk does.
        """
        T = checked_poses(T_base_tool, stacked=False)
        return self._solve(T, checked_seed(self.joint_names, self.chain, q_prev))

    def solve_path(self, T_base_tool: ArrayLike, q0: ArrayLike) -> PathSolution:
        """Joint positions (T, J) along poses (T, 4, 4), each seeded by the one before and the first by ``q0`` (J,).

        Where a pose is not reached the joints are held, and the frame is reported. Raises InverseKinematicsError with
        reason "invalid_input" as ``solve`` does.
        """
        T, q = checked_poses(T_base_tool, stacked=True), checked_seed(self.joint_names, self.chain, q0)
        positions, failures = np.empty((len(T), len(q))), []
        for frame, pose in enumerate(T):
            try:
                q = self._solve(pose, q)
            except InverseKinematicsError as error:
                reason = cast(IkReason, error.reason)
                failures.append(IkFailure(frame, error.position_residual, error.rotation_residual, reason))
            positions[frame] = q
        return PathSolution(positions, tuple(failures))

    def _solve(self, T_base_tool: se3.Array, q_prev: se3.Array) -> se3.Array:
        indices = self.chain.joint_indices
        proposed = self._propose(T_base_tool, q_prev)
        q = q_prev.copy()
        if proposed is not None:
            q[indices] = proposed[indices]
        distance, angle = self._residual(T_base_tool, q)
        s = self.settings
        reason: IkReason | None = None
        if proposed is None or not (distance <= s.position_tolerance and angle <= s.rotation_tolerance):
            reason = "not_converged"
        elif not ((q[indices] >= self.chain.lower) & (q[indices] <= self.chain.upper)).all():
            reason = "joint_limits"
        elif not (np.abs(q - q_prev)[indices] <= self._reach).all():
            reason = "joint_jump"
        if reason is None:
            return q
        raise InverseKinematicsError(
            f"tool {self.chain.tip_link!r} cannot reach {T_base_tool.tolist()}: {reason}; off by {distance:.3g} m and "
            f"{angle:.3g} rad, valid are {s.position_tolerance} m, {s.rotation_tolerance} rad and joint steps of "
            f"{s.max_jump} rad, {s.max_slide} m",
            reason=reason,
            position_residual=distance,
            rotation_residual=angle,
        )

    def _residual(self, T_base_tool: se3.Array, q: se3.Array) -> tuple[float, float]:
        error = np.empty(6)
        chain_kernels.pose_error(T_base_tool, self._pose(q), error)
        return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))

    def _pose(self, q: se3.Array) -> se3.Array:
        return np.ascontiguousarray(self._robot.forward_kinematics(q)[self._tip])
