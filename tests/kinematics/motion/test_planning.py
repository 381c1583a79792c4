"""The embedded planner: rest to rest, within limits, to joint goals, tool goals and along straight lines."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_kinematics import se3
from k4d_kinematics.errors import ConfigurationError, PlanningError
from k4d_kinematics.planning import InterpolationPlanner, JointGoal, PlanningSettings, ToolGoal
from k4d_kinematics.robot import Robot


def assert_plan_is_sound(arm, trajectory, start, settings):
    """From ``start``, at rest at both ends, inside position limits and scaled velocity limits, at the rate."""
    np.testing.assert_allclose(trajectory.positions[0], start, atol=1e-12)
    np.testing.assert_allclose(np.diff(trajectory.times), 1.0 / settings.rate_hz, rtol=1e-9)
    assert trajectory.times[0] == 0.0
    assert (trajectory.positions >= arm.robot.lower - 1e-12).all()
    assert (trajectory.positions <= arm.robot.upper + 1e-12).all()
    speeds = np.abs(np.diff(trajectory.positions, axis=0)) * settings.rate_hz
    assert (speeds <= settings.velocity_scale * arm.robot.velocity_limits * (1 + 1e-6)).all()


@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_joint_goals_are_reached_together_at_the_slowest_joints_limit(arm, scale):
    settings = PlanningSettings(velocity_scale=scale, rate_hz=200.0)
    planner = InterpolationPlanner(arm.robot, arm.tip, settings=settings)
    start, goal = arm.random_positions(np.random.default_rng(20), 2, part=0.9)
    trajectory = planner.plan(start, JointGoal(goal))
    assert_plan_is_sound(arm, trajectory, start, settings)
    np.testing.assert_allclose(trajectory.positions[-1], goal, atol=1e-12)
    np.testing.assert_allclose(trajectory.velocities[[0, -1]], 0.0, atol=1e-12)
    part = (trajectory.positions - start) / (goal - start)  # (T, J)
    np.testing.assert_allclose(part, np.tile(part[:, :1], (1, part.shape[1])), atol=1e-9)
    used = np.abs(trajectory.velocities).max(axis=0) / (scale * arm.robot.velocity_limits)
    assert 0.97 < used.max() <= 1.0 + 1e-9


def test_planned_velocities_are_the_derivative_of_the_positions(panda):
    settings = PlanningSettings(rate_hz=1000.0)
    start, goal = panda.random_positions(np.random.default_rng(21), 2)
    plan = InterpolationPlanner(panda.robot, panda.tip, settings=settings).plan(start, JointGoal(goal))
    central = (plan.positions[2:] - plan.positions[:-2]) / (plan.times[2:] - plan.times[:-2])[:, None]
    np.testing.assert_allclose(plan.velocities[1:-1], central, atol=1e-4)


def test_a_goal_that_is_the_start_rests_for_one_period(panda):
    plan = InterpolationPlanner(panda.robot, panda.tip).plan(panda.home, JointGoal(panda.home))
    np.testing.assert_allclose(plan.times, [0.0, 1 / 30])
    np.testing.assert_array_equal(plan.positions, [panda.home, panda.home])


def test_tool_goals_near_and_far_are_reached(arm):
    settings = PlanningSettings()
    planner = InterpolationPlanner(arm.robot, arm.tip, settings=settings)
    for q in arm.random_positions(np.random.default_rng(22), 40):
        T = arm.oracle_pose(q)
        plan = planner.plan(arm.home, ToolGoal(T))
        assert_plan_is_sound(arm, plan, arm.home, settings)
        reached = arm.oracle_pose(plan.positions[-1])
        assert np.linalg.norm(reached[:3, 3] - T[:3, 3]) < 1e-4
        assert se3.rotation_angle(se3.inverse(reached) @ T) < 1e-3


def test_plans_to_far_tool_goals_are_repeatable(panda):
    q = panda.random_positions(np.random.default_rng(23), 1)[0]
    planners = [InterpolationPlanner(panda.robot, panda.tip) for _ in range(2)]
    plans = [planner.plan(panda.home, ToolGoal(panda.oracle_pose(q))) for planner in planners]
    np.testing.assert_array_equal(plans[0].positions, plans[1].positions)


def test_tool_paths_are_straight_and_within_speeds(arm):
    settings = PlanningSettings(tool_speed=0.2, tool_rotation_speed=0.8)
    planner = InterpolationPlanner(arm.robot, arm.tip, settings=settings)
    T0 = arm.oracle_pose(arm.home)
    corner = T0.copy()
    corner[:3, 3] += [0.0, 0.1, -0.05]
    end = corner @ se3.from_xyz_rpy([0.05, 0.0, 0.0], [0.0, 0.3, 0.0])
    plan = planner.plan_tool_path(arm.home, np.stack([corner, end]))
    assert_plan_is_sound(arm, plan, arm.home, settings)
    tool = np.stack([arm.oracle_pose(q) for q in plan.positions])
    np.testing.assert_allclose(tool[-1], end, atol=1e-4)
    assert np.linalg.norm(tool[:, :3, 3] - corner[:3, 3], axis=1).min() < 0.01
    away = np.minimum(
        *(
            np.linalg.norm(np.cross(tool[:, :3, 3] - a[:3, 3], b[:3, 3] - a[:3, 3]), axis=1)
            / np.linalg.norm(b[:3, 3] - a[:3, 3])
            for a, b in ((T0, corner), (corner, end))
        )
    )
    assert away.max() < 1e-4
    speed = np.linalg.norm(np.diff(tool[:, :3, 3], axis=0), axis=1) * settings.rate_hz
    spin = se3.rotation_angle(se3.inverse(tool[:-1]) @ tool[1:]) * settings.rate_hz
    assert speed.max() < 0.2 * 1.01
    assert spin.max() < 0.8 * 1.01
    assert speed[[0, -1]].max() < 0.2 * speed.max()


def test_a_tool_path_slows_down_for_the_joints(ur5):
    slow = PlanningSettings(velocity_scale=0.02)
    planner = InterpolationPlanner(ur5.robot, ur5.tip, settings=slow)
    end = ur5.oracle_pose(ur5.home) @ se3.from_xyz_rpy([0.1, 0, 0], [0, 0, 0.4])
    plan = planner.plan_tool_path(ur5.home, end[None])
    assert_plan_is_sound(ur5, plan, ur5.home, slow)
    quick = InterpolationPlanner(ur5.robot, ur5.tip).plan_tool_path(ur5.home, end[None])
    assert plan.duration > 3.0 * quick.duration


def test_a_tool_path_to_where_the_tool_is_rests(ur5):
    here = ur5.oracle_pose(ur5.home)
    plan = InterpolationPlanner(ur5.robot, ur5.tip).plan_tool_path(ur5.home, np.stack([here, here]))
    np.testing.assert_allclose(plan.positions, np.tile(ur5.home, (2, 1)), atol=1e-9)


def test_paths_that_cannot_be_followed_are_refused(arm):
    planner = InterpolationPlanner(arm.robot, arm.tip)
    far = arm.oracle_pose(arm.home)
    far[:3, 3] += [0.0, 0.0, 2.0]
    with pytest.raises(PlanningError, match=r"left at \d+% of its way: (not_converged|joint_limits), off by"):
        planner.plan_tool_path(arm.home, far[None])
    with pytest.raises(PlanningError, match=r"goal, after 30 more attempts: .* off by"):
        planner.plan(arm.home, ToolGoal(far))
    hurried = InterpolationPlanner(arm.robot, arm.tip, settings=PlanningSettings(max_duration=0.2))
    with pytest.raises(PlanningError, match=r"longer than 0.2 s"):
        hurried.plan(arm.home, JointGoal(arm.home * 0.5))


@pytest.mark.parametrize(
    ("start", "goal", "message"),
    [
        ([9.0] + [0.0] * 7, None, r"start: joint 'panda_joint1' is at 9.0, outside its limits \[-2.8973, 2.8973\]"),
        (None, JointGoal(np.array([0, 0, 0, 0.5, 0, 1, 0, 0.0])), r"goal: joint 'panda_joint4' is at 0.5, outside"),
        (None, JointGoal(np.zeros(7)), r"goal: positions must have shape \(8,\)"),
        (None, JointGoal(np.zeros((2, 8))), r"goal must have shape \(8,\), got \(2, 8\)"),
        ([np.nan] * 8, None, "start: joint positions must be finite"),
        (None, ToolGoal(np.eye(3)), "goal: T_base_tool must have shape"),
        (None, ToolGoal(np.eye(4) * np.nan), "goal: T_base_tool must be finite"),
    ],
)
def test_wrong_starts_and_goals_are_refused(panda, start, goal, message):
    planner = InterpolationPlanner(panda.robot, panda.tip)
    with pytest.raises(PlanningError, match=message):
        planner.plan(panda.home if start is None else start, goal or JointGoal(panda.home))


@pytest.mark.parametrize("poses", [np.zeros((0, 4, 4)), np.eye(4), np.full((2, 4, 4), np.nan), "poses"])
def test_wrong_tool_paths_are_refused(panda, poses):
    with pytest.raises(PlanningError, match=r"T_base_tool|tool path|could not convert"):
        InterpolationPlanner(panda.robot, panda.tip).plan_tool_path(panda.home, poses)


WHEEL = """<robot name="wheel"><link name="a"/><link name="b"/><joint name="turn" type="continuous"><parent link="a"/>
<child link="b"/><axis xyz="0 0 1"/>{limit}</joint></robot>"""


@settings(deadline=None, max_examples=50)
@given(st.floats(-20, 20), st.floats(-20, 20))
def test_continuous_joints_turn_the_short_way(start, goal):
    robot = Robot.from_urdf(WHEEL.format(limit='<limit velocity="2" effort="1"/>'))
    plan = InterpolationPlanner(robot, "b").plan([start], JointGoal(np.array([goal])))
    assert abs(plan.positions[-1, 0] - start) <= math.pi + 1e-9
    assert math.cos(plan.positions[-1, 0] - goal) == pytest.approx(1.0)


def test_a_joint_without_a_velocity_limit_cannot_be_timed():
    planner = InterpolationPlanner(Robot.from_urdf(WHEEL.format(limit="")), "b")
    with pytest.raises(PlanningError, match="'turn' moves but its velocity limit is inf; valid are finite limits > 0"):
        planner.plan([0.0], JointGoal(np.ones(1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"velocity_scale": 1.1},
        {"velocity_scale": 0.0},
        {"rate_hz": math.inf},
        {"tool_speed": math.nan},
        {"tool_rotation_speed": -1.0},
        {"max_duration": 0.0},
        {"goal_attempts": -1},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        PlanningSettings(**changes)
