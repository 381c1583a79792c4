"""What a recording plays: its messages in order, and on request the motion in it as the plan that came before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import Reader

from k4d_bringup.errors import BagError
from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.recordings import read_recorded_trajectory
from k4d_kinematics.trajectory import JointTrajectory
from k4d_world_model.dataset import bag_messages

PLAN_TOPIC = "/planned_trajectory"
# By this the plan comes after the observation that it starts from, so that whoever takes it knows where the robot is.
PLAN_DELAY_NS = 200_000_000


class Topic(NamedTuple):
    """A topic to play: its name, its message type, and whether late subscribers get its last message."""

    name: str
    message_type: str
    is_latched: bool


class Played(NamedTuple):
    """A message to play at a recorded moment: topic, type and CDR."""

    topic: str
    message_type: str
    at_ns: int
    raw: bytes


def played_topics(reader: Reader, plan_of: str) -> list[Topic]:
    """The topics of ``played_messages``."""
    topics = {item.topic: Topic(item.topic, item.msgtype, _is_latched(item.ext)) for item in reader.connections}
    if plan_of:
        topics[PLAN_TOPIC] = Topic(PLAN_TOPIC, "trajectory_msgs/msg/JointTrajectory", False)
    return list(topics.values())


def played_messages(reader: Reader, bag: Path, plan_of: str, rate: float) -> Iterator[Played]:
    """The recording's messages in order.

    With ``plan_of``, a topic of joint states, all that it says becomes one trajectory_msgs/JointTrajectory on
    PLAN_TOPIC, stamped as the first of them, timed for playback at ``rate`` and played PLAN_DELAY_NS later; plans that
    the recording holds are left out. Raises BagError when that topic makes no trajectory.
    """
    plan = _plan(bag, plan_of, rate) if plan_of else None
    for connection, at_ns, raw in reader.messages():
        if plan is not None and at_ns > plan.at_ns:
            yield plan
            plan = None
        if not (plan_of and connection.topic == PLAN_TOPIC):
            yield Played(connection.topic, connection.msgtype, at_ns, bytes(raw))
    if plan is not None:
        yield plan


def _plan(bag: Path, topic: str, rate: float) -> Played:
    try:
        motion = read_recorded_trajectory(bag, topic)
    except TrajectoryError as error:
        raise BagError(f"plan_of {topic!r} makes no plan: {error}") from error
    stamp_ns = round(motion.times[0] * bag_messages.SECOND_NS)
    stretched = JointTrajectory(motion.joint_names, (motion.times - motion.times[0]) / rate, motion.positions)
    message = bag_messages.planned_trajectory(stretched, stamp_ns)
    raw = bag_messages.message_types().serialize_cdr(message, message.__msgtype__)
    return Played(PLAN_TOPIC, message.__msgtype__, stamp_ns + PLAN_DELAY_NS, bytes(raw))


def _is_latched(extension: object) -> bool:
    profiles = extension.offered_qos_profiles if isinstance(extension, ConnectionExtRosbag2) else ()
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)
