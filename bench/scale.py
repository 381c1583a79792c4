"""Measures how building a data set gets faster with workers: episodes per hour on two Ray workers against one.

    python bench/scale.py --out out/bench

The same simulated episodes of 49 frames at 128 x 192 pixels are built twice on a local Ray cluster. Rates count from
the end of each worker's first episode, for which it starts, compiles and prepares the robot's surface.
"""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tyro
import yaml
from records import Record, write_records

from k4d_world_model.dataset.building.build import build_dataset
from k4d_world_model.dataset.building.build_settings import BuildSettings
from k4d_world_model.dataset.building.episode_work import Outcome

SOURCE = Path(__file__).resolve().parent.parent / "config" / "sources" / "simulation_easy.yaml"
HEIGHT, WIDTH, EPISODES = 128, 192, 16


@dataclasses.dataclass
class Clock:
    """The times in seconds at which episodes of a build ended."""

    times: list[float] = dataclasses.field(default_factory=list)

    def watch(self, outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
        """The outcomes, noting when each came."""
        for outcome in outcomes:
            self.times.append(time.perf_counter())
            yield outcome

    def episodes_per_hour(self, workers: int) -> float:
        """The rate after the first episode of each worker."""
        return 3600.0 * (len(self.times) - workers) / (self.times[-1] - self.times[workers - 1])


def episodes_per_hour(source: Path, out: Path, workers: int) -> float:
    """The rate of a build on so many Ray workers."""
    clock = Clock()
    report = build_dataset(source, out, BuildSettings(episodes=EPISODES, workers=workers, ray="local"), clock.watch)
    assert report.written == EPISODES, report.summary()
    return clock.episodes_per_hour(workers)


def small_source(folder: Path) -> Path:
    """The YAML of the same simulation with small pictures."""
    content = yaml.safe_load(SOURCE.read_text()) | {"height": HEIGHT, "width": WIDTH}
    for key in ("robot", "scene"):
        content[key] = str((SOURCE.parent / content[key]).resolve())
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def main(out: Path = Path("out/bench")) -> None:
    """Writes ``scale.json``.

    Args:
        out: Folder of the JSON file.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = small_source(Path(folder))
        one, two = (episodes_per_hour(source, Path(folder) / f"on_{workers}", workers) for workers in (1, 2))
    conditions = (
        f"{EPISODES} simulated episodes of 49 frames, {HEIGHT} x {WIDTH}, local Ray, without each worker's first; "
        f"1 worker {one:.0f}/h, 2 workers {two:.0f}/h"
    )
    write_records(out / "scale.json", [Record("ray_speedup", two / one, "times faster", 1.0, two / one, conditions)])


if __name__ == "__main__":
    tyro.cli(main)
