import threading

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3
from k4d_kinematics.errors import JointStateError, TransformError
from k4d_kinematics.robot import Robot

TWO_LINK_ARM = """<robot name="two_link_arm">
  <link name="base"/><link name="upper"/><link name="lower"/><link name="tool"/>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit lower="-3" upper="3" velocity="1" effort="1"/></joint>
  <joint name="elbow" type="continuous"><parent link="upper"/><child link="lower"/><axis xyz="0 0 1"/>
    <origin xyz="0.5 0 0"/></joint>
  <joint name="flange" type="fixed"><parent link="lower"/><child link="tool"/><origin xyz="0.3 0 0"/></joint>
</robot>"""

SAMPLE = [
    "panda_description/urdf/panda.urdf",
    "ur_description/urdf/ur5_robot.urdf",
    "xarm_description/urdf/xarm7.urdf",
    "so_arm_description/urdf/so101.urdf",
    "allegro_hand_description/urdf/allegro_right_hand.urdf",
    "pr2_description/urdf/pr2.urdf",
    "kinova_description/robots/kinova.urdf",
    "talos_data/robots/talos_full_v2.urdf",
    "talos_data/robots/talos_reduced.urdf",
    "tiago_description/robots/tiago.urdf",
    "tiago_pro_description/robots/tiago_pro.urdf",
    "baxter_description/urdf/baxter.urdf",
    "g1_description/urdf/g1_29dof_with_hand_rev_1_0.urdf",
    "icub_description/robots/icub.urdf",
    "go2_description/urdf/go2.urdf",
    "romeo_description/urdf/romeo.urdf",
    "human_description/robots/human.urdf",
    "solo_description/robots/solo12.urdf",
    "z1_description/urdf/z1.urdf",
    "iris_description/robots/iris_simple.urdf",
]


def random_positions(robot: Robot, count: int, seed: int) -> np.ndarray:
    lower, upper = np.maximum(robot.lower, -3.0), np.minimum(robot.upper, 3.0)
    return np.random.default_rng(seed).uniform(lower, upper, (count, len(lower)))


@pytest.mark.parametrize("file", SAMPLE)
def test_link_poses_agree_with_pinocchio_on_published_robots(file, robots_folder, oracle_link_poses):
    text = (robots_folder / file).read_text()
    robot = Robot.from_file(robots_folder / file)
    positions = random_positions(robot, 3, seed=len(file))
    T_base_link = robot.forward_kinematics(positions)
    assert T_base_link.shape == (3, len(robot.link_names), 4, 4)
    for row, actual in zip(positions, T_base_link, strict=True):
        expected = oracle_link_poses(text, dict(zip(robot.joint_names, row, strict=True)), robot.link_names)
        np.testing.assert_allclose(actual, expected, atol=1e-9)


def test_link_poses_agree_with_pinocchio_on_every_joint_type(every_joint_urdf, oracle_link_poses):
    robot = Robot.from_urdf(every_joint_urdf)
    assert robot.link_names == ("base", "carriage", "disc", "plate", "arm", "finger", "tip")
    assert robot.joint_names == ("lift", "wheel", "elbow")
    positions = random_positions(robot, 5, seed=1)
    for row in positions:
        values = dict(zip(robot.joint_names, row, strict=True))
        np.testing.assert_allclose(
            robot.forward_kinematics(row), oracle_link_poses(every_joint_urdf, values, robot.link_names), atol=1e-9
        )


def test_a_two_link_arm_agrees_with_its_closed_form():
    robot = Robot.from_urdf(TWO_LINK_ARM)
    q1, q2 = 0.7, -1.9
    T_base_tool = robot.forward_kinematics([q1, q2])[robot.link_index("tool")]
    expected = [0.5 * np.cos(q1) + 0.3 * np.cos(q1 + q2), 0.5 * np.sin(q1) + 0.3 * np.sin(q1 + q2), 0.0]
    np.testing.assert_allclose(T_base_tool[:3, 3], expected, atol=1e-15)
    np.testing.assert_allclose(T_base_tool[:2, :2] @ [1, 0], [np.cos(q1 + q2), np.sin(q1 + q2)], atol=1e-15)


