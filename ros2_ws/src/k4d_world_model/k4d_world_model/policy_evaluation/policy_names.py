"""What a policy may be called: it names folders and rows of reports."""

import re

from k4d_world_model.errors import PolicyError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_policy_name(name: str) -> str:
    """The name itself. Raises PolicyError unless it is a safe file name."""
    if not _NAME.fullmatch(name):
        raise PolicyError(
            f"a policy's name must be 1 to 64 of A-Z a-z 0-9 . _ - and start with a letter or digit, got {name!r}"
        )
    return name
