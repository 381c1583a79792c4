import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_kinematics.errors import JointStateError, RobotModelError
from k4d_kinematics.robot import Robot


@pytest.fixture(scope="module")
def panda(robots_folder):
    return Robot.from_file(robots_folder / "panda_description/urdf/panda.urdf")


@pytest.fixture(scope="module")
def robot(every_joint_urdf):
    return Robot.from_urdf(every_joint_urdf)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_order_with_extra_names_gives_the_robots_order(data, panda):
    extra = data.draw(st.lists(st.text(max_size=5), unique=True, max_size=4))
    extra = [name for name in extra if name not in panda.joint_names] + ["panda_finger_joint2"]
    names = data.draw(st.permutations([*panda.joint_names, *extra]))
    rows = data.draw(st.integers(0, 3))
    values = np.arange(float(rows * len(names))).reshape(rows, len(names))
    values[:, [name not in panda.joint_names for name in names]] = np.nan
    ordered = panda.order_positions(names, values)
    assert ordered.shape == (rows, len(panda.joint_names))
    for k, name in enumerate(panda.joint_names):
        np.testing.assert_array_equal(ordered[:, k], values[:, names.index(name)])


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.sampled_from(["lift", "wheel", "elbow", "follower", "", "x"]), max_size=7),
    values=st.lists(st.one_of(st.floats(), st.none(), st.text(max_size=2), st.lists(st.floats())), max_size=7),
)
def test_anything_else_is_a_joint_state_error(names, values, robot):
    try:
        ordered = robot.order_positions(names, values)
    except JointStateError:
        return
    assert len(names) == len(values)
    assert np.isfinite(ordered).all()
    assert all(values[names.index(name)] == ordered[k] for k, name in enumerate(robot.joint_names))


def test_one_row_keeps_its_shape(robot):
    np.testing.assert_array_equal(robot.order_positions(["elbow", "lift", "wheel"], [3, 1, 2]), [1, 2, 3])


@pytest.mark.parametrize(
    ("names", "positions", "message"),
    [
        (["elbow", "lift"], [1.0, 2.0], r"lack wheel; got names \['elbow', 'lift'\]"),
        ([], [], "lack lift, wheel, elbow"),
        (["elbow", "lift", "wheel"], [1.0, 2.0], r"shape \(3,\) or \(T, 3\), one per name, got \(2,\)"),
        (["elbow", "lift", "wheel", "lift"], [1.0, 2.0, 3.0, 4.0], "repeated: lift"),
        (["elbow", "lift", "wheel"], [1.0, np.nan, 3.0], "nan for 'lift'"),
        (["elbow", "lift", "wheel"], [[1.0, 2.0, 3.0], [1.0, 2.0, np.inf]], "inf for 'wheel' in row 1"),
        (["elbow", "lift", "wheel"], ["a", 2.0, 3.0], "must be real numbers"),
    ],
)
def test_bad_joint_states_name_the_joint(robot, names, positions, message):
    with pytest.raises(JointStateError, match=message):
        robot.order_positions(names, positions)


def test_limits_follow_the_joint_types(robot):
    np.testing.assert_array_equal(robot.lower, [-0.1, -np.inf, -2.0])
    np.testing.assert_array_equal(robot.upper, [0.7, np.inf, 1.5])
    np.testing.assert_array_equal(robot.velocity_limits, [0.5, 9.0, 2.0])
    np.testing.assert_array_equal(robot.is_revolute, [False, True, True])


def test_panda_limits_are_those_of_its_data_sheet(panda):
    assert panda.link_names[0] == "panda_link0"
    assert panda.joint_names == (*(f"panda_joint{k}" for k in range(1, 8)), "panda_finger_joint1")
    np.testing.assert_allclose(panda.upper[:7], [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
    np.testing.assert_allclose(panda.velocity_limits[:7], [2.1750] * 4 + [2.6100] * 3)


def test_link_index_names_valid_links(robot):
    assert [robot.link_index(name) for name in robot.link_names] == list(range(len(robot.link_names)))
    with pytest.raises(RobotModelError, match="unknown link 'world', links are: base, carriage"):
        robot.link_index("world")
