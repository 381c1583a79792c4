"""What policies and set-ups may be called: it names folders and rows of reports."""

import re

from k4d_world_model.errors import PolicyError, PolicyRunError

_POLICY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SET_UP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_policy_name(name: str) -> str:
    """The name itself. Raises PolicyError unless it is a safe file name."""
    if not _POLICY.fullmatch(name):
        raise PolicyError(
            f"a policy's name must be 1 to 64 of A-Z a-z 0-9 . _ - and start with a letter or digit, got {name!r}"
        )
    return name


def check_set_up_name(name: str) -> str:
    """The name itself, which has no dot, since protocols have its settings after one. Raises PolicyRunError."""
    if not _SET_UP.fullmatch(name):
        raise PolicyRunError(
            f"a set-up's name must be 1 to 64 of A-Z a-z 0-9 _ - and start with a letter or digit, got {name!r}"
        )
    return name
