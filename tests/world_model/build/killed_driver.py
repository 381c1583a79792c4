"""Builds a data set and kills itself on the way; says before which worker processes it leaves behind."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import faults

from k4d_world_model.dataset.building import build
from k4d_world_model.dataset.building.build_settings import BuildSettings
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.sampling import FrameSampling


def kill(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    for number, outcome in enumerate(outcomes):
        if number == 2:
            print(*(process.pid for process in multiprocessing.active_children()), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        yield outcome


if __name__ == "__main__":
    source, root, out, ray = sys.argv[1:]
    settings = BuildSettings(sampling=FrameSampling(5), workers=2, root=Path(root), ray=ray)
    build.build_episode = faults.build_three_then_hang
    build.build_dataset(Path(source), Path(out), settings, kill)
