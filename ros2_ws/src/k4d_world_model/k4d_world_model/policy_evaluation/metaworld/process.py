"""Our side of Meta-World's process: it is started, asked for episodes, and ended; what it answers is checked."""

import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from k4d_world_model.errors import MetaWorldError

WORKER = Path(__file__).with_name("worker.py")

_LONGEST_LINE = 100_000
_SHOWN = 500  # characters of what the process says at its end


@dataclass(frozen=True)
class Trial:
    """One episode to play: the scripted policy of ``task``, its actions disturbed by ``noise``, drawn by ``seed``.

    Raises MetaWorldError on numbers out of range.
    """

    task: str
    noise: float
    seed: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise <= 10.0 or self.seed < 0:
            raise MetaWorldError(f"noise must be within 0..10 and seed at least 0, got {self.noise} and {self.seed}")


@dataclass(frozen=True)
class TrialResult:
    """Whether Meta-World called the task done, and after how many steps the episode ended."""

    success: bool
    steps: int


class MetaWorldProcess:
    """Meta-World in the Python ``python``, a context manager; ``metaworld``, ``mujoco`` and ``tasks`` are its own."""

    def __init__(self, python: Path, *, worker: Path = WORKER, patience: float = 120.0) -> None:
        """``patience``: seconds awaited for the greeting and for each episode.

        Raises MetaWorldError where ``python`` cannot be started or has no Meta-World.
        """
        self._patience = patience
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        try:
            self._process = subprocess.Popen(
                [python, worker],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
            )
        except OSError as error:
            raise MetaWorldError(
                f"{python}: cannot be started: {error}; see docs/policies.md for setting it up"
            ) from error
        self._lines: queue.Queue[str] = queue.Queue()
        self._complaints: list[str] = []
        self._readers = [
            threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_complaints)
        ]
        for reader in self._readers:
            reader.start()
        try:
            greeting = self._receive()
            self.metaworld, self.mujoco = str(greeting["metaworld"]), str(greeting["mujoco"])
            self.tasks = tuple(str(name) for name in greeting["tasks"])
        except (MetaWorldError, KeyError, TypeError) as error:
            self.close()
            raise MetaWorldError(f"{python}: does not run Meta-World: {error}; see docs/policies.md") from error

    def __enter__(self) -> "MetaWorldProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def play(self, trial: Trial) -> TrialResult:
        """The result of one episode. Raises MetaWorldError for an unknown task and where no result comes."""
        if trial.task not in self.tasks:
            raise MetaWorldError(f"unknown task {trial.task!r}; Meta-World has {', '.join(self.tasks)}")
        request = json.dumps({"task": trial.task, "seed": trial.seed, "noise": trial.noise})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise MetaWorldError(f"Meta-World's process has ended: {self._last_words()}") from error
        answer = self._receive()
        success, steps = answer.get("success"), answer.get("steps")
        if not isinstance(success, bool) or type(steps) is not int or steps < 1:
            raise MetaWorldError(f"an answer must hold success and steps, got {answer}")
        return TrialResult(success, steps)

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty as error:
            raise MetaWorldError(f"no answer within {self._patience:g} s") from error
        if not line:
            raise MetaWorldError(f"its process has ended: {self._last_words()}")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MetaWorldError(f"an answer must be a JSON object, got {line[:80]!r}") from error
        if not isinstance(answer, dict):
            raise MetaWorldError(f"an answer must be a JSON object, got {line[:80]!r}")
        if "error" in answer:
            raise MetaWorldError(str(answer["error"]))
        return answer

    def _read_lines(self) -> None:
        """Passes on lines as they come, and an empty one when there are no more."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LONGEST_LINE):
            self._lines.put(line)
        self._lines.put("")

    def _read_complaints(self) -> None:
        assert self._process.stderr is not None
        while line := self._process.stderr.readline(_LONGEST_LINE):
            self._complaints = [*self._complaints[-20:], line]

    def _last_words(self) -> str:
        self._process.wait()
        self._readers[1].join()
        return " ".join("".join(self._complaints).split())[-_SHOWN:] or "without a word"
