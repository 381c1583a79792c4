"""Messages put together by their stamps, before and after a jump back in time."""

import pytest
from message_filters import SimpleFilter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from k4d_kinematics.ros.conversions import time_message
from k4d_kinematics.ros.moments import Moments

START_NS = 1_700_000_000 * 10**9


def played(inputs: list[SimpleFilter], start_ns: int) -> None:
    """Pictures at 60 Hz, pointmaps of every second one, a little late."""
    stamps = [start_ns + k * 10**9 // 60 for k in range(300)]
    for k, stamp_ns in enumerate(stamps):
        inputs[0].signalMessage(Image(header=Header(stamp=time_message(stamp_ns))))
        if k % 2 == 1:
            inputs[1].signalMessage(Image(header=Header(stamp=time_message(stamps[k - 1]))))


@pytest.mark.parametrize("tolerance", [0.0, 0.005])
def test_what_is_played_again_is_put_together_again(tolerance: float) -> None:
    inputs, pairs = [SimpleFilter(), SimpleFilter()], []
    moments = Moments(inputs, 20, tolerance)
    moments.registerCallback(lambda *pair: pairs.append(pair))
    played(inputs, START_NS)
    assert len(pairs) == 150
    played(inputs, START_NS)
    assert len(pairs) == 300
    assert all(one.header.stamp == other.header.stamp for one, other in pairs)
