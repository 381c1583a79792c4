"""A sample is there as a whole or not at all: full disks, killed processes, rival writers."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import list_samples, read_sample, verify_sample, write_sample
from k4d_world_model.errors import SampleError

MakeEpisode = Callable[..., Episode]
FILES = 6

# Writes a sample, and kills itself without notice as it calls os.<argv[2]> for the <argv[3]>th time.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from conftest import make
from pathlib import Path
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import write_sample
real, left = getattr(os, sys.argv[2]), [int(sys.argv[3])]
def deadly(*arguments):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(os, sys.argv[2], deadly)
write_sample(NativeLayout(Path(sys.argv[1])), make())
"""


@pytest.mark.parametrize("step", range(1, FILES + 2))
def test_a_full_disk_at_any_step_leaves_nothing_behind(
    make_episode: MakeEpisode, layout: NativeLayout, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    left = [step]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write_sample(layout, make_episode())
    assert step > FILES or ".staging" in str(caught.value), "the message names the file"
    assert list_samples(layout) == ()
    assert list(layout.staging.iterdir()) == []
    write_sample(layout, make_episode())
    assert verify_sample(layout, "take_1") == ()


def test_a_file_that_the_system_refuses_midway_leaves_nothing_behind(
    make_episode: MakeEpisode, layout: NativeLayout
) -> None:
    episode = make_episode(6, 40, 60)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*\.staging/take_1\..*/rgb\.mkv"):
            write_sample(layout, episode)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list_samples(layout) == ()
    assert list(layout.staging.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "times", "complete"), [("fsync", 1, False), ("fsync", 4, False), ("rename", 1, False), ("fsync", 8, True)]
)
def test_a_killed_writer_leaves_a_whole_sample_or_none(
    make_episode: MakeEpisode, layout: NativeLayout, call: str, times: int, complete: bool
) -> None:
    layout.root.mkdir()
    arguments = [str(layout.root), call, str(times), str(Path(__file__).parent)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list_samples(layout) == (("take_1",) if complete else ())
    if not complete:
        assert list(layout.staging.iterdir()), "the kill came while writing"
        write_sample(layout, make_episode())
    assert verify_sample(layout, "take_1") == ()


def test_an_existing_sample_stays_as_it_is(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    write_sample(layout, make_episode())
    before = read_sample(layout, "take_1").rgb
    with pytest.raises(SampleError, match="take_1: exists already"):
        write_sample(layout, make_episode(seed=1))
    assert (read_sample(layout, "take_1").rgb == before).all()


def test_of_rival_writers_exactly_one_wins(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    together = threading.Barrier(4)
    lost: list[SampleError] = []

    def write(seed: int) -> None:
        episode = make_episode(seed=seed)
        together.wait()
        try:
            write_sample(layout, episode)
        except SampleError as error:
            lost.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(lost) == 3
    assert all("exists already" in str(error) for error in lost)
    assert verify_sample(layout, "take_1") == ()
    assert list(layout.staging.iterdir()) == []


def test_others_may_read_what_one_writes(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    umask = os.umask(0o022)
    try:
        write_sample(layout, make_episode())
    finally:
        os.umask(umask)
    folder = layout.sample_folder("take_1")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
