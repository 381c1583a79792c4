"""Why verdicts are wrong and runs invalid: the reasons that checker, judge and errors gave, counted."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from k4d_world_model.policy_evaluation.run_row import RunRow, WorldName, paired

Trouble = Literal["called success", "called failure", "invalid"]

_TROUBLES: tuple[Trouble, ...] = ("called success", "called failure", "invalid")
# Not those that are part of a name, as in panda_joint4.
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class RunReason:
    """How many runs in one world are wrongly called something, or invalid, for one reason.

    reason: of failures that the judge calls successes why the checker says that they failed, of successes that it calls
    failures why it does so, of invalid runs the error; numbers are "…". counts: how many in each set-up.
    """

    world: WorldName
    trouble: Trouble
    reason: str
    counts: tuple[int, ...]


def run_reasons(rows: Sequence[RunRow], set_ups: Sequence[str]) -> list[RunReason]:
    """The reasons, those of predicted runs first and the most frequent ones first; counts in the order of ``set_ups``.

    Verdicts count where the run is valid in both worlds, as in all other tables.
    """
    counted = Counter(_troubles(rows))
    reasons = {
        (world, trouble, reason): tuple(counted[world, trouble, reason, set_up] for set_up in set_ups)
        for world, trouble, reason, _ in counted
    }
    found = [RunReason(*key, counts) for key, counts in reasons.items()]
    return sorted(found, key=lambda one: (one.world, _TROUBLES.index(one.trouble), -sum(one.counts), one.reason))


def _troubles(rows: Sequence[RunRow]) -> Iterator[tuple[WorldName, Trouble, str, str]]:
    for row in rows:
        if row.invalid:
            yield row.world, "invalid", _without_numbers(row.invalid), row.set_up
    for true, imagined in paired(rows):
        for row in (true, imagined):
            if true.invalid or imagined.invalid or row.verdict is None or row.verdict.success == true.success:
                continue
            if row.verdict.success:
                yield row.world, "called success", _without_numbers(true.checker_reason), row.set_up
            else:
                yield row.world, "called failure", _without_numbers(row.verdict.reason), row.set_up


def _without_numbers(reason: str) -> str:
    return _NUMBER.sub("…", reason)
