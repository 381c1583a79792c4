"""A playback node that has other things to do while a rollout comes."""

import pytest
from rclpy.duration import Duration

from .conftest import PATIENCE, make_rollout, messages


def test_a_node_that_was_busy_while_a_rollout_came_loses_none_of_it(start) -> None:
    graph = start()
    rollout = make_rollout(times=tuple(0.1 * k for k in range(49)))
    summary, frames = messages(rollout, "long")
    for publisher in (graph._summaries, graph._frames):
        graph.until(publisher.get_subscription_count, "the node to listen")
    graph._summaries.publish(summary)
    for frame in frames:  # all of which arrive before the node takes the first
        graph._frames.publish(frame)
        assert graph._frames.wait_for_all_acked(Duration(seconds=PATIENCE))
    graph.until(lambda: graph.player.is_loaded, "the rollout")
    assert graph.player.duration == pytest.approx(4.8)
