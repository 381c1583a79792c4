"""Runs the processes of a launch until they have ended or one of them takes the others down."""

import contextlib
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from k4d_embedded.launcher.child import Child
from k4d_embedded.launcher.process_groups import STAGE_DURATION, STOP_STAGES, descendants
from k4d_embedded.launcher.process_plan import ProcessPlan
from k4d_embedded.launcher.shared_memory import Segment, mapped_segments, remove_stale
from k4d_embedded.launcher.watchdog import Watchdog

_TICK = 0.05
_SEGMENT_PERIOD = 0.5
_CANNOT_START = 127  # a shell's exit code for the same


@dataclass(frozen=True)
class _Restart:
    due: float
    plan: ProcessPlan


class Supervisor:
    """Starts every plan, reports their output line by line, and stops all of them together.

    * A child that ends with another code than 0 and is not to be started again ends the launch with its code.
    * A child whose plan says so ends the launch when it ends.
    * SIGINT or SIGTERM to this process ends the launch with 130 or 143; each further one skips to the next stage.
    * Stopping sends SIGINT to every child's process group, after `stage_duration` SIGTERM, after it again SIGKILL.
    * Afterwards no process of the children's groups is left, nor any shared memory that only they used; a watchdog
      sees to the same if this process is killed.
    """

    def __init__(
        self, plans: Sequence[ProcessPlan], report: Callable[[str], None], *, stage_duration: float = STAGE_DURATION
    ) -> None:
        self._plans = plans
        self._report = report
        self._stage_duration = stage_duration
        self._children: list[Child] = []
        self._restarts: list[_Restart] = []
        self._starts: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._segments: set[Segment] = set()
        self._next_segment_look = 0.0
        self._exit_code: int | None = None
        self._stage = -1
        self._stage_end = 0.0

    def run(self) -> int:
        """Return the exit code of the launch when every process has ended."""
        self._watchdog = Watchdog(self._stage_duration)
        with self._signals_handled():
            for plan in self._plans:
                self._start(plan)
            while self._children or (self._restarts and self._exit_code is None):
                self._read_output()
                self._look_for_segments()
                self._take_ended()
                self._restart_due()
                self._escalate()
        self._selector.close()
        for name in remove_stale(self._segments):
            self._report(f"[INFO] [launch]: removed stale shared memory {name}")
        self._watchdog.dismiss()
        return self._exit_code or 0

    @contextlib.contextmanager
    def _signals_handled(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._exit_code is None:
            self._stop(128 + number, f"got {signal.Signals(number).name}")
        else:
            self._stage_end = 0.0

    def _stop(self, exit_code: int, reason: str) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code
            self._report(f"[INFO] [launch]: {reason}: stopping all processes")

    def _start(self, plan: ProcessPlan) -> None:
        if self._exit_code is not None:
            return
        self._starts[plan.label] = self._starts.get(plan.label, 0) + 1
        try:
            child = Child(plan)
        except OSError as error:
            self._report(f"[ERROR] [{plan.label}]: cannot start {plan.command[0]}: {error.strerror}")
            self._stop(_CANNOT_START, f"{plan.label} could not be started")
            return
        self._watchdog.tell_group(child.pid)
        self._children.append(child)
        self._selector.register(child, selectors.EVENT_READ, child)
        self._report(f"[INFO] [{plan.label}]: process started with pid [{child.pid}]")

    def _read_output(self) -> None:
        if not self._selector.get_map():
            time.sleep(_TICK)
        for key, _ in self._selector.select(_TICK):
            lines, may_come = key.data.read_lines()
            self._print(key.data.plan, lines)
            if not may_come:
                self._selector.unregister(key.data)

    def _print(self, plan: ProcessPlan, lines: list[str]) -> None:
        for line in lines:
            self._report(f"[{plan.label}] {line}")

    def _look_for_segments(self) -> None:
        if time.monotonic() >= self._next_segment_look:
            self._next_segment_look = time.monotonic() + _SEGMENT_PERIOD
            for child in self._children:
                self._note_segments(child)

    def _note_segments(self, child: Child) -> None:
        found = mapped_segments(descendants(child.pid)) - self._segments
        self._segments |= found
        for name, inode in found:
            self._watchdog.tell_segment(name, inode)

    def _take_ended(self) -> None:
        for child in [child for child in self._children if child.has_ended()]:
            self._children.remove(child)
            with contextlib.suppress(KeyError):  # its output may have ended before
                self._selector.unregister(child)
            code, lines = child.reap()
            self._print(child.plan, lines)
            self._react(child, code)

    def _react(self, child: Child, code: int) -> None:
        plan = child.plan
        if code == 0:
            self._report(f"[INFO] [{plan.label}]: process has finished cleanly [pid {child.pid}]")
        else:
            command = " ".join(plan.command)
            self._report(
                f"[ERROR] [{plan.label}]: process has died [pid {child.pid}, exit code {code}, cmd '{command}']"
            )
        may_restart = plan.respawn_max_retries < 0 or self._starts[plan.label] <= plan.respawn_max_retries
        if plan.respawn and may_restart and self._exit_code is None:
            self._restarts.append(_Restart(time.monotonic() + plan.respawn_delay, plan))
        elif code != 0:
            self._stop(code, f"{plan.label} died with exit code {code}")
        elif plan.shuts_down:
            self._stop(0, f"{plan.label} was required and has finished")

    def _restart_due(self) -> None:
        for restart in [restart for restart in self._restarts if time.monotonic() >= restart.due]:
            self._restarts.remove(restart)
            self._start(restart.plan)

    def _escalate(self) -> None:
        if self._exit_code is None or time.monotonic() < self._stage_end or self._stage + 1 >= len(STOP_STAGES):
            return
        self._stage += 1
        self._stage_end = time.monotonic() + self._stage_duration
        for child in self._children:
            self._note_segments(child)
            if self._stage > 0:
                names = STOP_STAGES[self._stage - 1].name, STOP_STAGES[self._stage].name
                self._report(f"[ERROR] [{child.plan.label}]: {names[0]} was not enough, sending {names[1]}")
            child.signal(STOP_STAGES[self._stage])
