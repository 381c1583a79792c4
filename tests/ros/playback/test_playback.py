"""The playback node on a simulated clock: what it shows when, and how its services answer."""

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from k4d_msgs.msg import Rollout as RolloutMessage
from k4d_msgs.srv import Seek, SetRate, Step
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from tf2_ros import StaticTransformBroadcaster

from k4d_kinematics import KinematicsError, se3
from k4d_kinematics.ros.conversions import camera_from_message, nanoseconds, transform_message
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout_files import write_rollout

from .conftest import CAMERA, SECOND, START, T_BASE_CAM, make_rollout, messages

TENTH = SECOND // 10
# Of frames at 0.5, 0.6, 0.9 and 1.0 s.
OFFSETS = [0, TENTH, 4 * TENTH, 5 * TENTH]


def test_frames_come_when_they_are_due_on_the_nodes_clock(start) -> None:
    graph = start()
    graph.send(make_rollout(30), "one")
    assert graph.shown() == [], "nothing may come before the clock begins"
    graph.at(START)
    assert graph.shown() == [(30, START)]
    graph.at(START + TENTH - 1)
    assert graph.shown() == []
    # Late, but all of them, each with its own moment.
    graph.at(START + 45 * TENTH // 10)
    assert graph.shown() == [(31, START + OFFSETS[1]), (32, START + OFFSETS[2])]
    graph.at(START + 60 * TENTH)
    assert graph.shown() == [(33, START + OFFSETS[3])]
    graph.at(START + 90 * TENTH)
    assert graph.shown() == []

    expected = make_rollout(30)
    stamps = [START + offset for offset in OFFSETS]
    for topic in ("joint_states", "predicted/points", "predicted/camera_info"):
        assert [nanoseconds(message.header.stamp) for message in graph.received[topic]] == stamps
    for index, state in enumerate(graph.received["joint_states"]):
        assert list(state.name) == ["a", "b", "c"]
        np.testing.assert_allclose(state.position, expected.joints.positions[index])
    cloud = graph.received["predicted/points"][2]
    assert cloud.header.frame_id == "front_optical"
    values = np.frombuffer(cloud.data, np.float32).reshape(5, 7, 4)
    np.testing.assert_array_equal(values[..., :3], expected.points[2])
    assert (values.view(np.uint32)[..., 3] == 0x202020).all()
    assert camera_from_message(graph.received["predicted/camera_info"][0]) == CAMERA


def test_pause_resume_seek_rate_and_loop(start) -> None:
    graph = start()
    graph.send(make_rollout(30), "one")
    graph.at(START)
    graph.shown()
    graph.at(START + TENTH // 2)
    assert graph.call("pause").success
    graph.at(START + 30 * TENTH)
    assert graph.shown() == []
    assert graph.call("resume").success
    graph.at(START + 30 * TENTH + TENTH // 2)
    assert graph.shown() == [(31, START + 30 * TENTH + TENTH // 2)]

    assert graph.seek(0.45).success
    now = START + 30 * TENTH + TENTH // 2
    assert graph.shown() == [(32, now)]
    graph.at(now + TENTH // 2)
    assert graph.shown() == [(33, now + TENTH // 2)]

    # At the end; resume begins again, at half the speed.
    assert graph.call("set_rate", SetRate.Request(rate=0.5)).success
    assert graph.call("resume").success
    now += TENTH // 2
    graph.at(now + 2 * TENTH)
    assert graph.shown() == [(30, now), (31, now + 2 * TENTH)]
    graph.at(now + 10 * TENTH)
    assert graph.shown() == [(32, now + 8 * TENTH), (33, now + 10 * TENTH)]

    # The last frame lasts as long as the others on average: 0.5 s / 3, twice that at half the speed.
    assert graph.call("set_loop", SetBool.Request(data=True)).success
    again = now + 10 * TENTH + round(SECOND / 3)
    graph.at(again - TENTH)
    assert graph.shown() == []
    graph.at(again + 2 * TENTH + 1)
    shown = graph.shown()
    assert [colour for colour, _ in shown] == [30, 31]
    np.testing.assert_allclose([stamp - again for _, stamp in shown], [0, 2 * TENTH], atol=2)
    assert graph.call("set_loop", SetBool.Request(data=False)).success


def test_seeking_while_paused_shows_the_frame_and_stays(start) -> None:
    graph = start(autoplay=False)
    graph.at(START)
    graph.send(make_rollout(30), "one")
    assert graph.shown() == [(30, START)], "the first frame, to look at"
    assert graph.seek(0.4).success
    assert graph.shown() == [(32, START)]
    graph.at(START + 20 * TENTH)
    assert graph.shown() == []
    assert graph.call("resume").success
    graph.at(START + 21 * TENTH)
    assert graph.shown() == [(33, START + 21 * TENTH)]


def test_what_was_paused_stays_so_when_another_rollout_comes(start) -> None:
    graph = start()
    graph.at(START)
    graph.send(make_rollout(30), "one")
    graph.at(START + TENTH)
    assert graph.call("pause").success
    graph.shown()
    graph.send(make_rollout(60), "two")
    assert graph.shown() == [(60, START + TENTH)]
    graph.at(START + 9 * TENTH)
    assert graph.shown() == []


def test_steps_pause_and_go_frame_by_frame(start) -> None:
    graph = start()
    answer = graph.call("step", Step.Request(frames=1))
    assert (answer.success, answer.error_code) == (False, Step.Request.NOTHING_LOADED)
    graph.at(START)
    graph.send(make_rollout(30), "one")
    graph.at(START)
    assert graph.shown() == [(30, START)]
    for count, colour in ((1, 31), (2, 33), (-1, 32), (0, 32)):
        assert graph.call("step", Step.Request(frames=count)).success
        assert graph.shown() == [(colour, START)]
    for count in (-3, 2):
        answer = graph.call("step", Step.Request(frames=count))
        assert (answer.success, answer.error_code) == (False, Step.Request.OUT_OF_RANGE)
        assert "from frame 2, frames must be within -2..1" in answer.error_string
    graph.at(START + 9 * TENTH)
    assert graph.shown() == [], "it stays paused"
    assert graph.call("resume").success
    graph.at(START + 10 * TENTH)
    assert graph.shown() == [(33, START + 10 * TENTH)]


def test_rollouts_side_by_side_share_one_clock(start, tmp_path: Path) -> None:
    longer = (0.5, 0.7, 1.0, 1.4, 1.5)
    for name, rollout in (("short", make_rollout(30)), ("long", make_rollout(60, longer))):
        write_rollout(tmp_path / name, rollout)
    graph = start("playback/rollout_0", files=f"['{tmp_path / 'short'}', '{tmp_path / 'long'}']", autoplay=False)
    others: list[Image] = []
    graph.driver.create_subscription(Image, "playback/rollout_1/predicted/image", others.append, 500)
    graph.until(lambda: graph.driver.count_publishers("playback/rollout_1/predicted/image"), "the other rollout")

    def side_by_side() -> tuple[list[int], list[int]]:
        shown = [colour for colour, _ in graph.shown()]
        graph.until(lambda: len(others) >= len(shown), "the other picture")
        colours, others[:] = [image.data[0] for image in others], []
        return shown, colours

    graph.at(START)
    side_by_side()
    for position, expected in ((0.2, (31, 61)), (0.5, (33, 62)), (0.9, (33, 63))):
        assert graph.seek(position).success
        assert side_by_side() == ([expected[0]], [expected[1]])
    assert not graph.seek(1.1).success
    assert graph.call("step", Step.Request(frames=-2)).success
    assert side_by_side() == ([31], [61]), "the longest one's frame at 0.2 s"
    assert graph.call("resume").success
    graph.at(START + 2 * TENTH)
    assert [colour for colour, _ in graph.shown()] == [32], "the longest one's next frame comes at 0.5 s"
    assert "rollout_1: rollout" in graph.node.diagnostics._conditions


@pytest.mark.parametrize("position", [-0.001, 0.500001])
def test_seeking_out_of_range_is_refused_and_changes_nothing(start, position: float) -> None:
    graph = start(autoplay=False)
    graph.at(START)
    graph.send(make_rollout(30), "one")
    graph.shown()
    answer = graph.seek(position)
    assert (answer.success, answer.error_code) == (False, Seek.Request.OUT_OF_RANGE)
    assert "within 0..0.500000000 s" in answer.error_string
    assert graph.shown() == []
    assert graph.seek(0.5).success
    assert graph.shown() == [(33, START)]


def test_without_a_rollout_services_say_so(start) -> None:
    graph = start()
    answer = graph.seek(0.0)
    assert (answer.success, answer.error_code) == (False, Seek.Request.NOTHING_LOADED)
    for name in ("pause", "resume"):
        answer = graph.call(name)
        assert (answer.success, answer.message) == (False, "there is no rollout to play yet")
    assert graph.status("rollout").level == DiagnosticStatus.WARN


@pytest.mark.parametrize("rate", [0.0, -1.0, 1000.0, float("nan"), float("inf")])
def test_rates_out_of_range_are_refused(start, rate: float) -> None:
    graph = start()
    answer = graph.call("set_rate", SetRate.Request(rate=rate))
    assert (answer.success, answer.error_code) == (False, SetRate.Request.OUT_OF_RANGE)
    assert "within 0.01..100" in answer.error_string


def test_the_newest_whole_rollout_is_played_and_what_is_none_is_not(start) -> None:
    graph = start()
    graph.at(START)
    graph.send(make_rollout(30), "one")
    graph.at(START + TENTH)
    graph.shown()
    failed = RolloutMessage(sequence_id="", error_code=RolloutMessage.CANCELED, error_string="cancelled")
    graph.tell(failed)
    summary, _ = messages(make_rollout(60), "never comes")
    graph.tell(summary)
    graph.until(lambda: graph.node._collectors["front"].summaries, "the summary to be heard")
    assert graph.status("rollout").level == DiagnosticStatus.OK, "a failed prediction is no fault of playback"
    summary, _ = messages(make_rollout(60), "empty")
    summary.frame_count = 0
    graph.tell(summary)
    graph.until(lambda: graph.status("rollout").level == DiagnosticStatus.ERROR, "the diagnostic")
    assert "1 to 1000 frames" in graph.status("rollout").message
    graph.at(START + 4 * TENTH)
    assert graph.shown() == [(32, START + 4 * TENTH)]
    graph.send(make_rollout(90, joints=False), "two")
    graph.at(START + 10 * TENTH)
    assert [colour for colour, _ in graph.shown()] == [90, 91, 92, 93]
    assert graph.status("joint_states").level == DiagnosticStatus.WARN


def test_a_clock_that_jumps_back_goes_on_from_there(start) -> None:
    graph = start()
    graph.send(make_rollout(30), "one")
    graph.at(START)
    graph.at(START + 2 * TENTH)
    graph.shown()
    graph.at(START - 1000 * SECOND)
    assert graph.shown() == []
    graph.at(START - 1000 * SECOND + 2 * TENTH)
    assert graph.shown() == [(32, START - 1000 * SECOND + 2 * TENTH)]


def test_points_can_be_in_any_frame_that_tf_knows(start) -> None:
    graph = start(points_frame="table")
    graph.at(START)
    graph.send(make_rollout(30), "one")
    graph.at(START + TENTH)
    assert graph.received["predicted/points"] == []
    assert graph.status("points").level == DiagnosticStatus.ERROR
    T_table_base = se3.from_xyz_rpy((0.4, -0.2, 0.1), (0.3, 0.1, -0.5))
    placed = StaticTransformBroadcaster(graph.driver)
    message = TransformStamped(child_frame_id="base", transform=transform_message(T_table_base))
    message.header.frame_id = "table"
    placed.sendTransform(message)
    graph.until(lambda: graph.seek(0.4).success and graph.received["predicted/points"], "points")
    cloud = graph.received["predicted/points"][0]
    assert cloud.header.frame_id == "table"
    values = np.frombuffer(cloud.data, np.float32).reshape(5, 7, 4)[..., :3]
    points_cam = make_rollout(30).points[2].reshape(-1, 3)
    expected = se3.transform_points(T_table_base @ T_BASE_CAM, points_cam).reshape(5, 7, 3)
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_file_is_played(start, tmp_path: Path) -> None:
    write_rollout(tmp_path / "predicted", make_rollout(30))
    graph = start(files=f"['{tmp_path / 'predicted'}']", rate=2.0)
    graph.at(START)
    graph.at(START + 2 * TENTH)
    assert graph.shown() == [(30, START), (31, START + TENTH // 2), (32, START + 2 * TENTH)]
    assert [state.position[0] for state in graph.received["joint_states"]] == [0.0, 0.1, 0.2]


def test_a_file_that_is_none_is_named(start, tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="holds no rollout"):
        start(files=f"['{tmp_path}']")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"rate": 0.0}, "rate"),
        ({"lop": True}, "did you mean 'loop'"),
        ({"files": "[x]", "points_frame": "table"}, "points_frame needs base_frame"),
        ({"files": "[x, '']"}, "files must be paths"),
        ({"cameras": "[front, front]"}, "cameras must be different"),
    ],
)
def test_wrong_parameters_are_named(start, parameters: dict[str, object], reason: str) -> None:
    with pytest.raises(KinematicsError, match=reason):
        start(**parameters)
