"""Seeded inverse kinematics against pinocchio, finite differences, and poses whose solution is known."""

import math

import numpy as np
import pinocchio
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import chain_kernels, se3
from k4d_kinematics.errors import ConfigurationError, InverseKinematicsError, RobotModelError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings
from k4d_kinematics.robot import Robot

POSITION_TOLERANCE, ROTATION_TOLERANCE = 1e-4, 1e-3


def pose_errors(T_goal, T_reached):
    """Distance in metres and angle in radians, by pinocchio's logarithm."""
    angle = np.linalg.norm(pinocchio.log3(T_goal[:3, :3].T @ T_reached[:3, :3]))
    return np.linalg.norm(T_goal[:3, 3] - T_reached[:3, 3]), angle


def chain_jacobian(solver, q_chain):
    n = len(q_chain)
    origins, directions, J = np.empty((n, 3)), np.empty((n, 3)), np.empty((6, n))
    T = chain_kernels.forward(solver._arrays, q_chain, origins, directions)
    chain_kernels.jacobian(solver._arrays, origins, directions, T, J)
    return J


def test_tool_pose_equals_pinocchio(arm):
    solver = arm.solver()
    for q in arm.random_positions(np.random.default_rng(0), 50):
        np.testing.assert_allclose(solver.tool_pose(q), arm.oracle_pose(q), atol=1e-12)


def test_jacobian_is_the_derivative_of_pinocchios_pose(arm):
    solver, step = arm.solver(), 1e-6
    indices = solver.chain.joint_indices
    for q in arm.random_positions(np.random.default_rng(1), 5):
        J = chain_jacobian(solver, q[indices])
        T0 = arm.oracle_pose(q)
        for column, joint in enumerate(indices):
            ahead, behind = q.copy(), q.copy()
            ahead[joint] += step
            behind[joint] -= step
            T1, T2 = arm.oracle_pose(behind), arm.oracle_pose(ahead)
            linear = (T2[:3, 3] - T1[:3, 3]) / (2 * step)
            spin = (T2[:3, :3] - T1[:3, :3]) / (2 * step) @ T0[:3, :3].T
            angular = [spin[2, 1], spin[0, 2], spin[1, 0]]
            np.testing.assert_allclose(J[:, column], [*linear, *angular], atol=1e-8)


@pytest.mark.parametrize(
    "angle", [0.0, 1e-12, 1e-7, 1e-3, 0.7, 2.0, math.pi - 1e-2, math.pi - 1e-5, math.pi - 1e-9, math.pi]
)
def test_rotation_vector_has_the_axis_and_the_angle(angle):
    axes = np.vstack([np.eye(3), -np.eye(3), np.random.default_rng(2).normal(size=(20, 3))])
    for axis in axes / np.linalg.norm(axes, axis=1, keepdims=True):
        w = np.empty(3)
        chain_kernels.rotation_vector(Rotation.from_rotvec(angle * axis).as_matrix(), w)
        side = math.copysign(1.0, w @ axis) if angle > math.pi - 1e-7 else 1.0
        np.testing.assert_allclose(w, side * angle * axis, atol=1e-7)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.3])
def test_a_thousand_poses_near_their_seed_are_all_reached(arm, noise):
    generator = np.random.default_rng(3)
    solver = arm.solver(IkSettings(max_jump=math.inf))
    for q_true in arm.random_positions(generator, 1000):
        seed = np.clip(q_true + generator.uniform(-noise, noise, q_true.shape), arm.robot.lower, arm.robot.upper)
        T = arm.oracle_pose(q_true)
        q = solver.solve(T, seed)
        distance, angle = pose_errors(T, arm.oracle_pose(q))
        assert distance < POSITION_TOLERANCE
        assert angle < ROTATION_TOLERANCE
        assert ((q >= arm.robot.lower) & (q <= arm.robot.upper)).all()


def test_the_goal_half_a_turn_away_is_not_taken_for_reached(ur5):
    solver = ur5.solver(IkSettings(max_jump=math.inf))
    T = ur5.oracle_pose(ur5.home) @ se3.from_xyz_rpy([0, 0, 0], [0, 0, math.pi])
    q = solver.solve(T, ur5.home)
    assert max(pose_errors(T, ur5.oracle_pose(q))) < ROTATION_TOLERANCE
    assert np.abs(q - ur5.home).max() > 3.0


