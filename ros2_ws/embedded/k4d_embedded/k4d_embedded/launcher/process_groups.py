"""Process groups of Linux: who is in them, and how they are stopped."""

import os
import signal
import time
from collections.abc import Collection

STOP_STAGES = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
STAGE_DURATION = 5.0


def signal_group(group: int, number: signal.Signals) -> bool:
    """Send a signal to every process of a group and return whether there was one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def living_groups(groups: Collection[int]) -> set[int]:
    """Return those of the groups that hold a process which has not ended."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            state, group = _state_and_group(int(entry))
            if group in groups and state not in ("Z", "X"):
                found.add(group)
    return found


def descendants(process: int) -> list[int]:
    """Return a process and everything below it."""
    found, pending = [], [process]
    while pending:
        current = pending.pop()
        found.append(current)
        try:
            with open(f"/proc/{current}/task/{current}/children") as file:
                pending += [int(child) for child in file.read().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def stop_groups(groups: Collection[int], stage_duration: float = STAGE_DURATION) -> None:
    """Stop groups and return when they are gone: SIGINT, after `stage_duration` SIGTERM, after it again SIGKILL."""
    for number in STOP_STAGES:
        living = living_groups(groups)
        for group in living:
            signal_group(group, number)
        end = time.monotonic() + stage_duration
        while living and time.monotonic() < end:
            time.sleep(0.05)
            living = living_groups(groups)


def _state_and_group(process: int) -> tuple[str, int]:
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()  # the name before may hold anything
    except OSError:  # it has ended meanwhile
        return "X", -1
    return fields[0], int(fields[2])
