"""Builds on Ray, whose workers are killed."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from k4d_world_model.dataset.storage.native_sample import list_samples
from k4d_world_model.errors import DatasetError


@pytest.fixture
def own_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A system folder for temporary files with a short name, empty at first."""
    folder = Path(tempfile.mkdtemp(prefix="k"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def wait_for_end_of_processes_that_name(word: str) -> None:
    deadline = time.monotonic() + 60.0
    while found := [path for path in Path("/proc").glob("[0-9]*/cmdline") if word.encode() in contents(path)]:
        assert time.monotonic() < deadline, f"{found} outlive the build that started them"
        time.sleep(0.1)


def contents(path: Path) -> bytes:
    """Of a process's file; empty where it has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_build_on_ray_survives_its_workers(
    site: Any, faulty: Callable[..., None], own_temporary_folder: Path, tmp_path: Path
) -> None:
    faulty("kill", at="2 5 6")
    report = site.build(ray="local", workers=2)
    assert {path.name for path in (tmp_path / "faults").iterdir()} >= {"fault_0", "fault_1", "fault_2"}
    assert (report.written, report.kept, report.failed) == (7, 1, ())
    site.check()
    assert not list(own_temporary_folder.iterdir())


def test_a_build_on_ray_that_is_killed_goes_on(site: Any, own_temporary_folder: Path) -> None:
    site.build_killed(ray="local")
    wait_for_end_of_processes_that_name(str(own_temporary_folder))
    assert list_samples(site.layout) == site.good[:3]
    report = site.build()
    assert (report.kept, report.written) == (3, len(site.good) - 3)
    site.check()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:port", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_is_named(site: Any, address: str) -> None:
    with pytest.raises(DatasetError, match=rf"no Ray cluster at '{address}' \(valid: local, auto, HOST:PORT\)"):
        site.build(ray=address, workers=None)


def test_ray_is_asked_for_where_it_is_missing(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DatasetError, match="pip install ray"):
        site.build(ray="local")
