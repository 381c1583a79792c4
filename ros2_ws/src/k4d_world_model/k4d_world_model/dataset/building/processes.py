"""Independent pieces of work on the processes of this machine."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from k4d_world_model.errors import DatasetError

Task = TypeVar("Task")
Result = TypeVar("Result")


def results(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """The results in the order in which they come, or in the tasks' order with one worker, which is this process.

    Processes are spawned, so ``work`` must be a function of a module. The first error ends it all; it is a
    DatasetError where a process was killed.
    """
    if workers == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DatasetError(f"a worker process was killed; give the same command again: {error}") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
