"""Independent pieces of work on a Ray cluster; Ray replaces workers and machines that die."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar

from k4d_world_model.dataset.building.episode_work import ATTEMPTS, THREAD_CAPS, Outcome, Task, failed
from k4d_world_model.errors import DatasetError

LOCAL = "local"

T = TypeVar("T", bound=Task)

# Tasks handed to Ray per core: enough that no core waits for the next, few enough to stop soon.
_TASKS_PER_CORE = 2
_SECONDS_TO_ANSWER = 10.0


def run_on_ray(work: Callable[[T], Outcome], tasks: Sequence[T], address: str, cores: int) -> Generator[Outcome]:
    """The outcome of every task, in the order in which they end; one core per task.

    ``address`` is a cluster's, as ``ray.init`` takes it, or "local" for one on ``cores`` cores of this machine that
    lives as long as the iterator. A task whose worker died is begun anew; after ATTEMPTS deaths it has
    failed.
    Raises DatasetError when Ray is not installed or there is no cluster at the address.
    """
    ray = _imported_ray()
    with _cluster(ray, address, cores):
        remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(work)
        waiting = iter(tasks)
        pending: dict[Any, T] = {}
        while True:
            room = int(_TASKS_PER_CORE * ray.cluster_resources()["CPU"]) - len(pending)
            pending.update({remote.remote(task): task for task in islice(waiting, max(room, 0))})
            if not pending:
                return
            (ended,), _ = ray.wait(list(pending), num_returns=1)
            yield _outcome(ray, ended, pending.pop(ended))


def _outcome(ray: ModuleType, reference: Any, task: Task) -> Outcome:
    try:
        outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        first_line = str(error).strip().partition("\n")[0]
        return failed(
            task, f"its worker died in each of {ATTEMPTS} attempts, at last by {type(error).__name__}: {first_line}"
        )
    assert isinstance(outcome, Outcome)
    return outcome


@contextmanager
def _cluster(ray: ModuleType, address: str, cores: int) -> Iterator[None]:
    # A short path: Ray puts Unix sockets below it, whose names may have 107 bytes at most.
    folder = tempfile.mkdtemp(prefix="k4d_") if address == LOCAL else None
    try:
        _start(ray, address, cores, folder)
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: ModuleType, address: str, cores: int, folder: str | None) -> None:
    _check_reachable(address)
    where: dict[str, Any] = {"address": address}
    if folder is not None:
        where |= {"num_cpus": cores, "include_dashboard": False, "_temp_dir": folder}
    try:
        ray.init(**where, runtime_env={"env_vars": THREAD_CAPS}, log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise DatasetError(_no_cluster(address, error)) from error


def _check_reachable(address: str) -> None:
    """Raises DatasetError when nobody listens at HOST:PORT, which Ray itself would try for minutes."""
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if separator:
        try:
            socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
        except (OSError, ValueError, OverflowError) as error:
            raise DatasetError(_no_cluster(address, error)) from error


def _no_cluster(address: str, error: Exception) -> str:
    return f"no Ray cluster at {address!r} (valid: local, auto, HOST:PORT): {error}"


def _imported_ray() -> ModuleType:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise DatasetError("work on Ray needs the package ray: pip install ray") from error
    module: ModuleType = ray
    return module
