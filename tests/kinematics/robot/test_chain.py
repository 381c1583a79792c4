import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3
from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.robot import Robot


def product_of_chain(chain, positions):
    """``T_base_tip`` by the chain's definition."""
    T = np.eye(4)
    for k in range(len(chain.joint_names)):
        value = positions[chain.joint_indices[k]]
        if chain.is_revolute[k]:
            motion = se3.from_rotation_translation(Rotation.from_rotvec(value * chain.axes[k]).as_matrix(), np.zeros(3))
        else:
            motion = se3.from_rotation_translation(np.eye(3), value * chain.axes[k])
        T = T @ chain.T_parent_joint[k] @ motion
    return T @ chain.T_joint_tip


@pytest.mark.parametrize(
    ("file", "tip", "base", "count"),
    [
        ("panda_description/urdf/panda.urdf", "panda_hand", None, 7),
        ("panda_description/urdf/panda.urdf", "panda_leftfinger", "panda_link3", 5),
        ("ur_description/urdf/ur5_robot.urdf", "tool0", "base_link", 6),
        ("xarm_description/urdf/xarm7.urdf", "link7", None, 7),
        ("tiago_description/robots/tiago.urdf", "arm_7_link", None, 8),
    ],
)
def test_a_chain_gives_the_pose_of_its_tip(file, tip, base, count, robots_folder):
    robot = Robot.from_file(robots_folder / file)
    chain = robot.chain(tip, base)
    assert len(chain.joint_names) == count
    assert chain.joint_names == tuple(robot.joint_names[k] for k in chain.joint_indices)
    assert (chain.base_link, chain.tip_link) == (base or robot.link_names[0], tip)
    np.testing.assert_array_equal(chain.lower, robot.lower[chain.joint_indices])
    np.testing.assert_array_equal(chain.upper, robot.upper[chain.joint_indices])
    positions = np.random.default_rng(count).uniform(-1, 1, len(robot.joint_names))
    T_root_link = robot.forward_kinematics(positions)
    T_base_tip = se3.inverse(T_root_link[robot.link_index(chain.base_link)]) @ T_root_link[robot.link_index(tip)]
    np.testing.assert_allclose(product_of_chain(chain, positions), T_base_tip, atol=1e-12)


def test_prismatic_joints_take_part(every_joint_urdf):
    robot = Robot.from_urdf(every_joint_urdf)
    chain = robot.chain("arm")
    assert chain.joint_names == ("lift", "wheel", "elbow")
    positions = np.array([0.3, -2.0, 1.1])
    expected = robot.forward_kinematics(positions)[robot.link_index("arm")]
    np.testing.assert_allclose(product_of_chain(chain, positions), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("tip", "base", "message"),
    [
        ("tip", None, "mimic joints; those above links finger, tip"),
        ("base", "arm", "'arm' is not above 'base'"),
        ("plate", "disc", "movable joint, there is none between 'disc' and 'plate'"),
        ("base", "base", "movable joint"),
        ("nowhere", None, "unknown link 'nowhere', links are: base"),
        ("arm", "nowhere", "unknown link 'nowhere'"),
    ],
)
def test_impossible_chains_are_named(every_joint_urdf, tip, base, message):
    with pytest.raises(RobotModelError, match=message):
        Robot.from_urdf(every_joint_urdf).chain(tip, base)