def test_joints_outside_the_chain_keep_their_positions(panda):
    finger = panda.robot.joint_names.index("panda_finger_joint1")
    seed = panda.home.copy()
    seed[finger] = 0.033
    q = panda.solver().solve(panda.oracle_pose(panda.home) @ se3.from_xyz_rpy([0.01, 0, 0], [0, 0, 0.02]), seed)
    assert q[finger] == 0.033
    assert (q != seed).sum() >= 6


def test_the_base_can_be_another_link(panda):
    solver = DampedLeastSquaresIk(panda.robot, "panda_hand", "panda_link2")
    T_link = panda.robot.forward_kinematics(panda.home)
    T_base_tool = (
        se3.inverse(T_link[panda.robot.link_index("panda_link2")]) @ T_link[panda.robot.link_index("panda_hand")]
    )
    np.testing.assert_allclose(solver.tool_pose(panda.home), T_base_tool, atol=1e-12)
    seed = panda.home + np.where(np.arange(len(panda.home)) < 2, 0.0, 0.01)
    np.testing.assert_allclose(solver.tool_pose(solver.solve(T_base_tool, seed)), T_base_tool, atol=1e-5)
    assert (solver.solve(T_base_tool, seed)[:2] == panda.home[:2]).all()


def test_an_unknown_tool_is_refused(panda):
    with pytest.raises(RobotModelError, match="gripper_of_doom"):
        DampedLeastSquaresIk(panda.robot, "gripper_of_doom")


def test_an_unreachable_pose_says_how_far_off_it_is(arm):
    T = arm.oracle_pose(arm.home)
    T[:3, 3] = [5.0, 0.0, 0.5]
    with pytest.raises(InverseKinematicsError, match=r"cannot reach .* m and .* rad") as info:
        arm.solver().solve(T, arm.home)
    assert info.value.reason in ("not_converged", "joint_limits")
    assert 3.0 < info.value.position_residual < 5.5
    assert info.value.rotation_residual >= 0.0


def test_a_pose_beyond_the_limits_is_reported_as_such(panda):
    outside = panda.home.copy()
    outside[6] = panda.robot.upper[6] + 0.6
    near = panda.home.copy()
    near[6] = panda.robot.upper[6] - 0.05
    T = panda.oracle_pose(outside)
    wrist = DampedLeastSquaresIk(panda.robot, panda.tip, "panda_link6", IkSettings(max_jump=math.inf))
    T_link6 = panda.robot.forward_kinematics(panda.home)[panda.robot.link_index("panda_link6")]
    with pytest.raises(InverseKinematicsError) as info:
        wrist.solve(se3.inverse(T_link6) @ T, near)
    assert info.value.reason == "joint_limits"
    assert info.value.rotation_residual == pytest.approx(0.6, abs=1e-3)


def test_the_redundant_joint_takes_over_at_a_limit(panda):
    seed = panda.home.copy()
    seed[6] = panda.robot.upper[6]
    T = panda.oracle_pose(seed) @ se3.from_xyz_rpy([0, 0, 0], [0.0, 0.0, 0.1])
    q = panda.solver().solve(T, seed)
    assert max(pose_errors(T, panda.oracle_pose(q))) < POSITION_TOLERANCE
    assert q[6] <= panda.robot.upper[6]


def test_a_solution_far_from_the_seed_is_a_jump(arm):
    far = arm.home.copy()
    far[0] += 1.3
    T = arm.oracle_pose(far)
    with pytest.raises(InverseKinematicsError) as info:
        arm.solver().solve(T, arm.home)
    assert info.value.reason == "joint_jump"
    assert info.value.position_residual < POSITION_TOLERANCE
    q = arm.solver(IkSettings(max_jump=1.5)).solve(T, arm.home)
    assert 0.0 < np.abs(q - arm.home).max() <= 1.5


RAIL = """<robot name="rail"><link name="a"/><link name="b"/><link name="c"/><link name="d"/>
<joint name="x" type="prismatic"><parent link="a"/><child link="b"/><axis xyz="1 0 0"/>
<limit lower="-0.5" upper="0.5" velocity="1" effort="1"/></joint>
<joint name="z" type="continuous"><parent link="b"/><child link="c"/><origin xyz="0 0.2 0" rpy="0.3 0 0"/>
<axis xyz="0 0 1"/>
<limit velocity="2" effort="1"/></joint>
<joint name="y" type="prismatic"><parent link="c"/><child link="d"/><axis xyz="0 0.6 0.8"/>
<limit lower="0" upper="0.4" velocity="1" effort="1"/></joint></robot>"""


