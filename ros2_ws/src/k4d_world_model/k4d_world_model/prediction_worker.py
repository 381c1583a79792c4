"""Predictions one after the other in a thread of their own, while whoever asked for them goes on."""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import BusyError, CanceledError, WorldModelError
from k4d_world_model.rollout import Rollout
from k4d_world_model.world_model import OnStep


@dataclass(eq=False)
class PredictionJob:
    """One prediction to make. ``predict`` is called in the worker's thread with what it must call at each step.

    is_automatic: nobody waits for it, so that a newer automatic job of its ``camera``, or any other job, ends it.
    """

    predict: Callable[[OnStep], Rollout]
    camera: str = ""
    is_automatic: bool = False
    _canceled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Lets the prediction end at its next step, or before it begins."""
        self._canceled.set()

    @property
    def is_canceled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._canceled.is_set()


@dataclass(frozen=True, eq=False)
class Progress:
    """``step`` of ``total`` steps are done; the rest will take about ``time_remaining`` seconds."""

    job: PredictionJob
    step: int
    total: int
    time_remaining: float


@dataclass(frozen=True, eq=False)
class Finished:
    """A job ended with a rollout or an error. The error holds no frames of the thread, hence none of its memory."""

    job: PredictionJob
    rollout: Rollout | None
    error: BaseException | None


class PredictionWorker:
    """Runs one prediction at a time. ``notify`` is called in its thread whenever ``events`` has something new."""

    def __init__(self, notify: Callable[[], object]) -> None:
        self._notify = notify
        self._events: deque[Progress | Finished] = deque()
        self._unfinished: list[PredictionJob] = []
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prediction")

    @property
    def is_busy(self) -> bool:
        """Whether a job runs or waits, cancelled ones included."""
        with self._lock:
            return bool(self._unfinished)

    def submit(self, job: PredictionJob) -> None:
        """Starts a job as soon as the thread is free; automatic jobs before it that it replaces are cancelled.

        Raises BusyError for a job that is not automatic while another such job is neither finished nor cancelled.
        """
        with self._lock:
            waited_for = [other for other in self._unfinished if not other.is_automatic and not other.is_canceled]
            if waited_for and not job.is_automatic:
                raise BusyError("another prediction is running; cancel it or wait for its result")
            for other in self._unfinished:
                if other.is_automatic and (not job.is_automatic or other.camera == job.camera):
                    other.cancel()
            self._unfinished.append(job)
        self._thread.submit(self._predict, job).add_done_callback(partial(self._finish, job))

    def events(self) -> list[Progress | Finished]:
        """What happened since the last call, oldest first."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def cancel_all(self) -> None:
        """Cancels what runs and what waits."""
        with self._lock:
            for job in self._unfinished:
                job.cancel()

    def close(self) -> None:
        """Cancels all and ends the thread; no job can be submitted any more."""
        self.cancel_all()
        self._thread.shutdown(wait=True)

    def _predict(self, job: PredictionJob) -> Rollout:
        start = time.monotonic()

        def on_step(step: int, total: int) -> None:
            if job.is_canceled:
                raise CanceledError(f"cancelled after step {step} of {total}")
            if step > 0:
                self._tell(Progress(job, step, total, (time.monotonic() - start) / step * (total - step)))

        if job.is_canceled:
            raise CanceledError("cancelled before its first step")
        rollout = job.predict(on_step)
        if job.is_canceled:
            raise CanceledError("cancelled after its last step")
        return rollout

    def _finish(self, job: PredictionJob, future: Future[Rollout]) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, WorldModelError | KinematicsError | MemoryError):
            text = "".join(traceback.format_exception(error))
            logging.getLogger(__name__).error("a prediction failed in a way that nobody foresaw:\n%s", text)
        with self._lock:
            self._unfinished.remove(job)
        rollout = future.result() if error is None else None
        self._tell(Finished(job, rollout, None if error is None else _bare(error)))

    def _tell(self, event: Progress | Finished) -> None:
        self._events.append(event)
        self._notify()


def _bare(error: BaseException) -> BaseException:
    """The error without the frames that it passed through, whose variables may hold gigabytes."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
