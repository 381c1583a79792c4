"""The bag player and recorder as processes: what they refuse, and a recording of what was played."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from std_srvs.srv import Trigger

from k4d_bringup.ros.bag_recorder_node import BagRecorderNode

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "panda_pick_place"
BIN = Path(sys.prefix) / "bin"
STORE = get_typestore(Stores.ROS2_KILTED)


def command(node: str, **parameters: object) -> list[str]:
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return [str(BIN / node), "--ros-args", *words]


@pytest.mark.parametrize(
    ("node", "parameters", "reason"),
    [
        ("k4d_bag_player_node", {"bag": "/nowhere/at_all"}, "/nowhere/at_all"),
        ("k4d_bag_player_node", {"bag": EXAMPLE, "stamps": "tomorrow"}, "original, now"),
        ("k4d_bag_player_node", {"bag": EXAMPLE, "bagg": "x"}, "did you mean 'bag'"),
        ("k4d_bag_player_node", {"bag": EXAMPLE, "plan_of": "/joints"}, "plan_of '/joints' makes no plan"),
        (
            "k4d_bag_player_node",
            {"bag": EXAMPLE, "wait_for": "[nobody_listens]", "wait_timeout": 0.1},
            "nobody_listens",
        ),
        (
            "k4d_bag_player_node",
            {"bag": EXAMPLE, "rate": 100.0, "settle": 0.0, "end_service": "nobody/answers", "end_timeout": 0.1},
            "nobody/answers did not say success within 0.1 s",
        ),
        ("k4d_bag_recorder_node", {"bag": EXAMPLE}, "does not exist yet"),
        ("k4d_bag_recorder_node", {"bag": "''"}, "does not exist yet"),
        (
            "k4d_bag_recorder_node",
            {"bag": "/nowhere/a", "topics": "'['"},
            "topics must be a regular expression, got '['",
        ),
        ("k4d_bag_recorder_node", {"bag": "/nowhere/a", "excluded": "'(a'"}, "excluded must be a regular expression"),
        ("k4d_bag_recorder_node", {"bag": "/nowhere/a", "restless": "'*'"}, "restless must be a regular expression"),
        ("k4d_bag_recorder_node", {"bag": "/nowhere/a", "awaited": "'+'"}, "awaited must be a regular expression"),
    ],
)
def test_wrong_parameters_end_a_node_with_the_reason(node: str, parameters: dict[str, object], reason: str) -> None:
    done = subprocess.run(command(node, **parameters), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_played_is_recorded(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    topics = ("joint_states", "tf_static", "front/image_raw", "front/depth")
    recorder = subprocess.Popen(command("k4d_bag_recorder_node", bag=copy, topics=f"'/({'|'.join(topics)})'"))
    waiting = f"[{', '.join(topics)}]"
    try:
        quiet = "k4d_bag_recorder_node/is_quiet"
        player = command("k4d_bag_player_node", bag=EXAMPLE, stamps="original", wait_for=waiting, end_service=quiet)
        subprocess.run(player, timeout=200, check=True)
    finally:
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=60) == 0
    played, recorded = read(EXAMPLE), read(copy)
    assert set(recorded) == {f"/{topic}" for topic in topics}
    for topic, messages in recorded.items():
        assert messages == played[topic], topic
    assert len(played["/front/depth"]) == 49


def test_a_recorder_is_quiet_once_nothing_comes_but_what_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("k4d_bringup.ros.bag_recorder_node.time.monotonic", lambda: clock[0])
    rclpy.init(args=["--ros-args", "-p", f"bag:={tmp_path / 'bag'}", "-p", "quiet_after:=3.0"])
    try:
        node = BagRecorderNode()
        for topic in ("/notes", "/diagnostics"):
            node._record(topic, ["std_msgs/msg/String"])
        notes, diagnostics = node._writer.connections
        raw = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"](data="hello"), "std_msgs/msg/String")
        answers = []
        for moment, connection in ((102.0, notes), (104.0, diagnostics), (106.0, diagnostics)):
            clock[0] = moment
            node._write(connection, raw)
            answers.append(node._on_is_quiet(None, Trigger.Response()).success)
        assert answers == [False, False, True]
        node.close()
    finally:
        rclpy.shutdown()


def test_a_recorder_is_not_quiet_before_what_it_awaits_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("k4d_bringup.ros.bag_recorder_node.time.monotonic", lambda: clock[0])
    parameters = {"bag": tmp_path / "bag", "quiet_after": 3.0, "awaited": "/(answer|reply)"}
    rclpy.init(
        args=["--ros-args", *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}"))]
    )
    try:
        node = BagRecorderNode()
        for topic in ("/answers", "/reply"):
            node._record(topic, ["std_msgs/msg/String"])
        answers, reply = node._writer.connections
        raw = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"](data="hello"), "std_msgs/msg/String")
        node._write(answers, raw)
        clock[0] = 110.0
        early = node._on_is_quiet(None, Trigger.Response())
        node._write(reply, raw)
        at_once = node._on_is_quiet(None, Trigger.Response())
        clock[0] = 113.5
        late = node._on_is_quiet(None, Trigger.Response())
        assert [answer.success for answer in (early, at_once, late)] == [False, False, True]
        assert early.message.endswith("nothing has come on /(answer|reply)")
        node.close()
    finally:
        rclpy.shutdown()


def test_a_topic_of_an_unknown_type_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = [("/moon", ["moon_msgs/msg/Crater"]), ("/notes", ["std_msgs/msg/String"])]
    monkeypatch.setattr(BagRecorderNode, "get_topic_names_and_types", lambda self: graph)
    monkeypatch.setattr(BagRecorderNode, "count_publishers", lambda self, topic: 1)
    rclpy.init(args=["--ros-args", "-p", f"bag:={tmp_path / 'bag'}"])
    try:
        node = BagRecorderNode()
        for _ in range(3):
            rclpy.spin_once(node)
        assert [subscription.topic_name for subscription in node.subscriptions] == ["/notes"]
        node.close()
    finally:
        rclpy.shutdown()
    with Reader(tmp_path / "bag") as reader:
        assert [connection.topic for connection in reader.connections] == ["/notes"]
    said = capfd.readouterr().err
    assert said.count("/moon is not recorded: message type 'moon_msgs/msg/Crater' is not installed") == 1, said


def read(bag: Path) -> dict[str, list[bytes]]:
    """Serialised messages by topic."""
    topics: dict[str, list[bytes]] = {}
    with Reader(bag) as reader:
        for connection, _, raw in reader.messages():
            topics.setdefault(connection.topic, []).append(bytes(raw))
    return topics


def test_stamps_move_to_now_and_keep_their_distances(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    recorder = subprocess.Popen(command("k4d_bag_recorder_node", bag=copy, topics="/joint_states"))
    started_ns = time.time_ns()
    try:
        player = command(
            "k4d_bag_player_node", bag=EXAMPLE, rate=4.0, stamps="now", wait_for="[joint_states]", linger=3.0
        )
        subprocess.run(player, timeout=200, check=True)
    finally:
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=60) == 0
    stamps_ns = [
        message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        for message in (STORE.deserialize_cdr(raw, "sensor_msgs/msg/JointState") for raw in read(copy)["/joint_states"])
    ]
    assert started_ns < stamps_ns[0] < time.time_ns()
    np.testing.assert_allclose(np.diff(stamps_ns), 50_000_000 / 4.0, atol=2)


def test_the_recorded_motion_is_played_as_the_plan_before_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    topics = ("joint_states", "planned_trajectory")
    recorder = subprocess.Popen(command("k4d_bag_recorder_node", bag=copy, topics=f"'/({'|'.join(topics)})'"))
    try:
        player = command(
            "k4d_bag_player_node", bag=EXAMPLE, rate=4.0, stamps="now", plan_of="/joint_states",
            wait_for=f"[{', '.join(topics)}]", linger=3.0,
        )  # fmt: skip
        subprocess.run(player, timeout=200, check=True)
    finally:
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=60) == 0
    recorded = read(copy)
    states = [STORE.deserialize_cdr(raw, "sensor_msgs/msg/JointState") for raw in recorded["/joint_states"]]
    (plan,) = (
        STORE.deserialize_cdr(raw, "trajectory_msgs/msg/JointTrajectory") for raw in recorded["/planned_trajectory"]
    )
    assert abs(stamp_ns(plan) - stamp_ns(states[0])) < 1000
    assert list(plan.joint_names) == list(states[0].name)
    assert len(plan.points) == len(states) == 94
    for point, state in zip(plan.points, states, strict=True):
        np.testing.assert_array_equal(point.positions, state.position)
        from_start_ns = point.time_from_start.sec * 1_000_000_000 + point.time_from_start.nanosec
        assert abs(from_start_ns - (stamp_ns(state) - stamp_ns(states[0]))) < 1000


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
