"""What our nodes rely on in tf2_ros.Buffer, true of whichever tf2_ros is installed."""

import asyncio

import numpy as np
import pytest
import tf2_ros
import yaml
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp

LATEST = Time()


def stamped(parent, child, seconds, translation=(0.0, 0.0, 0.0), rotation=None):
    """A TransformStamped from a translation (3,) and a scipy Rotation."""
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp = Time(seconds=seconds).to_msg()
    shift, turn = message.transform.translation, message.transform.rotation
    shift.x, shift.y, shift.z = (float(value) for value in translation)
    turn.x, turn.y, turn.z, turn.w = (rotation or Rotation.identity()).as_quat().tolist()
    return message


def matrix(message):
    """The 4x4 matrix of a TransformStamped."""
    shift, turn = message.transform.translation, message.transform.rotation
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    T[:3, 3] = shift.x, shift.y, shift.z
    return T


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.fixture
def buffer():
    return tf2_ros.Buffer()


def test_a_transform_takes_source_points_to_the_target_frame(buffer):
    rotation = Rotation.from_euler("xyz", [0.3, -0.7, 1.1])
    buffer.set_transform(stamped("base", "camera", 5.0, [1.0, 2.0, 3.0], rotation), "test")
    found = buffer.lookup_transform("base", "camera", Time(seconds=5.0))
    assert (found.header.frame_id, found.child_frame_id) == ("base", "camera")
    point_camera = np.array([0.4, -0.5, 0.6])
    np.testing.assert_allclose(
        (matrix(found) @ [*point_camera, 1.0])[:3], rotation.apply(point_camera) + np.array([1.0, 2.0, 3.0]), atol=1e-12
    )
    inverse = buffer.lookup_transform("camera", "base", Time(seconds=5.0))
    np.testing.assert_allclose(matrix(inverse) @ matrix(found), np.eye(4), atol=1e-12)


