"""Measures reading one native sample of 49 frames at 480 x 720 pixels into tensors, files already in memory.

    python bench/dataset.py --out out/bench

The sample is a simulated episode of the medium scene: RGB, points of scene and robot, mask, checksums compared.
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import torch
import tyro
from records import Record, write_records

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.storage.native_sample import read_sample, write_sample

SOURCE = Path(__file__).resolve().parent.parent / "config" / "sources" / "simulation_medium.yaml"
REPEATS = 9


def tensors(layout: NativeLayout, episode: Episode) -> tuple[torch.Tensor, ...]:
    """RGB, points of scene and robot, and mask of the episode's sample."""
    read = read_sample(layout, episode.info.episode_id)
    return tuple(torch.from_numpy(part) for part in (read.rgb, read.scene_points, read.robot_points, read.robot_mask))


def seconds_to_read(layout: NativeLayout, episode: Episode) -> list[float]:
    """Wall-clock times of ``REPEATS`` reads after a first one, which compiles."""
    tensors(layout, episode)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        tensors(layout, episode)
        times.append(time.perf_counter() - started)
    return times


def main(out: Path = Path("out/bench")) -> None:
    """Writes ``dataset.json``.

    Args:
        out: Folder of the JSON file.
    """
    source = open_source(SOURCE)
    episode = source.read(source.episode_ids()[0], FrameSampling())
    with tempfile.TemporaryDirectory() as folder:
        layout = NativeLayout(Path(folder))
        write_sample(layout, episode)
        again = dataclasses.replace(episode, info=dataclasses.replace(episode.info, episode_id="again"))
        started = time.perf_counter()
        record = write_sample(layout, again)
        written = time.perf_counter() - started
        read = seconds_to_read(layout, episode)
    conditions = (
        f"{record.frames} frames, {record.height} x {record.width}, median of {REPEATS}, fastest {min(read):.2f} s; "
        f"{record.bytes / 1e6:.1f} MB, written in {written:.2f} s"
    )
    write_records(out / "dataset.json", [Record("sample_read_s", statistics.median(read), "s", None, None, conditions)])


if __name__ == "__main__":
    tyro.cli(main)
