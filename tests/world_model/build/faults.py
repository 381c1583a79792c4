"""What a worker process runs instead of the real work: the real work, going wrong where the environment says."""

import errno
import os
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numba

from k4d_world_model.dataset.building import episode_work
from k4d_world_model.dataset.building.episode_work import EpisodeTask, Outcome

REAL = (os.fsync, os.rename)


def build_episode(task: EpisodeTask) -> Outcome:
    """Builds an episode, in which a call that makes a file last goes wrong.

    K4D_FAULT_KIND says how: "kill", "full" or "broken". K4D_FAULT_AT lists which calls; each strikes one of the
    episodes that are begun first, or the first of them those of K4D_FAULT_EPISODE, each time anew.
    """
    places = [int(place) for place in os.environ["K4D_FAULT_AT"].split()]
    if os.environ["K4D_FAULT_EPISODE"]:
        place = places[0] if task.episode_id in os.environ["K4D_FAULT_EPISODE"].split() else None
    else:
        place = _claimed(task.episode_id, places)
    os.fsync, os.rename = REAL if place is None else _faulty(place)
    return episode_work.build_episode(task)


def _faulty(place: int) -> tuple[Callable[..., Any], ...]:
    """os.fsync and os.rename, of which the ``place``-th call goes wrong."""
    calls = count(1)

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(calls) == place:
                if os.environ["K4D_FAULT_KIND"] == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                code = {"full": errno.ENOSPC, "broken": errno.EIO}[os.environ["K4D_FAULT_KIND"]]
                raise OSError(code, os.strerror(code))
            return real(*arguments)

        return call

    return tuple(wrap(real) for real in REAL)


def _claimed(episode_id: str, places: list[int]) -> int | None:
    """The place of this episode's fault; each goes to one episode, over all processes, and no episode has two."""
    folder = Path(os.environ["K4D_FAULT_FOLDER"])
    if not _made(folder / episode_id):
        return None
    return next((place for number, place in enumerate(places) if _made(folder / f"fault_{number}")), None)


def _made(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def build_three_then_hang(task: EpisodeTask) -> Outcome:
    """Builds demo_0, demo_1 and demo_2; others are not done in the time of a test."""
    if task.episode_id not in ("demo_0", "demo_1", "demo_2"):
        time.sleep(600.0)
    return episode_work.build_episode(task)


def tell_threads(task: EpisodeTask) -> Outcome:
    """Fails with the number of threads that the process may use for software OpenGL and by numba."""
    return Outcome(task.episode_id, "failed", f"{os.environ['LP_NUM_THREADS']} {numba.config.NUMBA_NUM_THREADS}")
