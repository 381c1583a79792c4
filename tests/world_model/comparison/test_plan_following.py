"""The joints tell when a plan was followed, to a fraction of the steps that are tried."""

import numpy as np
import pytest

from k4d_kinematics import JointTrajectory
from k4d_world_model.comparison.plan_following import following
from k4d_world_model.errors import ComparisonError

BEGAN = 812.3456
PLAN = JointTrajectory(
    ("a", "b", "rests"),
    np.linspace(0.0, 2.0, 13),
    np.stack([np.sin(np.linspace(0, 2, 13)), np.linspace(0.2, -0.5, 13) ** 2, np.full(13, 0.3)], axis=-1),
)


def executed(began: float = BEGAN, error: float = 0.0) -> JointTrajectory:
    """Another joint's state in front, the plan's in another order, at 100 Hz from 4.0037 s before to 3 s after it."""
    times = np.arange(began - 4.0037, began + 5.0, 0.01)
    a, b, rests = (np.interp(times - began, PLAN.times, PLAN.positions[:, k]) for k in range(3))
    return JointTrajectory(("gripper", "b", "rests", "a"), times, np.stack([0 * a, b, rests, a + error], axis=-1))


def test_the_start_is_found_by_other_joints_order_and_rest() -> None:
    found = following(PLAN, executed())
    assert found.start == pytest.approx(BEGAN, abs=1e-3)
    assert found.error < 1e-3


def test_the_error_is_the_root_mean_square_over_what_moves() -> None:
    done = executed(error=0.04)
    found = following(PLAN, done)
    differences = [
        np.interp(found.start + PLAN.times, done.times, done.positions[:, column]) - PLAN.positions[:, k]
        for k, column in ((0, 3), (1, 1))
    ]
    assert found.error == pytest.approx(np.sqrt(np.mean(np.square(differences))))
    assert found.error > 0.01


def test_of_two_executions_the_earliest_allowed_one_counts() -> None:
    first, second = executed(100.0), executed(120.0, error=0.01)
    both = JointTrajectory(
        first.joint_names, np.concatenate([first.times, second.times]), np.vstack([first.positions, second.positions])
    )
    assert following(PLAN, both, earliest=105.0).start == pytest.approx(120.0, abs=0.02)
    assert following(PLAN, both).start == pytest.approx(100.0, abs=1e-3)


def test_a_recording_may_end_with_the_plan() -> None:
    times = 1_760_000_000.0 + PLAN.times
    done = JointTrajectory(PLAN.joint_names, np.append(times[:-1], times[-1] - 0.004), PLAN.positions)
    assert following(PLAN, done).start == pytest.approx(times[0], abs=5e-3)


@pytest.mark.parametrize(
    ("plan", "done", "message"),
    [
        (JointTrajectory(("a",), [0.0, 1.0], [[0.5], [0.5]]), executed(), "moves no joint"),
        (JointTrajectory(("elbow",), [0.0, 1.0], [[0.5], [0.9]]), executed(), "elbow"),
        (JointTrajectory(("a",), [0.0, 30.0], [[0.5], [0.9]]), executed(), r"takes 30\.000 s"),
    ],
)
def test_joints_that_do_not_tell_are_named(plan: JointTrajectory, done: JointTrajectory, message: str) -> None:
    with pytest.raises(ComparisonError, match=message):
        following(plan, done)
