"""Measures simulated episodes per hour on two cores, from the seed to the stored sample, with and without shadows.

    python bench/simulation.py --out out/bench

Two worker processes each simulate, draw and store whole episodes of 49 frames of a Panda among distractors, tasks in
turn, with reduced meshes. Starting the workers and reading the robot is not counted. The figure is by the clock, so it
needs two idle cores; the CPU time per episode, which does not, is among the conditions.
"""

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from records import Record, write_records

from k4d_kinematics import configured_robot
from k4d_world_model.dataset.building.episode_work import THREAD_CAPS
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.simulation import SimulationConfig, SimulationSource
from k4d_world_model.dataset.storage.native_sample import write_sample

CONFIG = Path(__file__).resolve().parents[1] / "config"
ROBOT = CONFIG / "robots" / "panda.yaml"
WORKERS, EPISODES = 2, 3
# Shadows and samples per pixel, the first as the sources in config/sources draw.
LOOKS = {"shadows, 4 samples": (True, 4), "no shadows, 4 samples": (False, 4), "no shadows, 1 sample": (False, 0)}

_shared: Any = None


@dataclass(frozen=True)
class Work:
    """What one worker does at a time: EPISODES episodes of a size and look, from its own seeds."""

    worker: int
    height: int
    width: int
    look: str
    out: Path


class Workers:
    """WORKERS processes that have read the robot and drawn something."""

    def __init__(self, out: Path) -> None:
        self.out = out
        configured_robot(ROBOT, out / "surfaces")
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(WORKERS, context, _start_worker, (context.Barrier(WORKERS), out))

    def measure(self, height: int, width: int, look: str) -> tuple[float, str]:
        """Episodes per hour by the clock, and all figures in words."""
        works = [Work(k, height, width, look, self.out) for k in range(WORKERS)]
        wall, cpu, size = np.array(list(self.pool.map(_work, works))).T
        per_hour = 3600 * float((EPISODES / wall).sum())
        cpu_s, megabytes = cpu.mean() / EPISODES, size.mean() / EPISODES / 1e6
        return per_hour, f"{look}: {per_hour:.0f}/h, {cpu_s:.2f} CPU s and {megabytes:.1f} MB an episode"


def episodes_per_hour_128(workers: Workers) -> Record:
    """Episodes of 128 x 192 pixels."""
    return _record("episodes_per_hour_128", 128, 192, workers)


def episodes_per_hour_480(workers: Workers) -> Record:
    """Episodes of 480 x 720 pixels."""
    return _record("episodes_per_hour_480", 480, 720, workers)


def _record(name: str, height: int, width: int, workers: Workers) -> Record:
    per_hour, told = zip(*(workers.measure(height, width, look) for look in LOOKS), strict=True)
    conditions = f"Panda, medium scenes, {height} x {width}, 49 frames, reduced meshes, stored, {WORKERS} workers"
    return Record(name, per_hour[0], "episodes/h", None, None, "; ".join((conditions, *told)))


def _start_worker(line: Any, out: Path) -> None:
    global _shared
    _shared = line, configured_robot(ROBOT, out / "surfaces")
    source = _source(Work(WORKERS, 16, 24, next(iter(LOOKS)), out))
    source.read(source.episode_ids()[0], FrameSampling())


def _work(work: Work) -> tuple[float, float, int]:
    """Wall and CPU seconds and bytes of one worker's episodes, begun when all workers are ready."""
    source, folder = _source(work), work.out / f"{work.worker}_{work.height}_{work.look.replace(' ', '_')}"
    folder.mkdir()
    _shared[0].wait()
    started, cpu, size = time.perf_counter(), time.process_time(), 0
    for episode_id in source.episode_ids():
        size += write_sample(NativeLayout(folder), source.read(episode_id, FrameSampling())).bytes
    return time.perf_counter() - started, time.process_time() - cpu, size


def _source(work: Work) -> SimulationSource:
    shadows, samples = LOOKS[work.look]
    config = SimulationConfig(
        f"worker{work.worker}", str(ROBOT), "../scenes/medium.yaml", ("pick_place", "push", "reach"), EPISODES,
        seed=1000 * work.worker, height=work.height, width=work.width, shadows=shadows, samples=samples,
    )  # fmt: skip
    return SimulationSource(config, CONFIG / "sources", _shared[1])


def main(out: Path = Path("out/bench")) -> None:
    """Writes ``simulation.json``.

    Args:
        out: Folder of the JSON file.
    """
    os.environ.update(THREAD_CAPS)
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(Path(folder))
        with workers.pool:
            records = [episodes_per_hour_128(workers), episodes_per_hour_480(workers)]
    write_records(out / "simulation.json", records)


if __name__ == "__main__":
    tyro.cli(main)
