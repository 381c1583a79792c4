"""Joint states become the transforms that pinocchio computes, and bad input is reported and survived."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pinocchio
import pytest
import tf2_ros
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from k4d_embedded.joint_transforms import JointModel, LinkTransforms
from k4d_embedded.robot_state_publisher import RobotStatePublisher
from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.robot import Robot

PANDA = next(
    Path(entry, "cmeel.prefix/share/example-robot-data/robots/panda_description/urdf/panda.urdf")
    for entry in sys.path
    if Path(entry, "cmeel.prefix/share/example-robot-data").is_dir()
).read_text()

ARM = """<robot name="arm">
  <link name="base"/><link name="turn"/><link name="slide"/><link name="copy"/><link name="tip"/>
  <joint name="j_turn" type="continuous">
    <parent link="base"/><child link="turn"/><origin xyz="0.1 0.2 0.3" rpy="0.4 -0.5 0.6"/><axis xyz="0 0 2"/>
  </joint>
  <joint name="j_slide" type="prismatic">
    <parent link="turn"/><child link="slide"/><origin xyz="0 0 0.5" rpy="0 1.2 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" effort="1" velocity="1"/>
  </joint>
  <joint name="j_copy" type="revolute">
    <parent link="slide"/><child link="copy"/><axis xyz="1 0 0"/><mimic joint="j_turn" multiplier="-2" offset="0.25"/>
    <limit lower="-9" upper="9" effort="1" velocity="1"/>
  </joint>
  <joint name="j_tip" type="fixed"><parent link="copy"/><child link="tip"/><origin xyz="0.7 0 0"/></joint>
