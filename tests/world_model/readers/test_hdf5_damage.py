"""HDF5 files that are damaged, or that lead out of themselves."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.hdf5 import Hdf5Config, Hdf5Source
from k4d_world_model.dataset.sources.recorded_fields import JointField
from k4d_world_model.errors import SourceError

PLAIN = Hdf5Config("toy", "obs/agentview_rgb", 20.0, "bottom")


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_truncated_files_are_named(libero: Path, size: int) -> None:
    path = libero / "put_the_bowl_demo.hdf5"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SourceError, match=r"put_the_bowl_demo\.hdf5: no readable HDF5 file"):
        Hdf5Source(PLAIN, libero).episode_ids()


def test_soft_links_inside_the_file_are_followed(libero: Path) -> None:
    with h5py.File(libero / "put_the_bowl_demo.hdf5", "a") as file:
        file["data/demo_0/obs/absolute"] = h5py.SoftLink("/data/demo_0/obs/agentview_rgb")
        file["data/demo_0/views"] = h5py.SoftLink("obs")
        file["data/demo_0/obs/circle"] = h5py.SoftLink("circle")
    plain = Hdf5Source(PLAIN, libero).read("toy-put_the_bowl_demo-demo_0", FrameSampling(3))
    for image in ("obs/absolute", "views/agentview_rgb", "views/absolute"):
        linked = Hdf5Source(replace(PLAIN, image=image), libero).read("toy-put_the_bowl_demo-demo_0", FrameSampling(3))
        np.testing.assert_array_equal(linked.rgb, plain.rgb)
    with pytest.raises(SourceError, match="more than 16 links in a row"):
        Hdf5Source(replace(PLAIN, image="obs/circle"), libero).read("toy-put_the_bowl_demo-demo_0", FrameSampling(3))


def test_data_outside_the_file_is_refused(libero: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.hdf5"
    shutil.copy(libero / "put_the_bowl_demo.hdf5", secret)
    (tmp_path / "secret.raw").write_bytes(bytes(9 * 20 * 28 * 3))
    with h5py.File(libero / "put_the_bowl_demo.hdf5", "a") as file:
        obs = file["data/demo_0/obs"]
        obs["external"] = h5py.ExternalLink(str(secret), "/data/demo_0/obs/agentview_rgb")
        obs["through"] = h5py.ExternalLink(str(secret), "/data/demo_0/obs")
        obs["soft"] = h5py.SoftLink("through/agentview_rgb")
        raw = [(str(tmp_path / "secret.raw"), 0, h5py.h5f.UNLIMITED)]
        obs.create_dataset("raw", (9, 20, 28, 3), np.uint8, external=raw)
        layout = h5py.VirtualLayout((9, 20, 28, 3), np.uint8)
        layout[:] = h5py.VirtualSource(str(secret), "/data/demo_0/obs/agentview_rgb", (9, 20, 28, 3))
        obs.create_virtual_dataset("virtual", layout)
    for image, message in (
        ("obs/external", "'external' is a link to another file"),
        ("obs/through/agentview_rgb", "'through' is a link to another file"),
        ("obs/soft", "'through' is a link to another file"),
        ("obs/raw", "keeps its data in other files"),
        ("obs/virtual", "keeps its data in other files"),
    ):
        with pytest.raises(SourceError, match=message):
            Hdf5Source(replace(PLAIN, image=image), libero).read("toy-put_the_bowl_demo-demo_0", FrameSampling(3))


def test_demonstrations_behind_a_foreign_link_are_refused(libero: Path, tmp_path: Path) -> None:
    shutil.copy(libero / "put_the_bowl_demo.hdf5", tmp_path / "secret.hdf5")
    with h5py.File(libero / "put_the_bowl_demo.hdf5", "a") as file:
        file["data/demo_99"] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "/data/demo_0")
    source = Hdf5Source(PLAIN, libero)
    with pytest.raises(SourceError, match="'demo_99' is a link to another file"):
        source.read("toy-put_the_bowl_demo-demo_99", FrameSampling(3))


@pytest.mark.parametrize(
    ("shape", "joints_shape", "message"),
    [
        ((10**11, 8, 9, 3), (5, 2), r"rgb may have 10000000 frames, got 100000000000"),
        ((5, 8, 9, 3), (5, 10**10), r"joints must have 1 to 192000000 numbers to read, got 30000000000"),
        ((5, 8, 9, 3), (5, 0), r"joints must have 1 to 192000000 numbers to read, got 0"),
    ],
)
def test_sizes_that_a_small_file_claims_are_refused_before_they_are_allocated(
    tmp_path: Path, shape: tuple[int, ...], joints_shape: tuple[int, ...], message: str
) -> None:
    with h5py.File(tmp_path / "huge.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_dataset("rgb", shape, np.uint8, chunks=(1, *shape[1:]))
        demo.create_dataset("joints", joints_shape, np.float32, chunks=(1, 1) if all(joints_shape) else None)
    config = Hdf5Config("toy", "rgb", 20.0, "top", joints=(JointField("joints", ("a",)),))
    with pytest.raises(SourceError, match=message):
        Hdf5Source(config, tmp_path).read("toy-huge-demo_0", FrameSampling(3))
