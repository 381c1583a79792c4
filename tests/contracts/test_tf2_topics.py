"""What our nodes rely on in tf2_ros' broadcasters and listener, over real DDS."""

import pytest
import rclpy
import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from tf2_msgs.msg import TFMessage


def stamped(parent, child, seconds, x):
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp = Time(seconds=seconds).to_msg()
    message.transform.translation.x, message.transform.rotation.w = float(x), 1.0
    return message


def test_moving_transforms_reach_a_listener_singly_and_as_a_list(graph):
    sender, receiver = graph.node("sender"), graph.node("receiver")
    buffer = tf2_ros.Buffer(node=receiver)
    listener = tf2_ros.TransformListener(buffer, receiver)
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    assert graph.spin_until(lambda: sender.count_subscribers("/tf") >= 1)
    broadcaster.sendTransform(stamped("base", "tool", 1.0, 1.0))
    broadcaster.sendTransform([stamped("base", "tool", 2.0, 2.0), stamped("tool", "tip", 2.0, 0.5)])
    assert graph.spin_until(lambda: buffer.can_transform("base", "tip", Time(seconds=2.0)))
    assert buffer.lookup_transform("base", "tip", Time()).transform.translation.x == 2.5
    assert buffer.can_transform("base", "tool", Time(seconds=1.5))
    listener.unregister()


def test_a_late_listener_gets_all_static_transforms_sent_so_far(graph):
    sender = graph.node("sender")
    broadcaster = tf2_ros.StaticTransformBroadcaster(sender)
    broadcaster.sendTransform(stamped("base", "camera", 1.0, 1.0))
    broadcaster.sendTransform([stamped("base", "table", 1.0, 2.0)])
    receiver = graph.node("receiver")
    buffer = tf2_ros.Buffer(node=receiver)
    listener = tf2_ros.TransformListener(buffer, receiver)
    assert graph.spin_until(lambda: buffer.can_transform("camera", "table", Time(seconds=9.0)))
    assert buffer.lookup_transform("camera", "table", Time(seconds=9.0)).transform.translation.x == 1.0
    listener.unregister()


def test_topics_are_absolute_and_only_the_static_one_is_latched(graph):
    node = graph.node("sender", namespace="/arm")
    tf2_ros.TransformBroadcaster(node)
    tf2_ros.StaticTransformBroadcaster(node)
    assert graph.spin_until(lambda: node.count_publishers("/tf") == 1 and node.count_publishers("/tf_static") == 1)
    (moving,) = node.get_publishers_info_by_topic("/tf")
    (static,) = node.get_publishers_info_by_topic("/tf_static")
    assert moving.topic_type == static.topic_type == "tf2_msgs/msg/TFMessage"
    assert moving.qos_profile.durability == DurabilityPolicy.VOLATILE
    assert static.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_the_type_on_the_wire_is_the_upstream_one(graph):
    node = graph.node("sender")
    publisher = node.create_publisher(TFMessage, "/tf", 1)
    assert graph.spin_until(lambda: node.count_publishers("/tf") == 1)
    (info,) = node.get_publishers_info_by_topic("/tf")
    assert bytes(info.topic_type_hash.value).hex().startswith("e369d0f0")
    node.destroy_publisher(publisher)


def test_a_clock_that_jumps_back_clears_moving_transforms_only(graph):
    receiver = graph.node("receiver", parameter_overrides=[Parameter("use_sim_time", value=True)])
    clock = graph.node("clock").create_publisher(ClockMessage, "/clock", 10)
    buffer = tf2_ros.Buffer(node=receiver)

    def set_clock(seconds):
        def arrived():
            clock.publish(ClockMessage(clock=Time(seconds=seconds).to_msg()))
            return receiver.get_clock().now().nanoseconds == int(seconds * 1e9)

        assert graph.spin_until(arrived)

    set_clock(100.0)
    buffer.set_transform_static(stamped("tool", "camera", 0.0, 0.5), "test")
    buffer.set_transform(stamped("base", "tool", 100.0, 1.0), "test")
    set_clock(101.0)
    assert buffer.can_transform("base", "tool", Time(seconds=100.0))
    set_clock(50.0)
    assert graph.spin_until(lambda: not buffer.can_transform("base", "tool", Time(seconds=100.0)))
    assert buffer.can_transform("tool", "camera", Time(seconds=50.0))


def test_a_listener_with_its_own_thread_needs_no_spinning():
    rclpy.init()
    try:
        sender, receiver = rclpy.create_node("sender"), rclpy.create_node("receiver")
        buffer = tf2_ros.Buffer(node=receiver)
        listener = tf2_ros.TransformListener(buffer, receiver, spin_thread=True)
        tf2_ros.StaticTransformBroadcaster(sender).sendTransform(stamped("base", "camera", 1.0, 1.0))
        assert buffer.can_transform("base", "camera", Time(), timeout=Duration(seconds=20.0))
        listener.executor.shutdown()
        listener.dedicated_listener_thread.join(timeout=20.0)
        assert not listener.dedicated_listener_thread.is_alive()
    finally:
        rclpy.try_shutdown()


@pytest.mark.parametrize("many", [tuple, list])
def test_transforms_may_come_in_any_sequence(graph, many):
    sender, receiver = graph.node("sender"), graph.node("receiver")
    received = []
    receiver.create_subscription(TFMessage, "/tf", received.append, 10)
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    assert graph.spin_until(lambda: sender.count_subscribers("/tf") >= 1)
    broadcaster.sendTransform(many([stamped("base", "a", 1.0, 1.0), stamped("base", "b", 1.0, 1.0)]))
    assert graph.spin_until(lambda: len(received) == 1)
    assert [transform.child_frame_id for transform in received[0].transforms] == ["a", "b"]
