"""The work on one episode of a build: read it from its source and keep it as a sample, unless it is there already."""

import errno
import logging
import os
import shutil
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from k4d_world_model.dataset.building.build_lock import check_build_id
from k4d_world_model.dataset.building.split import scene_group
from k4d_world_model.dataset.layout import CHECKSUMS, META, NativeLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.source import Source
from k4d_world_model.dataset.storage import sample_meta
from k4d_world_model.dataset.storage.native_sample import read_sample_record, verify_sample, write_sample
from k4d_world_model.dataset.storage.sample_record import SampleRecord, sha256
from k4d_world_model.errors import RejectedEpisodeError, SourceError

# One core per worker process: software OpenGL (Mesa's llvmpipe), BLAS and numba otherwise start a thread per core each.
THREAD_CAPS = {
    "LP_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
# How many workers may die of one episode before it counts as failed.
ATTEMPTS = 3

_logger = logging.getLogger(__name__)


class Task(Protocol):
    """Work on one episode, or on whatever else the identifier stands for; workers hand it on as it is."""

    @property
    def episode_id(self) -> str:
        """Names it in its outcome."""


@dataclass(frozen=True)
class EpisodeTask:
    """What a worker on any machine needs to build one episode: names, paths and the sampling.

    ``source`` is the source's YAML, ``root`` its recordings and ``cache`` the folder of prepared robot surfaces (both
    empty where there is none), ``out`` the data set's root and ``build_id`` the build that holds its lock. The sha256
    of the sample's list of checksums is ``sha256`` by the manifest, empty where it knows no such sample.
    """

    episode_id: str
    source: str
    root: str
    cache: str
    out: str
    build_id: str
    sha256: str
    sampling: FrameSampling


@dataclass(frozen=True)
class Outcome:
    """What became of one episode.

    ``kind``: "written" or "kept" with its ``record`` and ``group`` (see ``split``); "rejected" by its source, "failed",
    or "no_space" left on the disk, with the ``reason``. ``damage`` lists what was wrong with an earlier sample, which
    was therefore removed.
    """

    episode_id: str
    kind: Literal["written", "kept", "rejected", "failed", "no_space"]
    reason: str = ""
    damage: tuple[str, ...] = ()
    record: SampleRecord | None = None
    group: str = ""


def build_episode(task: EpisodeTask) -> Outcome:
    """What became of the episode: a sound sample is kept, a damaged one made anew.

    Raises nothing: this is the edge of a worker process, where any error is the reason why the episode failed.
    """
    damage: tuple[str, ...] = ()
    try:
        layout = NativeLayout(Path(task.out))
        check_build_id(layout, task.build_id)
        if os.path.lexists(layout.sample_folder(task.episode_id)):
            damage = _damage(layout, task)
            if not damage:
                return _kept(layout, task.episode_id)
            _remove_sample(layout, task.episode_id)
        episode = _source(task.source, task.root, task.cache).read(task.episode_id, task.sampling)
        if episode.info.episode_id != task.episode_id:
            raise SourceError(f"asked for episode {task.episode_id!r}, the source gave {episode.info.episode_id!r}")
        record = write_sample(layout, episode)
        return Outcome(task.episode_id, "written", damage=damage, record=record, group=scene_group(episode.info))
    except RejectedEpisodeError as error:
        return Outcome(task.episode_id, "rejected", str(error), damage)
    except Exception as error:
        _logger.exception("episode %s", task.episode_id)
        kind: Literal["failed", "no_space"] = "no_space" if _is_no_space(error) else "failed"
        return Outcome(task.episode_id, kind, f"{type(error).__name__}: {error}", damage)


def failed(task: Task, reason: str) -> Outcome:
    """The outcome of a task that no worker came to the end of."""
    return Outcome(task.episode_id, "failed", reason)


def _damage(layout: NativeLayout, task: EpisodeTask) -> tuple[str, ...]:
    """What is wrong with a sample by its checksums or by the manifest."""
    problems = verify_sample(layout, task.episode_id, decode=False)
    checksums = layout.sample_folder(task.episode_id) / CHECKSUMS
    if not problems and task.sha256 and sha256(checksums.read_bytes()) != task.sha256:
        return (f"{checksums}: is not the one that {layout.manifest} has",)
    return problems


def _kept(layout: NativeLayout, episode_id: str) -> Outcome:
    record = read_sample_record(layout, episode_id)
    meta = layout.sample_folder(episode_id) / META
    group = scene_group(sample_meta.from_bytes(meta.read_bytes(), str(meta)).episode)
    return Outcome(episode_id, "kept", record=record, group=group)


def _remove_sample(layout: NativeLayout, episode_id: str) -> None:
    """Takes the sample out of the data set in one step before its files go."""
    aside = layout.staging / f"{episode_id}.damaged.{uuid.uuid4().hex}"
    aside.parent.mkdir(exist_ok=True)
    layout.sample_folder(episode_id).rename(aside)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink()


@lru_cache(maxsize=1)
def _source(path: str, root: str, cache: str) -> Source:
    """The source, opened once per worker process."""
    return open_source(Path(path), root=Path(root) if root else None, cache_dir=Path(cache) if cache else None)


def _is_no_space(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
