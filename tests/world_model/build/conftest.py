"""A folder of small recordings, a builder of data sets from them, and faults for its workers."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_world_model.dataset.building.build import build_dataset
from k4d_world_model.dataset.building.build_report import BuildReport
from k4d_world_model.dataset.building.build_settings import BuildSettings
from k4d_world_model.dataset.building.manifest import read_manifest
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.storage.native_sample import list_samples, verify_sample

STORE = get_typestore(Stores.ROS2_KILTED)
HERE = Path(__file__).resolve().parent
FRAMES, HEIGHT, WIDTH = 5, 10, 14
SOURCE = """source: rosbag
name: lab
image_topic: /image
seed_topic: /seed
"""
GOOD = tuple(f"demo_{number}" for number in range(8))


@dataclass(frozen=True)
class Site:
    """Recordings below ``root``, their source's YAML, and a data set's place."""

    source: Path
    root: Path
    out: Path
    good: tuple[str, ...] = GOOD

    @property
    def layout(self) -> NativeLayout:
        return NativeLayout(self.out)

    def settings(self, **changes: Any) -> BuildSettings:
        common: dict[str, Any] = {"sampling": FrameSampling(FRAMES), "workers": 1, "root": self.root}
        return BuildSettings(**common | changes)

    def build(self, **changes: Any) -> BuildReport:
        return build_dataset(self.source, self.out, self.settings(**changes))

    def build_killed(self, ray: str = "") -> list[int]:
        """Builds in a process that kills itself on the way, and returns its workers."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
        words = [sys.executable, str(HERE / "killed_driver.py"), *map(str, (self.source, self.root, self.out)), ray]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, timeout=240, check=False)
        assert done.returncode == -signal.SIGKILL
        return [int(word) for word in done.stdout.split()]

    def check(self, ids: tuple[str, ...] = GOOD) -> None:
        """Asserts that exactly these samples are there, each once and sound, split, listed, and nothing else."""
        assert list_samples(self.layout) == ids
        assert {episode_id: verify_sample(self.layout, episode_id) for episode_id in ids} == dict.fromkeys(ids, ())
        train, val = (path.read_text().split() for path in (self.layout.train_list, self.layout.val_list))
        assert sorted(train + val) == list(ids)
        assert read_manifest(self.layout).episode_ids("train") == tuple(train)
        assert sorted(path.name for path in self.out.iterdir()) == [
            ".lock", "manifest.json", "report.json", "samples", "train.txt", "val.txt",
        ]  # fmt: skip


def write_bag(folder: Path, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    types = STORE.types
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image_topic = writer.add_connection("/image", "sensor_msgs/msg/Image", typestore=STORE)
        seed_topic = writer.add_connection("/seed", "std_msgs/msg/UInt64", typestore=STORE)
        message = types["std_msgs/msg/UInt64"](data=seed)
        writer.write(seed_topic, 0, STORE.serialize_cdr(message, "std_msgs/msg/UInt64"))
        for frame in range(frames):
            stamp = types["builtin_interfaces/msg/Time"](sec=frame, nanosec=0)
            pixels = rng.integers(0, 256, 3 * HEIGHT * WIDTH, np.uint8)
            image = types["sensor_msgs/msg/Image"](
                header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam"), height=HEIGHT, width=WIDTH,
                encoding="rgb8", is_bigendian=0, step=3 * WIDTH, data=pixels,
            )  # fmt: skip
            writer.write(image_topic, frame * 10**9, STORE.serialize_cdr(image, "sensor_msgs/msg/Image"))


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good recordings, two of each seed, and beside their folder one that is too short."""
    root = tmp_path_factory.mktemp("recordings") / "good"
    for number, name in enumerate(GOOD):
        write_bag(root / name, FRAMES + 2, seed=number // 2)
    write_bag(root.parent / "short", FRAMES - 1, seed=9)
    return root


@pytest.fixture
def site(recordings: Path, tmp_path: Path) -> Site:
    """A source, and a place for a data set that is not begun."""
    source = tmp_path / "lab.yaml"
    source.write_text(SOURCE)
    return Site(source, recordings, tmp_path / "out")


@pytest.fixture(scope="session")
def finished(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A data set that is complete, for all tests together."""
    folder = tmp_path_factory.mktemp("finished")
    source = folder / "lab.yaml"
    source.write_text(SOURCE)
    site = Site(source, recordings, folder / "out")
    report = site.build(workers=2)
    assert (report.written, report.kept, report.rejected, report.failed, report.damaged) == (len(GOOD), 0, (), (), ())
    return site


@pytest.fixture
def built(site: Site, finished: Site) -> Site:
    """A data set that is complete, for one test."""
    shutil.copytree(finished.out, site.out)
    return site


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes the workers of this test's builds, also those of Ray, misbehave as faults.py says."""

    def misbehave(kind: str, at: str, episode_id: str = "", work: str = "build_episode") -> None:
        monkeypatch.syspath_prepend(str(HERE))
        monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=":")
        folder = tmp_path / "faults"
        folder.mkdir(exist_ok=True)
        for name, value in {"KIND": kind, "AT": at, "EPISODE": episode_id, "FOLDER": str(folder)}.items():
            monkeypatch.setenv(f"K4D_FAULT_{name}", value)
        import faults

        monkeypatch.setattr("k4d_world_model.dataset.building.build.build_episode", getattr(faults, work))

    return misbehave
