"""What our nodes rely on in message_filters, true of whichever one is installed."""

import pytest
from geometry_msgs.msg import PointStamped, TransformStamped
from message_filters import ApproximateTimeSynchronizer, Cache, SimpleFilter, Subscriber, TimeSynchronizer
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from std_msgs.msg import String


def stamped(milliseconds, message_type=PointStamped, frame=""):
    message = message_type()
    message.header.stamp = Time(nanoseconds=milliseconds * 1_000_000).to_msg()
    message.header.frame_id = frame
    return message


def milliseconds(message):
    return Time.from_msg(message.header.stamp).nanoseconds // 1_000_000


def connect(synchronizer):
    """The list that gets the stamps of every set that the synchronizer emits."""
    sets = []
    synchronizer.registerCallback(lambda *messages: sets.append(tuple(milliseconds(message) for message in messages)))
    return sets


@pytest.fixture
def inputs():
    return [SimpleFilter(), SimpleFilter(), SimpleFilter()]


def test_callbacks_get_the_messages_and_then_their_own_arguments():
    source, calls = SimpleFilter(), []
    source.registerCallback(lambda *args: calls.append(args), "camera", 7)
    source.registerCallback(lambda *args: calls.append(args))
    source.signalMessage(1, 2)
    assert calls == [(1, 2, "camera", 7), (1, 2)]


def test_equal_stamps_are_paired_in_the_order_of_the_inputs(inputs):
    sets = connect(TimeSynchronizer(inputs, 10))
    inputs[2].signalMessage(stamped(100))
    inputs[0].signalMessage(stamped(100))
    inputs[1].signalMessage(stamped(101))
    assert sets == []
    inputs[1].signalMessage(stamped(100))
    assert sets == [(100, 100, 100)]
    inputs[1].signalMessage(stamped(100))
    assert sets == [(100, 100, 100)], "a message is used once"


def test_a_full_queue_drops_the_oldest_stamp(inputs):
    sets = connect(TimeSynchronizer(inputs[:2], 2))
    for stamp in (300, 100, 200):
        inputs[0].signalMessage(stamped(stamp))
    inputs[1].signalMessage(stamped(100))
    assert sets == []
    inputs[1].signalMessage(stamped(200))
    inputs[1].signalMessage(stamped(300))
    assert sets == [(200, 200), (300, 300)]


def test_stamps_within_the_slop_are_paired_and_others_not(inputs):
    sets = connect(ApproximateTimeSynchronizer(inputs[:2], 10, 0.02))
    inputs[0].signalMessage(stamped(100))
    inputs[1].signalMessage(stamped(121))
    assert sets == []
    inputs[1].signalMessage(stamped(119))
    assert sets == [(100, 119)]


def test_the_closest_partner_is_taken(inputs):
    sets = connect(ApproximateTimeSynchronizer(inputs[:2], 10, 0.02))
    for stamp in (85, 99, 104, 111):
        inputs[0].signalMessage(stamped(stamp))
    inputs[1].signalMessage(stamped(101))
    assert sets == [(99, 101)]
    inputs[1].signalMessage(stamped(102))
    assert sets == [(99, 101), (104, 102)]


def test_the_slop_holds_between_all_members_of_a_set(inputs):
    sets = connect(ApproximateTimeSynchronizer(inputs, 10, 0.02))
    inputs[0].signalMessage(stamped(100))
    inputs[1].signalMessage(stamped(130))
    inputs[2].signalMessage(stamped(115))  # within the slop of each, but they are not within it of one another
    assert sets == []
    inputs[1].signalMessage(stamped(118))
    assert sets == [(100, 118, 115)]


def test_two_streams_of_different_rates_pair_once_per_slow_message(inputs):
    sets = connect(ApproximateTimeSynchronizer(inputs[:2], 20, 0.012))
    for tick in range(300):
        if tick % 33 == 0:
            inputs[0].signalMessage(stamped(1000 + tick))
        if tick % 10 == 0:
            inputs[1].signalMessage(stamped(1000 + tick + 3))
    assert len(sets) == 10
    assert all(abs(slow - fast) < 12 for slow, fast in sets)
    assert len({fast for _, fast in sets}) == 10


def test_messages_without_a_header_need_permission(inputs):
    refused = []
    ApproximateTimeSynchronizer(inputs[:2], 10, 5.0).registerCallback(lambda *messages: refused.append(messages))
    accepted = []
    ApproximateTimeSynchronizer(inputs[:2], 10, 5.0, allow_headerless=True).registerCallback(
        lambda *messages: accepted.append(messages)
    )
    inputs[0].signalMessage(String(data="a"))
    inputs[1].signalMessage(String(data="b"))
    assert refused == []
    assert [[message.data for message in messages] for messages in accepted] == [["a", "b"]]


def test_a_cache_finds_messages_by_stamp(inputs):
    cache = Cache(inputs[0], cache_size=3)
    passed_on = connect(cache)
    for stamp in (100, 200, 300, 400):
        inputs[0].signalMessage(stamped(stamp))
    at = [Time.from_msg(stamped(value).header.stamp) for value in (150, 200, 350, 500)]
    assert passed_on == [(100,), (200,), (300,), (400,)]
    assert [milliseconds(message) for message in cache.getInterval(at[0], at[2])] == [200, 300]
    assert milliseconds(cache.getElemAfterTime(at[2])) == 400
    assert milliseconds(cache.getElemBeforeTime(at[2])) == 300
    assert milliseconds(cache.getElemBeforeTime(at[1])) == 200
    assert cache.getElemAfterTime(at[3]) is None
    assert cache.getElemBeforeTime(at[0]) is None
    assert milliseconds(cache.getLast()) == 400
    assert cache.getOldestTime() == at[1]


def test_subscribers_pair_messages_of_two_topics(graph):
    sender, receiver = graph.node("sender"), graph.node("receiver")
    qos = QoSProfile(depth=7, reliability=ReliabilityPolicy.RELIABLE)
    subscribers = [
        Subscriber(receiver, PointStamped, "points", qos_profile=qos),
        Subscriber(receiver, TransformStamped, "poses"),
    ]
    pairs = []
    ApproximateTimeSynchronizer(subscribers, 10, 0.03).registerCallback(lambda *pair: pairs.append(pair))
    points = sender.create_publisher(PointStamped, "points", 10)
    poses = sender.create_publisher(TransformStamped, "poses", 10)
    assert graph.spin_until(lambda: points.get_subscription_count() and poses.get_subscription_count())
    points.publish(stamped(100, frame="points"))
    poses.publish(stamped(110, TransformStamped, frame="poses"))
    assert graph.spin_until(lambda: len(pairs) == 1)
    assert [message.header.frame_id for message in pairs[0]] == ["points", "poses"]
    assert subscribers[0].getTopic() == "points"