def test_prismatic_and_continuous_joints_are_solved_and_slides_are_bounded():
    solver = DampedLeastSquaresIk(Robot.from_urdf(RAIL), "d")
    q_true = np.array([0.11, 3.3, 0.25])
    seed = np.array([0.05, 3.0, 0.2])
    T = solver.tool_pose(q_true)
    a = se3.from_xyz_rpy([0.11, 0, 0], [0, 0, 0]) @ se3.from_xyz_rpy([0, 0.2, 0], [0.3, 0, 0])
    expected = a @ se3.from_xyz_rpy([0, 0, 0], [0, 0, 3.3]) @ se3.from_xyz_rpy([0, 0.15, 0.2], [0, 0, 0])
    np.testing.assert_allclose(T, expected, atol=1e-12)
    np.testing.assert_allclose(solver.solve(T, seed), q_true, atol=1e-5)
    with pytest.raises(InverseKinematicsError) as info:
        solver.solve(solver.tool_pose([0.2, 3.0, 0.2]), seed)
    assert info.value.reason == "joint_jump"


def test_poses_of_other_types_and_layouts_are_solved_alike(ur5):
    solver, T = ur5.solver(), ur5.oracle_pose(ur5.home) @ se3.from_xyz_rpy([0.01, 0, 0], [0, 0, 0.02])
    expected = solver.solve(T, ur5.home)
    frozen = T.copy()
    frozen.setflags(write=False)
    for same in (frozen, np.asfortranarray(T), T.tolist()):
        np.testing.assert_array_equal(solver.solve(same, ur5.home), expected)
    np.testing.assert_allclose(solver.solve(T.astype(np.float32), ur5.home), expected, atol=1e-5)
    assert len(chain_kernels.is_exactly_rigid.signatures) == 1


def test_the_exactness_of_a_pose_is_seen(ur5):
    T = ur5.oracle_pose(ur5.home)
    assert chain_kernels.is_exactly_rigid(T)
    assert not chain_kernels.is_exactly_rigid(np.zeros((4, 4)) + np.diag([0.0, 0.0, 0.0, 1.0]))
    for row, column in np.ndindex(4, 4):
        for change in (1e-6, np.nan, np.inf):
            other = T.copy()
            other[row, column] += change
            assert chain_kernels.is_exactly_rigid(other) == (change == 1e-6 and row < 3 and column == 3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda T: np.full((4, 4), np.nan),
        lambda T: np.where(np.eye(4, dtype=bool), np.inf, T),
        lambda T: T * 2.0,
        lambda T: T @ np.diag([1.0, 1.0, -1.0, 1.0]),
        lambda T: T[:3],
        lambda T: np.stack([T, T]),
        lambda T: "pose",
        lambda T: np.zeros((0, 4, 4)),
    ],
)
def test_malformed_poses_are_refused(panda, spoil):
    with pytest.raises(InverseKinematicsError, match=r"T_base_tool|could not convert") as info:
        panda.solver().solve(spoil(panda.oracle_pose(panda.home)), panda.home)
    assert info.value.reason == "invalid_input"
    assert math.isnan(info.value.position_residual)


@pytest.mark.parametrize("spoil", [lambda q: q[:-1], lambda q: q * np.nan, lambda q: q[None], lambda q: q + 9.0])
def test_malformed_seeds_are_refused(panda, spoil):
    with pytest.raises(InverseKinematicsError, match=r"joint positions must be 8 finite|outside its limits \[") as info:
        panda.solver().solve(panda.oracle_pose(panda.home), spoil(panda.home))
    assert info.value.reason == "invalid_input"


@pytest.mark.parametrize(
    "changes",
    [
        {"position_tolerance": 0.0},
        {"rotation_tolerance": math.nan},
        {"damping": math.inf},
        {"refinement": 1.5},
        {"iterations": 0},
        {"max_jump": -0.1},
        {"max_slide": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        IkSettings(**changes)
