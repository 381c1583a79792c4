"""k4d-health: says whether the running nodes are well; the images' health check."""

import sys
from dataclasses import dataclass

import tyro

from k4d_bringup.errors import HealthError
from k4d_bringup.health import check_health
from k4d_bringup.ros.heard_diagnostics import heard_conditions


@dataclass(frozen=True)
class Arguments:
    """Listens to /diagnostics and fails when nobody speaks, a node is missing or a condition is an error.

    Example: k4d-health --nodes k4d_pointmap_node
    """

    nodes: tuple[str, ...] = ()
    """Nodes that must be heard."""
    seconds: float = 4.0
    """How long to listen; nodes speak once a second."""


def main() -> int:
    """Parses the command line, listens and prints. Returns 1 where the graph is not well."""
    arguments = tyro.cli(Arguments)
    try:
        print(check_health(heard_conditions(arguments.seconds), arguments.nodes))
    except HealthError as error:
        print(f"k4d-health: {error}", file=sys.stderr)
        return 1
    return 0