def test_positions_with_and_without_time_agree(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    positions = random_positions(robot, 4, seed=2)
    stacked = robot.forward_kinematics(positions)
    for t in range(4):
        np.testing.assert_array_equal(robot.forward_kinematics(positions[t]), stacked[t])


def test_a_floating_base_moves_every_link_by_its_pose(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    positions = random_positions(robot, 6, seed=3)
    rotations = Rotation.random(6, np.random.default_rng(4)).as_matrix()
    T_base_root = se3.from_rotation_translation(rotations, np.arange(18.0).reshape(6, 3))
    T_root_link = robot.forward_kinematics(positions)
    np.testing.assert_allclose(
        robot.forward_kinematics(positions, T_base_root), T_base_root[:, None] @ T_root_link, atol=1e-12
    )
    np.testing.assert_allclose(
        robot.forward_kinematics(positions, T_base_root[2]), T_base_root[2] @ T_root_link, atol=1e-12
    )
    np.testing.assert_allclose(
        robot.forward_kinematics(positions[1], T_base_root[5]), T_base_root[5] @ T_root_link[1], atol=1e-12
    )


def test_read_only_and_strided_inputs_give_the_same_poses(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    positions = random_positions(robot, 8, seed=5)
    frozen = positions.copy()
    frozen.setflags(write=False)
    expected = robot.forward_kinematics(positions)
    np.testing.assert_array_equal(robot.forward_kinematics(frozen), expected)
    np.testing.assert_array_equal(robot.forward_kinematics(frozen[::-2]), expected[::-2])


def test_threads_share_a_robot(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    batches = [random_positions(robot, 40, seed=seed) for seed in range(4)]
    results: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        results[k] = robot.forward_kinematics(batches[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(results[k], robot.forward_kinematics(batches[k]))


def test_a_robot_without_joints_is_one_pose():
    robot = Robot.from_urdf('<robot name="rock"><link name="stone"/></robot>')
    assert robot.joint_names == ()
    np.testing.assert_array_equal(robot.forward_kinematics([]), np.eye(4)[None])
    assert robot.forward_kinematics(np.empty((7, 0))).shape == (7, 1, 4, 4)


def test_an_empty_batch_is_an_empty_stack(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    assert robot.forward_kinematics(np.empty((0, 3))).shape == (0, 7, 4, 4)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([0.1, 0.2], r"shape \(3,\) or \(T, 3\) for joints lift, wheel, elbow, got \(2,\)"),
        ([[0.1], [0.2]], "lift, wheel, elbow"),
        (0.5, r"got \(\)"),
        (np.zeros((2, 2, 3)), r"got \(2, 2, 3\)"),
        ([0.0, np.nan, 0.0], "nan for 'wheel'"),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, -np.inf]], "-inf for 'elbow' in row 1"),
        (["1", "2", "3"], "must be real numbers, got"),
        ([[1.0, 2.0], [3.0]], "rows of one length"),
        (None, "must be real numbers, got None"),
        ([1j, 0, 0], "must be real numbers"),
    ],
)
def test_bad_positions_are_named(every_joint_urdf, positions, message):
    with pytest.raises(JointStateError, match=message):
        Robot.from_urdf(every_joint_urdf).forward_kinematics(positions)


@pytest.mark.parametrize(
    "T_base_root", [np.eye(3), 2 * np.eye(4), np.full((4, 4), np.nan), np.tile(np.eye(4), (5, 1, 1))]
)
def test_a_bad_base_pose_is_named(every_joint_urdf, T_base_root):
    with pytest.raises(TransformError, match="T_base_root"):
        Robot.from_urdf(every_joint_urdf).forward_kinematics(np.zeros((3, 3)), T_base_root)
