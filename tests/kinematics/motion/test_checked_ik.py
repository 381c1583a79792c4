"""Whatever a search proposes, a CheckedIk answers with reached poses near the seed, or says what is wrong."""

import math

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.checked_ik import CheckedIk
from k4d_kinematics.errors import InverseKinematicsError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings


def proposing(arm, change=lambda q: q, settings=None):
    """A CheckedIk whose search is the embedded one without bounds, and then changed."""
    search = DampedLeastSquaresIk(arm.robot, arm.tip, settings=IkSettings(max_jump=math.inf, max_slide=math.inf))
    return CheckedIk(arm.robot, arm.tip, lambda T, q: change(search.solve(T, q)), settings)


def test_a_good_proposal_is_the_answer(arm):
    T = arm.oracle_pose(arm.home) @ se3.from_xyz_rpy([0.02, 0, -0.01], [0, 0.1, 0])
    solver = proposing(arm)
    np.testing.assert_array_equal(solver.solve(T, arm.home), arm.solver().solve(T, arm.home))
    np.testing.assert_allclose(solver.tool_pose(arm.home), arm.oracle_pose(arm.home), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda q: None, "not_converged"),
        (lambda q: q + 0.01, "not_converged"),
        (lambda q: q + 2.0 * np.pi * (np.arange(len(q)) == 6), "joint_limits"),
    ],
)
def test_a_proposal_that_is_none_or_off_or_outside_is_refused(panda, change, reason):
    with pytest.raises(InverseKinematicsError) as info:
        proposing(panda, change).solve(panda.oracle_pose(panda.home), panda.home)
    assert info.value.reason == reason


def test_a_proposal_far_from_the_seed_is_a_jump(arm):
    far = arm.home.copy()
    far[0] += 1.3
    T = arm.oracle_pose(far)
    with pytest.raises(InverseKinematicsError) as info:
        proposing(arm).solve(T, arm.home)
    assert info.value.reason == "joint_jump"
    assert info.value.position_residual < 1e-4
    q = proposing(arm, settings=IkSettings(max_jump=1.5)).solve(T, arm.home)
    np.testing.assert_allclose(arm.oracle_pose(q), T, atol=1e-3)


def test_joints_outside_the_chain_keep_the_seed(panda):
    finger = panda.robot.joint_names.index("panda_finger_joint1")
    solver = proposing(panda, lambda q: q + 0.01 * (np.arange(len(q)) == finger))
    assert solver.solve(panda.oracle_pose(panda.home), panda.home)[finger] == panda.home[finger]


def test_a_path_is_solved_pose_by_pose_and_held_where_one_fails(ur5):
    path = np.tile(ur5.oracle_pose(ur5.home), (6, 1, 1))
    path[:, 0, 3] += 0.01 * np.arange(6)
    path[2:4, 2, 3] += 4.0
    solution = CheckedIk(ur5.robot, ur5.tip, failing(ur5)).solve_path(path, ur5.home)
    assert [(failure.frame, failure.reason) for failure in solution.failures] == [
        (2, "not_converged"),
        (3, "not_converged"),
    ]
    assert all(3.9 < failure.position_residual < 4.1 for failure in solution.failures)
    np.testing.assert_array_equal(solution.positions[2:4], np.tile(solution.positions[1], (2, 1)))
    np.testing.assert_allclose(ur5.oracle_pose(solution.positions[5]), path[5], atol=1e-4)


def failing(arm):
    """The embedded search, with None where it fails."""

    def propose(T, q):
        try:
            return arm.solver().solve(T, q)
        except InverseKinematicsError:
            return None

    return propose


@pytest.mark.parametrize("spoil", [lambda q: q[:-1], lambda q: q * np.nan, lambda q: q + 9.0])
def test_malformed_seeds_never_reach_the_search(panda, spoil):
    solver = CheckedIk(panda.robot, panda.tip, lambda T, q: pytest.fail("asked"))
    for call in (solver.solve, lambda T, q: solver.solve_path(T[None], q)):
        with pytest.raises(InverseKinematicsError) as info:
            call(panda.oracle_pose(panda.home), spoil(panda.home))
        assert info.value.reason == "invalid_input"
