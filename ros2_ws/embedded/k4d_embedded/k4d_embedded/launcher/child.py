"""One running process of a launch: its output by lines, and its end."""

import os
import signal
import subprocess
import time

from k4d_embedded.launcher.process_groups import signal_group
from k4d_embedded.launcher.process_plan import ProcessPlan

_CHUNK_BYTES = 65536


class Child:
    """A started process, leader of a session and group of its own, so that a terminal's Ctrl-C reaches only us.

    Raises OSError where the process cannot be started.
    """

    def __init__(self, plan: ProcessPlan) -> None:
        self.plan = plan
        self._popen = subprocess.Popen(
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(plan.environment),
            cwd=plan.folder,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        assert self._popen.stdout is not None
        self._pipe = self._popen.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._partial = b""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is output."""
        return self._pipe.fileno()

    def read_lines(self) -> tuple[list[str], bool]:
        """Return the complete lines that have arrived, and whether more output may come."""
        chunk = self._pipe.read(_CHUNK_BYTES)
        if chunk is None:
            return [], True
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if not chunk and self._partial:
            lines, self._partial = [*lines, self._partial], b""
        return [line.decode(errors="replace") for line in lines], bool(chunk)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and everything that it started in its group."""
        signal_group(self.pid, number)

    def has_ended(self) -> bool:
        """Return whether the process has ended, without reaping it: until `reap` its id belongs to nobody else."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def reap(self) -> tuple[int, list[str]]:
        """Kill what is left of the group; return the exit code (128 + n after signal n) and the last lines."""
        self.signal(signal.SIGKILL)
        code = self._popen.wait()
        lines: list[str] = []
        may_come = True
        end = time.monotonic() + 1.0
        while may_come and time.monotonic() < end:  # a process outside of the group may hold the pipe open
            arrived, may_come = self.read_lines()
            lines += arrived
            if not arrived:
                break
        if self._partial:
            lines.append(self._partial.decode(errors="replace"))
        self._pipe.close()
        return code if code >= 0 else 128 - code, lines
