"""Reads the JSON files that recorded data describes itself with, every wrong member being named."""

import json
from pathlib import Path
from typing import Any, TypeVar

from k4d_world_model.errors import SourceError

T = TypeVar("T")
_MOST_BYTES = 64_000_000


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises SourceError naming the file when it is missing or damaged."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path}: may have {_MOST_BYTES} bytes, got {path.stat().st_size}")
        return parse_json(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text: {error}") from error


def parse_json(text: str, where: str) -> dict[str, Any]:
    """The object that a JSON text holds. Raises SourceError beginning with ``where`` when it holds none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{where}: must hold a JSON object, got {type(content).__name__}")
    return content


def member(content: dict[str, Any], key: str, kind: type[T], where: str) -> T:
    """``content[key]``. Raises SourceError when it is missing or not a ``kind``."""
    if key not in content:
        raise SourceError(f"{where}: no {key!r}; it has {', '.join(sorted(content))}")
    value = content[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SourceError(f"{where}: {key!r} must be a {kind.__name__}, got {value!r}")
    return value
