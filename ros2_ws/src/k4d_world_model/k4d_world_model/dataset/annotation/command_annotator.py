"""An annotator that runs a command of the user's: SpatialTracker, SAM, a captioner, with their own environment."""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.annotation.exchange import read_output, write_input
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

_TAIL_BYTES = 2000
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class CommandAnnotator:
    """Runs ``command`` once an episode; ``{input}`` and ``{output}`` in its arguments become the exchange folders.

    The folders are described in ``exchange``. No shell is involved, nothing is on its standard input, and it starts in
    the current folder. What it started and left running is killed when it ends, both after ``timeout`` seconds; the
    command must therefore wait for its own children. ``work_folder`` is where
    the exchange folders are made and removed; the system's temporary folder by default.

    Raises AnnotationError when ``command`` lacks one of the folders or ``timeout`` is not positive.
    """

    command: tuple[str, ...]
    timeout: float = 3600.0
    work_folder: Path | None = None

    def __post_init__(self) -> None:
        for folder in ("{input}", "{output}"):
            if not any(folder in argument for argument in self.command):
                raise AnnotationError(f"the command must name the folders {{input}} and {{output}}, got {self.tool!r}")
        if not 0.0 < self.timeout < float("inf"):
            raise AnnotationError(f"timeout must be a positive number of seconds, got {self.timeout}")

    @property
    def tool(self) -> str:
        """The command as it would be typed."""
        return shlex.join(self.command)

    def annotate(self, episode: Episode) -> Annotations:
        """What the command finds.

        Raises AnnotationError when it cannot be started, fails (with the end of what it printed), takes too long, or
        writes something else than ``exchange`` describes.
        """
        with tempfile.TemporaryDirectory(prefix="k4d_annotate_", dir=self.work_folder) as place:
            folders = {"{input}": Path(place, "input"), "{output}": Path(place, "output")}
            for folder in folders.values():
                folder.mkdir()
            write_input(folders["{input}"], episode)
            with Path(place, "log").open("w+b") as log:
                self._run([_filled(argument, folders) for argument in self.command], log)
            return read_output(folders["{output}"], episode, self.tool)

    def _run(self, command: list[str], log: IO[bytes]) -> None:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise AnnotationError(f"{command[0]!r} cannot be started: {error}") from error
        try:
            has_ended = _ends(process.pid, self.timeout)
        finally:
            # Not yet waited for, so that its number, which is also its group's, is still its own.
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        if not has_ended:
            raise AnnotationError(f"{command[0]!r} was killed after {self.timeout} s; it printed: {_tail(log)}")
        if status != 0:
            raise AnnotationError(f"{command[0]!r} failed with status {status}; it printed: {_tail(log)}")


def _ends(child: int, timeout: float) -> bool:
    """Whether a child process ends within ``timeout`` seconds; it is left to be waited for."""
    deadline = time.monotonic() + timeout
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _filled(argument: str, folders: dict[str, Path]) -> str:
    for name, folder in folders.items():
        argument = argument.replace(name, str(folder))
    return argument


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _TAIL_BYTES))
    return log.read().decode("utf-8", "replace").strip() or "nothing"
