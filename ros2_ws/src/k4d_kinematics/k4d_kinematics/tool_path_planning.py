"""Straight tool paths as timed joint trajectories, by any solver of inverse kinematics."""

from k4d_kinematics.errors import ToolPathError
from k4d_kinematics.ik import IkSettings, IkSolver
from k4d_kinematics.motion_timing import PEAK_SPEED, Array, MotionTiming, quintic
from k4d_kinematics.tool_line import ToolLine
from k4d_kinematics.trajectory import JointTrajectory


def plan_tool_line(
    solver: IkSolver, settings: IkSettings, timing: MotionTiming, line: ToolLine, start: Array
) -> JointTrajectory:
    """A trajectory from ``start`` (J,) along ``line``, at rest at both ends and as slow as the joints need it.

    Every sample lies on the line within the solver's ``settings``. Raises ToolPathError with the part that can be
    followed, and PlanningError when it would take too long.
    """
    duration = PEAK_SPEED * line.length
    while True:
        times = timing.sample_times(duration)
        s, _ = quintic(times / times[-1])
        solution = solver.solve_path(line.at(s * line.length), start)
        if not solution.failures:
            too_fast = timing.speed_ratio(times, solution.positions)
            if too_fast <= 1.0:
                return JointTrajectory(solver.joint_names, times, solution.positions)
            duration = 1.01 * too_fast * times[-1]
        elif solution.failures[0].reason == "joint_jump":
            duration = 2.0 * times[-1]
        else:
            failure = solution.failures[0]
            raise ToolPathError(
                f"the tool path is left at {s[failure.frame]:.0%} of its way: {failure.reason}, off by "
                f"{failure.position_residual:.3g} m and {failure.rotation_residual:.3g} rad; "
                f"valid are {settings.position_tolerance} m and {settings.rotation_tolerance} rad",
                fraction=float(s[max(failure.frame - 1, 0)]),
            )
