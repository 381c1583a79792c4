"""Episodes built by processes of this machine that may die at any moment."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from k4d_world_model.dataset.building.episode_work import ATTEMPTS, THREAD_CAPS, Outcome, Task, failed

_SECONDS_TO_DIE = 10.0

T = TypeVar("T", bound=Task)


def run_in_processes(work: Callable[[T], Outcome], tasks: Sequence[T], workers: int) -> Generator[Outcome]:
    """The outcome of every task, in the order in which they end; ``work`` is importable by its name.

    A process that dies is replaced and its episode begun anew; after ATTEMPTS deaths the episode has failed. No process
    survives the iterator, nor this process.
    """
    waiting = deque(tasks)
    deaths: dict[str, int] = {}
    crew = [_Worker(work) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.task for worker in crew):
            for worker in crew:
                if worker.task is None and waiting:
                    worker.begin(waiting.popleft())
            busy = {worker.connection: worker for worker in crew if worker.task is not None}
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                task, outcome = worker.finish()
                if outcome is not None:
                    yield outcome
                    continue
                deaths[task.episode_id] = deaths.get(task.episode_id, 0) + 1
                if deaths[task.episode_id] < ATTEMPTS:
                    waiting.appendleft(task)
                else:
                    reason = f"its worker process died {ATTEMPTS} times, at last with exit code {worker.exit_code}"
                    yield failed(task, reason)
    finally:
        for worker in crew:
            worker.stop()


class _Worker(Generic[T]):
    """One process, started anew whenever it died, and the task that it works on."""

    def __init__(self, work: Callable[[T], Outcome]) -> None:
        self._work = work
        self.task: T | None = None
        self.exit_code: int | None = None
        self._start()

    def begin(self, task: T) -> None:
        """Hands over a task. A process that died while it had none is replaced."""
        self.task = task
        try:
            self.connection.send(task)
        except OSError:
            self._start_again()
            self.connection.send(task)

    def finish(self) -> tuple[T, Outcome | None]:
        """The task and what became of it; None when the process died of it, which then is replaced."""
        assert self.task is not None
        task, self.task = self.task, None
        try:
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(_SECONDS_TO_DIE)  # its exit code is to be its own, not that of being killed
            self._start_again()
            return task, None
        assert isinstance(outcome, Outcome)
        return task, outcome

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.exit_code = self._process.exitcode
        self.connection.close()

    def _start_again(self) -> None:
        self.stop()
        self._start()

    def _start(self) -> None:
        # Spawned, not forked: a fork would copy this process's threads' locks and OpenGL state half-way.
        context = multiprocessing.get_context("spawn")
        self.connection, end = context.Pipe()
        self._process = context.Process(target=_work_until_closed, args=(self._work, end), daemon=True)
        with _environment(THREAD_CAPS):
            self._process.start()
        end.close()


def _work_until_closed(work: Callable[[T], Outcome], connection: Connection) -> None:
    """The life of a worker process: it ends with its parent, even in the middle of an episode."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            connection.send(work(connection.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables for processes that start inside; they must stand before the process imports its libraries."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
