"""A second process that stops the children if the launcher itself is killed."""

import os
import signal
import sys

from k4d_embedded.launcher.process_groups import stop_groups
from k4d_embedded.launcher.shared_memory import remove_stale


class Watchdog:
    """Hears of every process group and segment; acts only if the launcher ends without saying so.

    It is a fork of the launcher in a session of its own, so make it before any thread is started.
    """

    def __init__(self, stage_duration: float) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        reader, writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(writer)
            _guard(reader, stage_duration)
        os.close(reader)
        self._writer = writer
        self._told: set[str] = set()

    def tell_group(self, group: int) -> None:
        """Make a process group known."""
        self._tell(f"group {group}")

    def tell_segment(self, name: str, inode: int) -> None:
        """Make a shared-memory segment of a child known."""
        self._tell(f"segment {name} {inode}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            os.write(self._writer, f"{line}\n".encode())

    def dismiss(self) -> None:
        """End the watchdog: the children are gone."""
        os.write(self._writer, b"done\n")
        os.close(self._writer)
        os.waitpid(self._process, 0)


def _guard(reader: int, stage_duration: float) -> None:
    """Listen until the launcher ends, clean up if it did not say that it is done, and end this process."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(reader) as pipe:
        words = [line.split() for line in pipe]
    if words[-1:] != [["done"]]:
        stop_groups({int(rest[0]) for kind, *rest in words if kind == "group"}, stage_duration)
        remove_stale({(rest[0], int(rest[1])) for kind, *rest in words if kind == "segment"})
    os._exit(0)
