"""What is in force at one place of a launch file."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass
class Scope:
    """Launch configurations, environment of processes, namespace, and the launch file that is being read."""

    configurations: dict[str, str]
    environment: dict[str, str]
    namespace: str | None
    file: Path

    def inner(self) -> "Scope":
        """Return a copy whose changes stay inside a group."""
        return replace(self, configurations=dict(self.configurations), environment=dict(self.environment))


def join_namespaces(base: str | None, name: str | None) -> str | None:
    """Return a namespace below another, absolute and without a slash at the end; None where neither is given.

    An absolute name stands for itself.
    """
    if base is None and name is None:
        return None
    joined = (name or "") if not base or (name or "").startswith("/") else f"{base.rstrip('/')}/{name or ''}"
    return "/" + joined.strip("/")