def test_a_chain_over_branches_is_the_product_of_its_edges(buffer, rng):
    T = {}
    for parent, child in [("world", "a"), ("a", "b"), ("b", "c"), ("a", "d"), ("d", "e")]:
        edge = stamped(parent, child, 3.0, rng.normal(size=3), Rotation.random(rng=rng))
        buffer.set_transform(edge, "test")
        T[child] = matrix(edge)
    T_world_c = T["a"] @ T["b"] @ T["c"]
    T_world_e = T["a"] @ T["d"] @ T["e"]
    at = Time(seconds=3.0)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("world", "c", at)), T_world_c, atol=1e-12)
    np.testing.assert_allclose(matrix(buffer.lookup_transform("c", "world", at)), np.linalg.inv(T_world_c), atol=1e-12)
    T_e_c = np.linalg.inv(T_world_e) @ T_world_c
    np.testing.assert_allclose(matrix(buffer.lookup_transform("e", "c", at)), T_e_c, atol=1e-12)
    np.testing.assert_allclose(
        matrix(buffer.lookup_transform("c", "a", at)), np.linalg.inv(T["b"] @ T["c"]), atol=1e-12
    )


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.875, 1.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_translation_is_interpolated_linearly_and_rotation_along_the_shorter_arc(buffer, rng, ratio, sign):
    start, end = Rotation.random(rng=rng), Rotation.random(rng=rng)
    p_start, p_end = rng.normal(size=3), rng.normal(size=3)
    late = stamped("base", "tool", 2.0, p_end, end)
    q = late.transform.rotation  # q and -q are the same rotation
    q.x, q.y, q.z, q.w = sign * q.x, sign * q.y, sign * q.z, sign * q.w
    buffer.set_transform(stamped("base", "tool", 1.0, p_start, start), "test")
    buffer.set_transform(late, "test")
    found = buffer.lookup_transform("base", "tool", Time(seconds=1.0 + ratio))
    expected = Slerp([0.0, 1.0], Rotation.concatenate([start, end]))(ratio)
    np.testing.assert_allclose(matrix(found)[:3, :3], expected.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(matrix(found)[:3, 3], (1 - ratio) * p_start + ratio * p_end, atol=1e-9)
    assert stamp_ns(found) == round((1.0 + ratio) * 1e9)


def test_transforms_arriving_out_of_order_are_sorted_by_stamp(buffer):
    for seconds in (1.0, 3.0, 2.0):
        buffer.set_transform(stamped("base", "tool", seconds, [seconds**2, 0, 0]), "test")
    assert buffer.lookup_transform("base", "tool", Time(seconds=2.5)).transform.translation.x == pytest.approx(6.5)
    assert buffer.lookup_transform("base", "tool", LATEST).transform.translation.x == 9.0


@pytest.mark.parametrize(("seconds", "direction"), [(0.5, "past"), (2.5, "future")])
def test_extrapolation_is_an_error_that_names_times_and_frames(buffer, seconds, direction):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    buffer.set_transform(stamped("base", "tool", 2.0), "test")
    with pytest.raises(tf2_ros.ExtrapolationException) as caught:
        buffer.lookup_transform("base", "tool", Time(seconds=seconds))
    assert f"extrapolation into the {direction}" in str(caught.value)
    nearest = {"past": "1.000000", "future": "2.000000"}[direction]
    for word in (f"{seconds:.6f}", nearest, "base", "tool"):
        assert word in str(caught.value)


def test_a_single_moving_transform_holds_only_at_its_stamp(buffer):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    assert buffer.can_transform("base", "tool", Time(seconds=1.0))
    with pytest.raises(tf2_ros.ExtrapolationException, match=r"1\.000000"):
        buffer.lookup_transform("base", "tool", Time(seconds=1.1))


def test_a_static_transform_holds_at_every_time_with_the_asked_stamp(buffer):
    buffer.set_transform_static(stamped("base", "camera", 7.0, [0.1, 0.2, 0.3]), "test")
    for seconds in (0.001, 7.0, 1e6):
        found = buffer.lookup_transform("base", "camera", Time(seconds=seconds))
        assert found.transform.translation.y == 0.2
        assert stamp_ns(found) == Time(seconds=seconds).nanoseconds
    assert stamp_ns(buffer.lookup_transform("base", "camera", LATEST)) == 0


def test_the_later_static_transform_replaces_the_earlier(buffer):
    buffer.set_transform_static(stamped("base", "camera", 7.0, [0.1, 0, 0]), "test")
    buffer.set_transform_static(stamped("base", "camera", 6.0, [0.2, 0, 0]), "test")
    assert buffer.lookup_transform("base", "camera", LATEST).transform.translation.x == 0.2


def test_time_zero_asks_for_the_latest_time_that_all_edges_know(buffer):
    buffer.set_transform_static(stamped("world", "base", 0.0), "test")
    for seconds in (1.0, 2.0, 3.0):
        buffer.set_transform(stamped("base", "slow", seconds, [seconds, 0, 0]), "test")
    for seconds in (1.0, 2.0, 3.0, 4.0, 5.0):
        buffer.set_transform(stamped("slow", "fast", seconds, [0, seconds, 0]), "test")
    found = buffer.lookup_transform("world", "fast", LATEST)
    assert stamp_ns(found) == 3 * 10**9
    assert (found.transform.translation.x, found.transform.translation.y) == (3.0, 3.0)
    assert stamp_ns(buffer.lookup_transform("slow", "fast", LATEST)) == 5 * 10**9
    assert buffer.get_latest_common_time("world", "fast").nanoseconds == 3 * 10**9


@pytest.mark.parametrize("frames", [("left", "right"), ("right", "left")])
def test_time_zero_looks_at_both_branches(buffer, frames):
    for seconds in (1.0, 2.0, 3.0):
        buffer.set_transform(stamped("base", "left", seconds), "test")
        buffer.set_transform(stamped("base", "right", seconds + 0.5), "test")
    buffer.set_transform(stamped("world", "base", 1.0), "test")  # above both: its age does not matter
    assert stamp_ns(buffer.lookup_transform(*frames, LATEST)) == 3 * 10**9


def test_a_stamp_message_serves_as_time(buffer):
    buffer.set_transform(stamped("base", "tool", 1.0, [1, 0, 0]), "test")
    buffer.set_transform(stamped("base", "tool", 2.0, [2, 0, 0]), "test")
    found = buffer.lookup_transform("base", "tool", TimeMessage(sec=1, nanosec=250_000_000))
    assert found.transform.translation.x == pytest.approx(1.25)


def test_a_frame_in_itself_is_the_identity_even_where_it_is_unknown(buffer):
    found = buffer.lookup_transform("anything", "anything", Time(seconds=4.0))
    np.testing.assert_array_equal(matrix(found), np.eye(4))
    assert stamp_ns(found) == 4 * 10**9


def test_an_unknown_frame_is_named(buffer):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    with pytest.raises(tf2_ros.LookupException, match="gripper"):
        buffer.lookup_transform("base", "gripper", LATEST)
    with pytest.raises(tf2_ros.LookupException, match="floor"):
        buffer.lookup_transform("floor", "tool", LATEST)


@pytest.mark.parametrize("time", [LATEST, Time(seconds=1.0)])
def test_frames_of_two_trees_are_not_connected(buffer, time):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    buffer.set_transform(stamped("floor", "table", 1.0), "test")
    with pytest.raises(tf2_ros.ConnectivityException) as caught:
        buffer.lookup_transform("tool", "table", time)
    assert "tool" in str(caught.value)
    assert "table" in str(caught.value)


@pytest.mark.parametrize("name", ["", "/base"])
def test_frame_names_that_tf2_forbids_are_refused(buffer, name):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    with pytest.raises(tf2_ros.InvalidArgumentException):
        buffer.lookup_transform(name, "tool", LATEST)


def test_every_error_is_a_transform_exception():
    for name in ("Connectivity", "Extrapolation", "InvalidArgument", "Lookup", "Timeout"):
        assert issubclass(getattr(tf2_ros, f"{name}Exception"), tf2_ros.TransformException)


def test_only_the_part_of_the_tree_between_the_frames_matters(buffer):
    buffer.set_transform(stamped("map", "base", 1.0), "test")  # far older than what is asked below
    for seconds in (5.0, 6.0):
        buffer.set_transform(stamped("base", "left", seconds, [1, 0, 0]), "test")
        buffer.set_transform(stamped("base", "right", seconds, [0, 1, 0]), "test")
    found = buffer.lookup_transform("left", "right", Time(seconds=5.5))
    assert (found.transform.translation.x, found.transform.translation.y) == pytest.approx((-1.0, 1.0))
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("map", "right", Time(seconds=5.5))


def test_data_older_than_the_cache_time_is_dropped():
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=3.0))
    for seconds in (1.0, 2.0, 6.0, 6.5):
        buffer.set_transform(stamped("base", "tool", seconds, [seconds, 0, 0]), "test")
    with pytest.raises(tf2_ros.ExtrapolationException, match="past"):
        buffer.lookup_transform("base", "tool", Time(seconds=2.5))
    buffer.set_transform(stamped("base", "tool", 1.0), "test")  # too old to be taken
    with pytest.raises(tf2_ros.ExtrapolationException, match="past"):
        buffer.lookup_transform("base", "tool", Time(seconds=2.5))
    assert buffer.lookup_transform("base", "tool", Time(seconds=6.25)).transform.translation.x == pytest.approx(6.25)


