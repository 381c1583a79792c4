"""Tool paths over time: smooth ones are followed, singular and unreachable ones are held and reported."""

import math

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.errors import InverseKinematicsError, TrajectoryError
from k4d_kinematics.ik import IkSettings, follow_tool_path

FRAMES = 49
TIMES = np.arange(FRAMES) / 30.0
MAX_JUMP = 0.5


def smooth_path(arm, generator):
    """(FRAMES, 4, 4): a random ellipse of a few centimetres with a rocking tool, from the posture ``home``."""
    T_home = arm.oracle_pose(arm.home)
    phase = np.linspace(0.0, 2.0 * np.pi, FRAMES)
    a, b = generator.normal(0.0, 0.05, (2, 3))
    tilt = generator.normal(0.0, 0.15, 3)
    offsets = np.outer(np.sin(phase), a) + np.outer(1.0 - np.cos(phase), b)
    local = [se3.from_xyz_rpy([0, 0, 0], tilt * math.sin(angle)) for angle in phase]
    path = T_home @ np.array(local)
    path[:, :3, 3] += offsets
    return path


def assert_limits_kept(arm, positions):
    assert (positions >= arm.robot.lower).all()
    assert (positions <= arm.robot.upper).all()


def test_smooth_paths_are_followed_without_jumps(arm):
    generator = np.random.default_rng(10)
    for _ in range(20):
        path = smooth_path(arm, generator)
        result = follow_tool_path(arm.solver(), path, TIMES, arm.home)
        assert result.failures == ()
        assert result.trajectory.joint_names == arm.robot.joint_names
        np.testing.assert_array_equal(result.trajectory.times, TIMES)
        positions = result.trajectory.positions
        reached = np.stack([arm.oracle_pose(q) for q in positions])
        assert np.linalg.norm(reached[:, :3, 3] - path[:, :3, 3], axis=1).max() < 1e-4
        assert se3.rotation_angle(se3.inverse(reached) @ path).max() < 1e-3
        assert np.abs(np.diff(positions, axis=0)).max() < 0.2
        assert_limits_kept(arm, positions)


def test_the_whole_path_equals_pose_by_pose(arm):
    solver = arm.solver()
    path = smooth_path(arm, np.random.default_rng(11))
    path[20, :3, 3] = [4.0, 4.0, 4.0]
    result = follow_tool_path(solver, path, TIMES, arm.home)
    q, failed = arm.home, []
    for frame in range(FRAMES):
        try:
            q = solver.solve(path[frame], q)
        except InverseKinematicsError as error:
            failed.append((frame, error.reason, error.position_residual, error.rotation_residual))
        np.testing.assert_array_equal(result.trajectory.positions[frame], q)
    assert [(f.frame, f.reason, f.position_residual, f.rotation_residual) for f in result.failures] == failed
    assert [frame for frame, *_ in failed] == [20]


def test_near_singular_paths_never_jump(arm):
    generator = np.random.default_rng(12)
    stretched = arm.home.copy()
    elbow = 3 if arm.tip == "panda_hand_tcp" else 2
    stretched[elbow] = -0.0698 - 1e-3 if arm.tip == "panda_hand_tcp" else 1e-3
    wrist_flip = arm.home.copy()
    wrist_flip[5 if elbow == 3 else 4] = 1e-3
    for posture in (stretched, wrist_flip):
        for _ in range(10):
            path = np.tile(arm.oracle_pose(posture), (FRAMES, 1, 1))
            path[:, :3, 3] += np.outer(np.sin(np.linspace(0, 2 * np.pi, FRAMES)), generator.normal(0.0, 0.08, 3))
            result = follow_tool_path(arm.solver(), path, TIMES, posture)
            positions = np.vstack([posture, result.trajectory.positions])
            assert np.abs(np.diff(positions, axis=0)).max() <= MAX_JUMP
            assert_limits_kept(arm, positions)
            failed = [failure.frame for failure in result.failures]
            for frame in set(range(FRAMES)) - set(failed):
                reached = arm.oracle_pose(positions[frame + 1])
                assert np.linalg.norm(reached[:3, 3] - path[frame, :3, 3]) < 1e-4


def test_an_unreachable_stretch_holds_the_joints_and_is_reported(arm):
    path = smooth_path(arm, np.random.default_rng(13))
    far = slice(17, 23)
    path[far, :3, 3] += [0.0, 0.0, 3.0]
    result = follow_tool_path(arm.solver(), path, TIMES, arm.home)
    assert [failure.frame for failure in result.failures] == list(range(17, 23))
    for failure in result.failures:
        assert failure.reason in ("not_converged", "joint_limits")
        assert 1.0 < failure.position_residual < 3.1
        assert math.isfinite(failure.rotation_residual)
    positions = result.trajectory.positions
    assert (positions[far] == positions[16]).all()
    assert (positions[23] != positions[16]).any()


def test_a_leap_of_the_path_is_held_as_a_jump(ur5):
    path = np.tile(ur5.oracle_pose(ur5.home), (5, 1, 1))
    away = ur5.home.copy()
    away[0] += 0.8
    path[2] = ur5.oracle_pose(away)
    result = follow_tool_path(ur5.solver(), path, TIMES[:5], ur5.home)
    assert [(failure.frame, failure.reason) for failure in result.failures] == [(2, "joint_jump")]
    assert result.failures[0].position_residual < 1e-4
    np.testing.assert_allclose(result.trajectory.positions, np.tile(ur5.home, (5, 1)), atol=1e-6)
    free = follow_tool_path(ur5.solver(IkSettings(max_jump=math.inf)), path, TIMES[:5], ur5.home)
    assert free.failures == ()
    np.testing.assert_allclose(free.trajectory.positions[2], away, atol=1e-4)


def test_empty_and_malformed_paths_are_refused(panda):
    solver, path = panda.solver(), smooth_path(panda, np.random.default_rng(14))
    with pytest.raises(TrajectoryError, match="at least one"):
        follow_tool_path(solver, np.zeros((0, 4, 4)), [], panda.home)
    with pytest.raises(TrajectoryError, match=r"time 1 is 0.0 s after 0.5 s"):
        follow_tool_path(solver, path[:2], [0.5, 0.0], panda.home)
    with pytest.raises(InverseKinematicsError, match="49 poses, 48 times"):
        follow_tool_path(solver, path, TIMES[:-1], panda.home)
    with pytest.raises(InverseKinematicsError, match=r"\(T, 4, 4\)"):
        follow_tool_path(solver, path[0], TIMES[:4], panda.home)
    path[7, 0, 0] = np.nan
    with pytest.raises(InverseKinematicsError, match="finite"):
        follow_tool_path(solver, path, TIMES, panda.home)
