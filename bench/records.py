"""The figures of a benchmark, as all benchmarks write them."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """One figure.

    ``baseline`` is what it is compared with, in the same unit, and ``ratio`` how many times better the figure is; both
    are None where there is nothing to compare with. ``conditions`` says on what and how it was measured.
    """

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    conditions: str


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Writes records as a JSON list, making the folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([dataclasses.asdict(record) for record in records], indent=2) + "\n")
