"""What is kept of one run, in one file that is there wholly or not at all."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import dacite

from k4d_world_model.errors import PolicyRunError
from k4d_world_model.policy_evaluation.judge import Verdict
from k4d_world_model.whole_files import write_whole

WorldName = Literal["truth", "imagined"]
WORLDS: tuple[WorldName, ...] = ("truth", "imagined")


@dataclass(frozen=True)
class RunRow:
    """One run of a policy from the initial state of a seed, in the simulator or in the prediction.

    invalid: why there is no result; empty where there is one. ``checker`` is what the simulator's checker says (truth
    only), ``checker_reason`` why, and ``checker_distance`` how far the object is from the target's middle in metres;
    ``verdict`` what the judge says of what was seen. ``done``: the policy ended the run, not the limits. chunks,
    commands: how many. seconds: of processor time.
    """

    policy: str
    privileged: bool
    set_up: str
    seed: int
    world: WorldName
    invalid: str
    checker: bool | None = None
    checker_reason: str = ""
    checker_distance: float | None = None
    verdict: Verdict | None = None
    chunks: int = 0
    commands: int = 0
    done: bool = False
    seconds: float = 0.0

    @property
    def success(self) -> bool | None:
        """Of a run in the simulator what its checker says, of an imagined one what the judge says; None if invalid."""
        if self.invalid:
            return None
        return self.checker if self.world == "truth" else self.verdict is not None and self.verdict.success


def paired(rows: Sequence[RunRow]) -> list[tuple[RunRow, RunRow]]:
    """Those runs (truth, imagined) of one policy from one initial state of which both worlds have a row."""
    imagined = {(row.policy, row.set_up, row.seed): row for row in rows if row.world == "imagined"}
    truth = {(row.policy, row.set_up, row.seed): row for row in rows if row.world == "truth"}
    return [(row, imagined[key]) for key, row in truth.items() if key in imagined]


def row_path(root: Path, policy: str, set_up: str, seed: int, world: WorldName) -> Path:
    """Where a run's row lies; its footage lies beside it as .mp4."""
    return root / "runs" / set_up / policy / f"{seed}_{world}.json"


def write_row(root: Path, row: RunRow) -> None:
    """Writes a row in one step."""
    content: dict[str, Any] = asdict(row)
    if content["verdict"] is not None:
        content["verdict"] = {key: None if _is_nan(value) else value for key, value in content["verdict"].items()}
    write_whole(row_path(root, row.policy, row.set_up, row.seed, row.world), json.dumps(content).encode())


def read_row(path: Path) -> RunRow:
    """The row of a file. Raises PolicyRunError naming a file that is damaged."""
    try:
        content = json.loads(path.read_bytes())
        verdict = content.get("verdict")
        if verdict is not None:
            content["verdict"] = {key: math.nan if value is None else value for key, value in verdict.items()}
        return dacite.from_dict(RunRow, content, dacite.Config(strict=True))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, dacite.DaciteError) as error:
        raise PolicyRunError(f"{path}: is no run, remove it to have it done again: {error}") from error


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
