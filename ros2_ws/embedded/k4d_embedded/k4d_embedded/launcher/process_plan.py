"""What the launcher is going to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from k4d_embedded.errors import LaunchFileError


@dataclass(frozen=True)
class ProcessPlan:
    """One process: its label, command line, environment, and what follows when it ends.

    `respawn` starts it again after `respawn_delay` seconds, at most `respawn_max_retries` times (negative: any number).
    `shuts_down` ends the whole launch with it.
    """

    label: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path | None
    shuts_down: bool
    respawn: bool
    respawn_delay: float
    respawn_max_retries: int

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise LaunchFileError(f"{self.label}: the command is empty")
        if not self.respawn_delay >= 0.0:
            raise LaunchFileError(f"{self.label}: respawn_delay must not be negative, got {self.respawn_delay}")