</robot>"""


def matrix(message):
    shift, turn = message.transform.translation, message.transform.rotation
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    T[:3, 3] = shift.x, shift.y, shift.z
    return T


def oracle(urdf, positions):
    """T_root_link of every link by pinocchio, for joint positions by name."""
    model = pinocchio.buildModelFromXML(urdf)
    configuration = pinocchio.neutral(model)
    for name, value in positions.items():
        joint = model.joints[model.getJointId(name)]
        values = [np.cos(value), np.sin(value)] if joint.nq == 2 else [value]  # continuous joints as cosine and sine
        configuration[joint.idx_q : joint.idx_q + joint.nq] = values
    data = model.createData()
    pinocchio.framesForwardKinematics(model, data, configuration)
    return {frame.name: data.oMf[index].homogeneous for index, frame in enumerate(model.frames)}


class Bench:
    """A publisher node under test, a listener, and what arrived on /tf."""

    def __init__(self, graph, urdf, **parameters):
        overrides = [Parameter(name, value=value) for name, value in {"robot_description": urdf, **parameters}.items()]
        self.graph = graph
        self.publisher = graph.add(RobotStatePublisher(context=graph.context, parameter_overrides=overrides))
        self.node = graph.node("bench")
        self.buffer = tf2_ros.Buffer(node=self.node)
        self.listener = tf2_ros.TransformListener(self.buffer, self.node)
        self.moving = []
        self.node.create_subscription(TFMessage, "/tf", self.moving.append, 100)
        self.joint_states = self.node.create_publisher(JointState, "joint_states", 100)
        assert graph.spin_until(lambda: self.joint_states.get_subscription_count() == 1)
        assert graph.spin_until(lambda: self.publisher.count_subscribers("/tf") == 2)

    def send(self, seconds, **positions):
        self.send_raw(seconds, list(positions), [float(value) for value in positions.values()])

    def send_raw(self, seconds, names, positions):
        message = JointState(name=names, position=positions)
        message.header.stamp = Time(seconds=seconds).to_msg()
        self.joint_states.publish(message)

    def lookup(self, target, source, seconds):
        time = Time(seconds=seconds)
        assert self.graph.spin_until(lambda: self.buffer.can_transform(target, source, time))
        return matrix(self.buffer.lookup_transform(target, source, time))

    def stamps_of(self, frame):
        return [
            transform.header.stamp.sec + transform.header.stamp.nanosec * 1e-9
            for message in self.moving
            for transform in message.transforms
            if transform.child_frame_id == frame
        ]


@pytest.fixture
def bench(graph):
    return lambda urdf=ARM, **parameters: Bench(graph, urdf, **parameters)


def test_a_whole_robot_stands_where_pinocchio_puts_it(bench):
    made = bench(PANDA, publish_frequency=1000.0)
    robot = Robot.from_urdf(PANDA)
    rng = np.random.default_rng(4)
    fingers = {"panda_finger_joint1": 0.03, "panda_finger_joint2": 0.03}
    names = [name for name in robot.joint_names if "finger" not in name]
    assert len(names) == 7
    for seconds in (5.0, 6.0):
        positions = {name: rng.uniform(-1, 1) for name in rng.permutation(names)} | fingers
        made.send(seconds, **positions, another_robots_joint=3.0)
        expected = oracle(PANDA, positions)
        for link in robot.link_names:
            np.testing.assert_allclose(
                made.lookup(robot.link_names[0], link, seconds), expected[link], atol=1e-9, err_msg=link
            )


def test_every_kind_of_joint_agrees_with_forward_kinematics(bench):
    made, robot = bench(), Robot.from_urdf(ARM)
    made.send(3.0, j_slide=-0.4, j_turn=1.3)
    T_base_link = robot.forward_kinematics(robot.order_positions(["j_turn", "j_slide"], [1.3, -0.4]))
    for index, link in enumerate(robot.link_names):
        np.testing.assert_allclose(made.lookup("base", link, 3.0), T_base_link[index], atol=1e-9)


def test_the_stamp_of_the_joint_state_is_kept(bench):
    made = bench()
    made.send(3.25, j_turn=0.0, j_slide=0.0)
    assert made.graph.spin_until(lambda: made.stamps_of("turn"))
    assert made.stamps_of("turn") == [3.25]


def test_a_partial_joint_state_moves_what_it_names_and_what_mimics_it(bench):
    made = bench()
    made.send(3.0, j_turn=0.5)
    assert made.graph.spin_until(lambda: made.moving)
    assert {transform.child_frame_id for transform in made.moving[0].transforms} == {"turn", "copy"}
    made.send(3.0, j_slide=0.5)
    assert made.graph.spin_until(lambda: len(made.moving) == 2)
    assert {transform.child_frame_id for transform in made.moving[1].transforms} == {"slide"}
    made.lookup("base", "tip", 3.0)


def test_a_mimicking_joint_that_is_measured_itself_is_not_computed():
    transforms = JointModel.from_urdf(ARM).moving_transforms({"j_turn": 0.5, "j_copy": 0.1})
    T_slide_copy = transforms.T_parent_child[transforms.children.index("copy")]
    np.testing.assert_allclose(T_slide_copy[:3, :3], Rotation.from_rotvec([0.1, 0, 0]).as_matrix(), atol=1e-12)


def test_fixed_joints_are_static(bench):
    made = bench()
    np.testing.assert_allclose(made.lookup("copy", "tip", 123.0)[:3, 3], [0.7, 0, 0])


def test_frames_get_the_prefix(bench):
    made = bench(frame_prefix="left/")
    made.send(3.0, j_turn=0.0, j_slide=0.0)
    made.lookup("left/base", "left/tip", 3.0)


def test_the_frequency_limits_how_soon_a_joint_is_published_again(bench):
    made = bench(publish_frequency=10.0)
    for milliseconds in range(0, 1000, 25):
        made.send(10.0 + milliseconds / 1000, j_turn=0.0)
        made.graph.executor.spin_once(timeout_sec=0.05)
    made.send(20.0, j_turn=0.0)
    assert made.graph.spin_until(lambda: made.stamps_of("turn")[-1:] == [20.0])
    stamps = made.stamps_of("turn")
    assert len(stamps) >= 3
    assert np.diff(stamps).min() > 0.0999


def test_the_timestamp_can_be_ignored(bench):
    made = bench(ignore_timestamp=True)
    for _ in range(3):
        made.send(10.0, j_turn=0.0)
    assert made.graph.spin_until(lambda: len(made.moving) == 3)


def test_the_description_is_latched_and_can_be_replaced(bench):
    made = bench()
    received = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    made.node.create_subscription(String, "robot_description", received.append, latched)
    assert made.graph.spin_until(lambda: [message.data for message in received] == [ARM])
    renamed = ARM.replace('"tip"', '"nose"')
    (result,) = made.publisher.set_parameters([Parameter("robot_description", value=renamed)])
    assert result.successful
    assert made.graph.spin_until(lambda: [message.data for message in received] == [ARM, renamed])
    made.lookup("copy", "nose", 1.0)


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("robot_description", "<robot", "well-formed"),
        ("robot_description", "", "well-formed"),
        ("publish_frequency", 0.0, r"above 0 and at most 1000, got 0\.0"),
        ("publish_frequency", 1001.0, "got 1001"),
    ],
)
def test_wrong_parameters_are_refused_and_the_old_ones_stay(bench, parameter, value, reason):
    made = bench()
    (result,) = made.publisher.set_parameters([Parameter(parameter, value=value)])
    assert not result.successful
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(result.reason)
    made.send(3.0, j_turn=0.0, j_slide=0.0)
    made.lookup("base", "tip", 3.0)


@pytest.mark.parametrize(
    ("names", "positions"),
    [
        (["j_turn", "j_slide"], [0.1]),
        (["j_turn"], []),
        ([], [0.1]),
        (["j_turn", "j_slide"], [float("nan"), 0.1]),
        (["j_turn"], [float("inf")]),
    ],
)
def test_a_malformed_joint_state_is_ignored_and_the_next_one_counts(bench, names, positions):
    made = bench()
    made.send_raw(3.0, names, positions)
    made.send(4.0, j_turn=0.2)
    assert made.graph.spin_until(lambda: made.moving)
    assert made.stamps_of("turn") == [4.0]
    assert made.stamps_of("slide") == []


@pytest.mark.parametrize(
    "urdf", ["", "<robot", "<robot name='r'/>", ARM.replace('<child link="tip"/>', '<child link="base"/>')]
)
def test_a_description_of_no_robot_ends_the_node_with_the_reason(urdf, tmp_path):
    with pytest.raises(RobotModelError):
        JointModel.from_urdf(urdf)
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(f"/**:\n  ros__parameters:\n    robot_description: {urdf!r}\n")
    executable = Path(sys.prefix) / "bin/k4d_robot_state_publisher"
    done = subprocess.run(
        [executable, "--ros-args", "--params-file", parameters], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "[FATAL]" in done.stderr
    assert "Traceback" not in done.stderr


def test_transforms_and_names_must_be_equally_many():
    with pytest.raises(ValueError, match=r"\(1, 2, 1\)"):
        LinkTransforms(("a",), ("b", "c"), np.eye(4)[None])