def test_ten_seconds_are_kept_unless_told_otherwise(buffer):
    for seconds in (1.0, 10.9, 11.1, 11.2):
        buffer.set_transform(stamped("base", "tool", seconds), "test")
    assert not buffer.can_transform("base", "tool", Time(seconds=1.0))
    assert buffer.can_transform("base", "tool", Time(seconds=11.0))


def test_clear_forgets_moving_transforms_and_keeps_static_ones(buffer):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    buffer.set_transform_static(stamped("tool", "camera", 0.0, [0.5, 0, 0]), "test")
    assert buffer.can_transform("base", "camera", LATEST)
    buffer.clear()
    assert not buffer.can_transform("base", "camera", LATEST)
    assert buffer.lookup_transform("tool", "camera", LATEST).transform.translation.x == 0.5
    buffer.set_transform(stamped("base", "tool", 0.5), "test")  # earlier than what was known before
    assert stamp_ns(buffer.lookup_transform("base", "camera", LATEST)) == 5 * 10**8


@pytest.mark.parametrize("fault", ["nan", "self", "no child", "no parent", "not a rotation"])
def test_malformed_transforms_are_ignored(buffer, fault):
    message = stamped("base", "tool", 1.0)
    if fault == "nan":
        message.transform.translation.x = float("nan")
    elif fault == "self":
        message.child_frame_id = "base"
    elif fault == "no child":
        message.child_frame_id = ""
    elif fault == "no parent":
        message.header.frame_id = ""
    else:
        message.transform.rotation.w = 0.0
    buffer.set_transform(message, "test")
    assert not buffer.can_transform("base", "tool", LATEST)


