"""What a node's executable prints for --help."""

from dataclasses import fields
from pathlib import Path
from typing import Any


def print_node_help(schema: Any, description: str, program: str) -> None:
    """Prints the description, the parameters of the dataclass ``schema`` with defaults and ranges, and an example."""
    print(f"{description}\n\nParameters (name, default, meaning):")
    for item in fields(schema):
        valid_range = item.metadata["range"]
        valid = f" [{valid_range[0]:g}, {valid_range[1]:g}]" if valid_range else ""
        print(f"  {item.name} = {item.default!r}: {item.metadata['description']}{valid}")
    print(f"\nExample: {Path(program).name} --ros-args -p {fields(schema)[0].name}:=VALUE")
