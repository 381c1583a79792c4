"""Whether a running graph is well, judged by what its nodes say of themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from k4d_bringup.errors import HealthError

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Condition:
    """One condition of a node: its full name as in /diagnostics, "/node: condition", and what was last said of it."""

    name: str
    level: Level
    message: str


def check_health(conditions: Sequence[Condition], nodes: Sequence[str]) -> str:
    """A line that says how many nodes and conditions are well.

    nodes: names that must be among those heard, with or without their namespace. A warning is no illness: a node that
    waits for its camera is well. Raises HealthError when nothing was heard, a node was not, or a condition is an error.
    """
    heard = {condition.name.partition(":")[0] for condition in conditions}
    if not heard:
        raise HealthError("no node said anything on /diagnostics")
    missing = [node for node in nodes if not any(name == node or name.endswith(f"/{node}") for name in heard)]
    if missing:
        raise HealthError(f"not heard: {', '.join(missing)}; heard: {', '.join(sorted(heard))}")
    errors = [f"{condition.name}: {condition.message}" for condition in conditions if condition.level == "error"]
    if errors:
        raise HealthError("; ".join(errors))
    warnings = sum(condition.level == "warning" for condition in conditions)
    return f"{len(heard)} nodes, {len(conditions)} conditions, {warnings} of them warnings"