def test_quaternions_are_brought_to_unit_length(buffer):
    message = stamped("base", "tool", 1.0, [0, 0, 0], Rotation.from_rotvec([0.0, 0.0, 0.8]))
    message.transform.rotation.z *= 0.5
    message.transform.rotation.w *= 0.5
    buffer.set_transform(message, "test")
    found = matrix(buffer.lookup_transform("base", "tool", LATEST))
    np.testing.assert_allclose(found[:3, :3], Rotation.from_rotvec([0.0, 0.0, 0.8]).as_matrix(), atol=1e-12)


def test_a_loop_is_a_lookup_error(buffer):
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a"), ("x", "y")):
        buffer.set_transform_static(stamped(parent, child, 0.0), "test")
    with pytest.raises(tf2_ros.LookupException, match="loop"):
        buffer.lookup_transform("y", "a", Time(seconds=1.0))


def test_a_point_fixed_in_one_frame_is_followed_between_two_times(buffer):
    for seconds in (1.0, 2.0):
        buffer.set_transform(stamped("world", "robot", seconds, [seconds, 0, 0]), "test")
        buffer.set_transform(stamped("world", "camera", seconds, [0, 10 * seconds, 0]), "test")
    found = buffer.lookup_transform_full("camera", Time(seconds=2.0), "robot", Time(seconds=1.0), "world")
    T_world_robot, T_world_camera = np.eye(4), np.eye(4)
    T_world_robot[0, 3], T_world_camera[1, 3] = 1.0, 20.0
    np.testing.assert_allclose(matrix(found), np.linalg.inv(T_world_camera) @ T_world_robot, atol=1e-12)
    assert stamp_ns(found) == 2 * 10**9
    assert not buffer.can_transform_full("camera", Time(seconds=3.0), "robot", Time(seconds=1.0), "world")


def test_can_transform_says_why_not(buffer):
    buffer.set_transform(stamped("base", "tool", 1.0), "test")
    assert buffer.can_transform("base", "tool", LATEST)
    possible, reason = buffer.can_transform("base", "gripper", LATEST, return_debug_tuple=True)
    assert not possible
    assert "gripper" in reason


def test_a_lookup_without_timeout_does_not_wait_and_one_with_timeout_ends(buffer):
    with pytest.raises(tf2_ros.TransformException):
        buffer.lookup_transform("base", "tool", LATEST)
    with pytest.raises(tf2_ros.TransformException):
        buffer.lookup_transform("base", "tool", LATEST, timeout=Duration(seconds=0.05))
    assert not buffer.can_transform("base", "tool", LATEST, Duration(seconds=0.05))


def test_a_future_completes_when_the_transform_arrives(buffer):
    future = buffer.wait_for_transform_async("base", "camera", Time(seconds=1.0))
    buffer.set_transform(stamped("base", "tool", 1.0, [1, 0, 0]), "test")
    assert not future.done()
    buffer.set_transform_static(stamped("tool", "camera", 0.0, [0, 2, 0]), "test")
    assert future.done()
    translation = future.result().transform.translation
    assert (translation.x, translation.y) == (1.0, 2.0)
    awaited = asyncio.run(buffer.lookup_transform_async("base", "camera", Time(seconds=1.0)))
    assert awaited.transform.translation.y == 2.0


def test_all_frames_as_yaml_is_readable_and_complete(buffer):
    assert yaml.safe_load(buffer.all_frames_as_yaml()) in ([], None)
    for index in range(11):
        buffer.set_transform(stamped("base", "tool", 1.0 + index / 10), "driver")
    buffer.set_transform_static(stamped("tool", "camera", 0.0), "calibration")
    frames = yaml.safe_load(buffer.all_frames_as_yaml())
    assert set(frames) == {"tool", "camera"}
    assert (frames["tool"]["parent"], frames["tool"]["broadcaster"]) == ("base", "driver")
    assert frames["tool"]["most_recent_transform"] == pytest.approx(2.0)
    assert frames["tool"]["oldest_transform"] == pytest.approx(1.0)
    assert frames["tool"]["buffer_length"] == pytest.approx(1.0)
    assert frames["tool"]["rate"] == pytest.approx(11.0)
    assert frames["camera"]["parent"] == "tool"
    assert frames["camera"]["most_recent_transform"] == 0.0
