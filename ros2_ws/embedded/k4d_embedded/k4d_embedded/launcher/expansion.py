"""What substitutions stand for in a scope."""

import logging
import re
import shlex
import subprocess
from collections.abc import Callable

from k4d_embedded.errors import SubstitutionError
from k4d_embedded.launcher.packages import find_executable, package_prefix, package_share
from k4d_embedded.launcher.scope import Scope
from k4d_embedded.launcher.spelling import hint
from k4d_embedded.launcher.substitutions import Template, parse

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_STDERR_RULES = ("fail", "ignore", "warn", "capture")
_logger = logging.getLogger(__name__)

_MARK = "\ue000{}\ue001"  # private-use characters stand for substitutions while a command line is split
_MARKS = re.compile("\ue000(\\d+)\ue001")


def expand(text: str, scope: Scope) -> str:
    """Return a text with its substitutions carried out; raises SubstitutionError."""
    return _join(parse(text), scope)


def expand_words(text: str, scope: Scope) -> list[str]:
    """Return a command line's words; what a substitution stands for is never split.

    Raises SubstitutionError, also for quotes around a substitution, which launch_xml cannot read.
    """
    template = parse(text)
    marked = ""
    for index, part in enumerate(template):
        if isinstance(part, str):
            try:
                shlex.split(part)
            except ValueError as error:
                raise SubstitutionError(f"cannot split {text!r} into words: {error} in {part!r}") from error
            marked += part
        else:
            marked += _MARK.format(index)
    words = shlex.split(marked)
    return [_MARKS.sub(lambda match: _join((template[int(match[1])],), scope), word) for word in words]


def evaluate_truth(text: str, scope: Scope) -> bool:
    """Return whether a condition holds; raises SubstitutionError for anything but true, 1, false and 0."""
    return _truth(expand(text, scope))


def _truth(value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUTHS:
        raise SubstitutionError(f"a condition must be one of {', '.join(_TRUTHS)}, got {value!r}")
    return _TRUTHS[word]


def _join(template: Template, scope: Scope) -> str:
    texts = []
    for part in template:
        if isinstance(part, str):
            texts.append(part)
            continue
        if part.name not in _FUNCTIONS:
            raise SubstitutionError(f"unknown substitution $({part.name} ...); {hint(part.name, _FUNCTIONS)}")
        fewest, most, function = _FUNCTIONS[part.name]
        if not fewest <= len(part.arguments) <= most:
            count = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise SubstitutionError(f"$({part.name} ...) takes {count} arguments, got {len(part.arguments)}")
        texts.append(function([_join(argument, scope) for argument in part.arguments], scope))
    return "".join(texts)


def _variable(arguments: list[str], scope: Scope) -> str:
    name, *default = arguments
    if name not in scope.configurations and not default:
        raise SubstitutionError(f"launch configuration {name!r} does not exist; {hint(name, scope.configurations)}")
    return scope.configurations.get(name, *default)


def _environment(arguments: list[str], scope: Scope) -> str:
    name, *default = arguments
    if name not in scope.environment and not default:
        raise SubstitutionError(f"environment variable {name!r} does not exist and $(env ...) gives no default")
    return scope.environment.get(name, *default)


def _command(arguments: list[str], scope: Scope) -> str:
    """Return what a command prints; without a shell. Unless told otherwise, output on stderr counts as failure."""
    command, rule = arguments[0], arguments[1] if len(arguments) > 1 else "fail"
    if rule not in _STDERR_RULES:
        raise SubstitutionError(f"$(command ...)'s second argument is one of {', '.join(_STDERR_RULES)}, got {rule!r}")
    stderr = subprocess.STDOUT if rule == "capture" else subprocess.PIPE
    try:
        words = shlex.split(command)
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=stderr, env=scope.environment, text=True, check=False
        )
    except (OSError, ValueError) as error:
        raise SubstitutionError(f"cannot run command {command!r}: {error}") from error
    if done.returncode != 0:
        raise SubstitutionError(f"command {command!r} failed with exit code {done.returncode}: {done.stderr or ''}")
    if done.stderr and rule == "fail":
        raise SubstitutionError(f"command {command!r} wrote to stderr: {done.stderr}")
    if done.stderr and rule == "warn":
        _logger.warning("command %r wrote to stderr: %s", command, done.stderr)
    return done.stdout


_FUNCTIONS: dict[str, tuple[int, int, Callable[[list[str], Scope], str]]] = {
    "and": (2, 2, lambda arguments, _: str(_truth(arguments[0]) and _truth(arguments[1])).lower()),
    "command": (1, 2, _command),
    "dirname": (0, 0, lambda _, scope: str(scope.file.parent)),
    "env": (1, 2, _environment),
    "exec-in-pkg": (2, 2, lambda arguments, _: str(find_executable(arguments[1], arguments[0]))),
    "filename": (0, 0, lambda _, scope: str(scope.file)),
    "find-pkg-prefix": (1, 1, lambda arguments, _: str(package_prefix(arguments[0]))),
    "find-pkg-share": (1, 1, lambda arguments, _: str(package_share(arguments[0]))),
    "not": (1, 1, lambda arguments, _: str(not _truth(arguments[0])).lower()),
    "or": (2, 2, lambda arguments, _: str(_truth(arguments[0]) or _truth(arguments[1])).lower()),
    "var": (1, 2, _variable),
}
