"""Our messages say what they hold: every field and constant has a comment, and constants of one prefix differ."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = sorted(
    path for folder in ("msg", "srv", "action") for path in (ROOT / "ros2_ws/src/k4d_msgs" / folder).iterdir()
)
FIELD = re.compile(r"([\w/<>=\[\]]+)\s+(\w+)\s*(=\s*(\S+))?")


def lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines()]


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.name)
def test_every_field_is_explained(path: Path) -> None:
    assert lines(path)[0].startswith("# "), "the first line says what the message is"
    explained = False
    for line in lines(path):
        if line.startswith("#"):
            explained = True
        elif line in ("", "---"):
            explained = False
        else:
            assert FIELD.match(line), line
            assert explained or "#" in line or "=" in line, f"{path.name}: {line} has no comment before or beside it"


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.name)
def test_constants_differ(path: Path) -> None:
    values: dict[str, dict[str, str]] = {}
    for line in lines(path):
        match = FIELD.match(line)
        if match and match[4] is not None:
            group = "SOURCE" if match[2].startswith("SOURCE_") else "error"
            assert match[4] not in values.setdefault(group, {}), f"{path.name}: {match[2]} is {match[4]} again"
            values[group][match[4]] = match[2]


def test_the_build_lists_every_definition() -> None:
    listed = set(
        re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', (ROOT / "ros2_ws/src/k4d_msgs/CMakeLists.txt").read_text())
    )
    assert listed == {f"{path.parent.name}/{path.name}" for path in DEFINITIONS}
