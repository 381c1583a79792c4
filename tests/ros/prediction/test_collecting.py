"""Sequences put together from single messages, and messages found by stamp, without ROS."""

from types import SimpleNamespace

import pytest

from k4d_world_model.errors import ConditioningError
from k4d_world_model.ros.sequence_collector import SequenceCollector
from k4d_world_model.ros.stamped_history import StampedHistory

SECOND = 10**9


def summary(sequence_id: str, count: int) -> SimpleNamespace:
    return SimpleNamespace(sequence_id=sequence_id, frame_count=count)


def frame(sequence_id: str, index: int) -> SimpleNamespace:
    return SimpleNamespace(sequence_id=sequence_id, index=index)


def test_frames_in_any_order_and_before_the_summary_make_a_sequence() -> None:
    lost: list[str] = []
    collector = SequenceCollector(lost.append)
    assert not collector.add(frame("a", 2))
    assert not collector.add(frame("a", 0))
    assert not collector.announce(summary("a", 3))
    assert not collector.add(frame("a", 0)), "a repeated frame completes nothing"
    assert collector.add(frame("a", 1))
    assert not collector.add(frame("a", 1)), "it is complete once"
    assert len(lost) == 1, "as long as frames are missing before the last one, they count as lost"
    taken, frames = collector.take()
    assert taken.sequence_id == "a"
    assert [item.index for item in frames] == [0, 1, 2]
    assert collector.take("a")[0] is taken


def test_sequences_are_bounded() -> None:
    collector = SequenceCollector(pytest.fail)
    for count in (0, 1001):
        with pytest.raises(ConditioningError, match=f"1 to 1000 frames, got {count}"):
            collector.announce(summary("a", count))
    collector.add(frame("a", 999))
    with pytest.raises(ConditioningError, match="below 1000, got 1000"):
        collector.add(frame("a", 1000))


def test_the_summary_may_come_last() -> None:
    collector = SequenceCollector(pytest.fail)
    assert not collector.add(frame("a", 0))
    assert collector.announce(summary("a", 1))
    assert not collector.announce(summary("a", 1))


def test_a_newer_sequence_replaces_one_on_its_way_for_good_and_the_complete_one_when_it_is_whole() -> None:
    collector = SequenceCollector(pytest.fail)
    collector.announce(summary("whole", 1))
    collector.add(frame("whole", 0))
    collector.announce(summary("broken off", 2))
    collector.add(frame("broken off", 0))
    collector.announce(summary("new", 2))
    assert not collector.add(frame("broken off", 1)), "a late frame"
    assert not collector.add(frame("new", 0))
    assert collector.take()[0].sequence_id == "whole"
    assert [kept.sequence_id for kept in collector.summaries] == ["whole", "new"]
    assert collector.add(frame("new", 1))
    assert collector.take()[0].sequence_id == "new"
    with pytest.raises(ConditioningError, match="'whole' must have been received as a whole; there is 'new'"):
        collector.take("whole")


def test_what_has_been_dropped_does_not_come_back() -> None:
    collector = SequenceCollector(pytest.fail)
    collector.announce(summary("a", 1))
    collector.add(frame("a", 0))
    collector.announce(summary("b", 2))
    collector.drop()
    assert not collector.add(frame("a", 0))
    with pytest.raises(ConditioningError, match="there is none, and 0 of 2 frames of sequence 'b' have come"):
        collector.take()


@pytest.mark.parametrize("count", [0, -3])
def test_a_summary_of_nothing_is_refused(count: int) -> None:
    with pytest.raises(ConditioningError, match=f"1 to 1000 frames, got {count}"):
        SequenceCollector(pytest.fail).announce(summary("a", count))


def test_indices_out_of_range_are_refused_whichever_comes_first() -> None:
    collector = SequenceCollector(pytest.fail)
    collector.announce(summary("a", 2))
    with pytest.raises(ConditioningError, match="must be below 2, got 2"):
        collector.add(frame("a", 2))
    for index in (5, 6, 0):
        collector.add(frame("b", index))
    with pytest.raises(ConditioningError, match="must be below 2, got 6"):
        collector.announce(summary("b", 2))
    assert collector.add(frame("b", 1))
    assert [item.index for item in collector.take("b")[1]] == [0, 1]


def test_lost_frames_are_told_of_once_and_broken_off_sequences_are_none() -> None:
    lost: list[str] = []
    collector = SequenceCollector(lost.append)
    collector.announce(summary("broken off", 5))
    for index in (0, 1):
        collector.add(frame("broken off", index))
    collector.announce(summary("gap at the end", 4))
    for index in (0, 3):
        collector.add(frame("gap at the end", index))
    assert lost == ["2 of 4 frames of sequence 'gap at the end' have come, others were lost on the way"]
    collector.announce(summary("gap and broken off", 9))
    collector.add(frame("gap and broken off", 4))
    collector.add(frame("no summary", 0))
    assert [text.split(" have")[0] for text in lost[1:]] == ["1 of 9 frames of sequence 'gap and broken off'"]
    collector.announce(summary("whole", 1))
    collector.add(frame("whole", 0))
    assert len(lost) == 2


def test_the_nearest_message_is_kept_while_its_moment_is_watched() -> None:
    history = StampedHistory(1.0)
    for tenths in (0, 3, 6):
        history.add(tenths * SECOND // 10, f"at {tenths}")
    history.watch({4 * SECOND // 10})
    assert history.nearest(4 * SECOND // 10, 0.2, "picture") == "at 3"
    history.add(41 * SECOND // 100, "at 4.1")
    assert history.nearest(4 * SECOND // 10, 0.2, "picture") == "at 4.1"
    history.add(100 * SECOND, "much later")
    history.watch({4 * SECOND // 10, 100 * SECOND})
    assert history.nearest(4 * SECOND // 10, 0.2, "picture") == "at 4.1"
    assert history.nearest(100 * SECOND, 0.2, "picture") == "much later"
    history.watch({100 * SECOND})
    with pytest.raises(ConditioningError, match="no picture has been received"):
        history.nearest(4 * SECOND // 10, 0.2, "picture")


def test_old_messages_are_forgotten_and_the_tolerance_is_kept() -> None:
    history = StampedHistory(1.0)
    for second in range(5):
        history.add(second * SECOND, f"at {second}")
    history.watch({2 * SECOND})
    with pytest.raises(ConditioningError, match=r"picture nearest .* must be within 0\.5 s of it, got \+1\.000 s"):
        history.nearest(2 * SECOND, 0.5, "picture")
    assert history.nearest(2 * SECOND, 1.0, "picture") == "at 3"


def test_a_clock_that_jumped_back_starts_the_history_anew() -> None:
    history = StampedHistory(1.0)
    history.add(100 * SECOND, "before")
    history.add(5 * SECOND, "after")
    history.watch({99 * SECOND})
    assert history.nearest(99 * SECOND, 1000.0, "picture") == "after"


def test_messages_of_one_stamp_take_one_place() -> None:
    history = StampedHistory(1.0)
    for number in range(100):
        history.add(5 * SECOND, f"message {number}")
    assert len(history._recent) == 1
    history.watch({5 * SECOND})
    assert history.nearest(5 * SECOND, 0.1, "picture") == "message 99"
