"""The worker alone: one job at a time, who may end whom, and that nothing of an ended job stays."""

import gc
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from k4d_world_model.errors import BusyError, CanceledError
from k4d_world_model.prediction_worker import Finished, PredictionJob, PredictionWorker, Progress
from k4d_world_model.world_model import OnStep

PATIENCE = 60.0


class Recorder:
    """A worker whose events are kept."""

    def __init__(self) -> None:
        self.notified = threading.Semaphore(0)
        self.worker = PredictionWorker(self.notified.release)
        self.events: list[Progress | Finished] = []

    def until_finished(self, count: int) -> list[Finished]:
        while len(self.finished()) < count:
            assert self.notified.acquire(timeout=PATIENCE), "nothing happened"
            self.events += self.worker.events()
        return self.finished()

    def finished(self) -> list[Finished]:
        return [event for event in self.events if isinstance(event, Finished)]


@pytest.fixture
def recorder():
    made = Recorder()
    yield made
    made.worker.close()


def stepping(result: object, *, total: int = 3, before: Callable[[int], None] = lambda step: None):
    def predict(on_step: OnStep) -> object:
        for step in range(total + 1):
            before(step)
            on_step(step, total)
        return result

    return predict


def blocking(result: object) -> tuple[Callable[[OnStep], object], threading.Event, threading.Event]:
    """A prediction that stops before its second step until it is released."""
    reached, released = threading.Event(), threading.Event()

    def wait(step: int) -> None:
        if step == 1:
            reached.set()
            assert released.wait(PATIENCE)

    return stepping(result, before=wait), reached, released


def test_a_job_tells_its_steps_and_its_result(recorder: Recorder) -> None:
    job = PredictionJob(stepping("rollout", before=lambda step: time.sleep(0.01)))
    recorder.worker.submit(job)
    (end,) = recorder.until_finished(1)
    assert (end.job, end.rollout, end.error) == (job, "rollout", None)
    progress = recorder.events[:-1]
    assert [(event.step, event.total) for event in progress] == [(1, 3), (2, 3), (3, 3)]
    # Two steps take longer than one, and after the last there is nothing left.
    assert progress[0].time_remaining > 0.01
    assert progress[2].time_remaining == 0.0
    assert not recorder.worker.is_busy


def test_a_second_job_is_refused_while_one_runs_and_welcome_once_that_is_cancelled(recorder: Recorder) -> None:
    predict, reached, released = blocking("first")
    first = PredictionJob(predict)
    recorder.worker.submit(first)
    assert reached.wait(PATIENCE)
    with pytest.raises(BusyError):
        recorder.worker.submit(PredictionJob(stepping("refused")))
    first.cancel()
    recorder.worker.submit(PredictionJob(stepping("second")))
    released.set()
    ends = recorder.until_finished(2)
    assert isinstance(ends[0].error, CanceledError)
    assert "after step 1 of 3" in str(ends[0].error)
    assert ends[1].rollout == "second"


def test_of_automatic_jobs_the_newest_wins(recorder: Recorder) -> None:
    predict, reached, released = blocking("first")
    recorder.worker.submit(PredictionJob(predict, is_automatic=True))
    assert reached.wait(PATIENCE)
    for name in ("second", "third"):
        recorder.worker.submit(PredictionJob(stepping(name), is_automatic=True))
    released.set()
    ends = recorder.until_finished(3)
    assert [end.rollout for end in ends] == [None, None, "third"]
    assert [str(end.error) for end in ends[:2]] == ["cancelled after step 1 of 3", "cancelled before its first step"]


def test_a_goal_ends_automatic_jobs_and_waits_for_no_more_than_a_step(recorder: Recorder) -> None:
    predict, reached, released = blocking("automatic")
    recorder.worker.submit(PredictionJob(predict, is_automatic=True))
    assert reached.wait(PATIENCE)
    recorder.worker.submit(PredictionJob(stepping("goal")))
    with pytest.raises(BusyError):
        recorder.worker.submit(PredictionJob(stepping("another goal")))
    recorder.worker.submit(PredictionJob(stepping("later"), is_automatic=True))
    released.set()
    assert [end.rollout for end in recorder.until_finished(3)] == [None, "goal", "later"]


def test_a_job_that_is_cancelled_in_its_last_moments_has_no_result(recorder: Recorder) -> None:
    job = PredictionJob(lambda on_step: job.cancel() or "too late")
    recorder.worker.submit(job)
    (end,) = recorder.until_finished(1)
    assert end.rollout is None
    assert str(end.error) == "cancelled after its last step"


@pytest.mark.parametrize("error", [MemoryError("none left"), KeyError("unforeseen")])
def test_an_error_is_the_outcome_and_keeps_nothing_alive(
    recorder: Recorder, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    alive: list[weakref.ref] = []

    def predict(on_step: OnStep) -> object:
        activations = np.zeros(10)
        alive.append(weakref.ref(activations))
        try:
            raise ZeroDivisionError("deep inside")
        except ZeroDivisionError as cause:
            raise error from cause

    recorder.worker.submit(PredictionJob(predict))
    (end,) = recorder.until_finished(1)
    gc.collect()
    assert end.error is error
    assert end.error.__traceback__ is None
    assert alive[0]() is None
    # What nobody foresaw is logged with the place where it came from.
    assert ("deep inside" in caplog.text) == isinstance(error, KeyError)
    recorder.worker.submit(PredictionJob(stepping("next")))
    assert recorder.until_finished(2)[1].rollout == "next"


def test_closing_ends_what_runs_and_what_waits(recorder: Recorder) -> None:
    predict, reached, released = blocking("first")
    recorder.worker.submit(PredictionJob(predict, is_automatic=True))
    recorder.worker.submit(PredictionJob(stepping("second"), is_automatic=True))
    assert reached.wait(PATIENCE)
    threading.Timer(0.05, released.set).start()
    recorder.worker.close()
    recorder.events += recorder.worker.events()
    assert [type(end.error) for end in recorder.finished()] == [CanceledError, CanceledError]
    assert not recorder.worker.is_busy


def test_automatic_jobs_of_several_cameras_do_not_end_each_other(recorder: Recorder) -> None:
    predict, reached, released = blocking("front, old")
    recorder.worker.submit(PredictionJob(predict, "front", is_automatic=True))
    assert reached.wait(PATIENCE)
    for name in ("wrist", "front", "wrist"):
        recorder.worker.submit(PredictionJob(stepping(name), name, is_automatic=True))
    released.set()
    ended = recorder.until_finished(4)
    assert [end.rollout for end in ended if end.error is None] == ["front", "wrist"]
