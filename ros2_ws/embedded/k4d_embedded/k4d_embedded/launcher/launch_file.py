"""A launch file, with everything that it includes, as a list of processes."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from k4d_embedded.errors import EmbeddedError, LaunchArgumentError, LaunchFileError, PackageError, SubstitutionError
from k4d_embedded.launcher.elements import Element, read_launch_file
from k4d_embedded.launcher.expansion import evaluate_truth, expand, expand_words
from k4d_embedded.launcher.node_arguments import ros_arguments
from k4d_embedded.launcher.packages import find_executable
from k4d_embedded.launcher.process_plan import ProcessPlan
from k4d_embedded.launcher.scope import Scope, join_namespaces
from k4d_embedded.launcher.spelling import hint

_Number = TypeVar("_Number", int, float)

OUTPUTS = ("screen", "log", "both", "own_log", "full")
MAX_INCLUDE_DEPTH = 32


@dataclass(frozen=True)
class DeclaredArgument:
    """An <arg> as it is written; `default` is None where a value must be given."""

    name: str
    default: str | None
    description: str


def declared_arguments(path: Path) -> list[DeclaredArgument]:
    """Return the arguments that a launch file itself declares, in its order; raises LaunchFileError."""
    declared = []
    pending = [read_launch_file(path)]
    while pending:
        element = pending.pop(0)
        pending += element.named("group")
        for argument in element.named("arg"):
            text = argument.get("description") or "no description given"
            declared.append(DeclaredArgument(argument["name"], argument.get("default"), text))
    return declared


def plan_launch(
    path: Path, arguments: Mapping[str, str], environment: Mapping[str, str], scratch: Path
) -> list[ProcessPlan]:
    """Return the processes of a launch file, in its order.

    `arguments` are the launch arguments, `environment` is what the processes start with, `scratch` an empty folder for
    parameter files, which must live as long as the processes. Raises LaunchFileError, SubstitutionError, PackageError
    and LaunchArgumentError, with the place in the file.
    """
    reader = _Reader(scratch)
    scope = Scope(dict(arguments), _with_bin(environment), None, path.resolve())
    reader.read(path.resolve(), scope, arguments, "the command line")
    return reader.plans


def _with_bin(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this Python's executables found first, and children's output unbuffered."""
    folder = os.path.join(sys.prefix, "bin")
    searched = [entry for entry in environment.get("PATH", os.defpath).split(os.pathsep) if entry != folder]
    return {"PYTHONUNBUFFERED": "1", **environment, "PATH": os.pathsep.join([folder, *searched])}


class _Reader:
    def __init__(self, scratch: Path) -> None:
        self.plans: list[ProcessPlan] = []
        self._scratch = scratch
        self._declared: list[str] = []
        self._depth = 0
        self._actions: dict[str, Callable[[Element, Scope], None]] = {
            "arg": self._declare,
            "executable": self._add_executable,
            "group": self._enter_group,
            "include": self._include,
            "let": self._set_configuration,
            "node": self._add_node,
            "push-ros-namespace": self._push_namespace,
            "push_ros_namespace": self._push_namespace,
            "set_env": self._set_environment,
        }

    def read(self, path: Path, scope: Scope, given: Mapping[str, str], giver: str) -> None:
        """Carry out a file; every argument that is given to it must be declared in it or in what it includes."""
        if self._depth >= MAX_INCLUDE_DEPTH:
            raise LaunchFileError(
                f"{giver}: launch files include each other more than {MAX_INCLUDE_DEPTH} deep: {path}"
            )
        first = len(self._declared)
        self._depth += 1
        self._run(read_launch_file(path).children, scope)
        self._depth -= 1
        declared = self._declared[first:]
        for name in given:
            if name not in declared:
                raise LaunchArgumentError(
                    f"{giver}: {path} does not declare the argument {name!r}; {hint(name, declared)}"
                )

    def _run(self, elements: tuple[Element, ...], scope: Scope) -> None:
        for element in elements:
            try:
                if self._applies(element, scope):
                    self._actions[element.tag](element, scope)
            except (SubstitutionError, PackageError) as error:
                raise _located(error, element) from error

    def _applies(self, element: Element, scope: Scope) -> bool:
        if element.get("if") is not None:
            return evaluate_truth(element["if"], scope)
        if element.get("unless") is not None:
            return not evaluate_truth(element["unless"], scope)
        return True

    def _declare(self, element: Element, scope: Scope) -> None:
        name, default = element["name"], element.get("default")
        self._declared.append(name)
        if name in scope.configurations:
            return
        if default is None:
            description = element.get("description") or "no description given"
            raise LaunchArgumentError(f"{element.where}: the launch argument {name!r} is required: {description}")
        scope.configurations[name] = expand(default, scope)

    def _set_configuration(self, element: Element, scope: Scope) -> None:
        scope.configurations[expand(element["name"], scope)] = expand(element["value"], scope)

    def _set_environment(self, element: Element, scope: Scope) -> None:
        scope.environment[expand(element["name"], scope)] = expand(element["value"], scope)

    def _push_namespace(self, element: Element, scope: Scope) -> None:
        scope.namespace = join_namespaces(scope.namespace, expand(element["namespace"], scope))

    def _enter_group(self, element: Element, scope: Scope) -> None:
        is_scoped = evaluate_truth(element.get("scoped") or "true", scope)
        self._run(element.children, scope.inner() if is_scoped else scope)

    def _include(self, element: Element, scope: Scope) -> None:
        path = Path(expand(element["file"], scope)).absolute()
        given = {expand(arg["name"], scope): expand(arg["value"], scope) for arg in element.named("arg")}
        scope.configurations.update(given)  # as in launch, they stay in force after the include
        including = scope.file
        scope.file = path
        self.read(path, scope, given, element.where)
        scope.file = including

    def _add_node(self, element: Element, scope: Scope) -> None:
        executable = find_executable(expand(element["pkg"], scope), expand(element["exec"], scope))
        arguments = expand_words(element.get("args") or "", scope)
        name = expand(element.get("exec_name") or executable.name, scope)
        self._add(element, scope, name, [str(executable), *arguments, *ros_arguments(element, scope, self._scratch)])

    def _add_executable(self, element: Element, scope: Scope) -> None:
        command = expand_words(element["cmd"], scope)
        if not command or not command[0]:
            raise LaunchFileError(f"{element.where}: cmd is empty")
        name = expand(element.get("name") or os.path.basename(command[0]), scope)
        self._add(element, scope, name, command)

    def _add(self, element: Element, scope: Scope, name: str, command: list[str]) -> None:
        output, on_exit = expand(element.get("output") or "screen", scope), element.get("on_exit")
        if output not in OUTPUTS:
            raise LaunchFileError(f"{element.where}: unknown output {output!r}; {hint(output, OUTPUTS)}")
        if on_exit not in (None, "shutdown"):
            raise LaunchFileError(f"{element.where}: unknown on_exit {on_exit!r}; valid: shutdown")
        extra = {expand(env["name"], scope): expand(env["value"], scope) for env in element.named("env")}
        folder = element.get("cwd")
        self.plans.append(
            ProcessPlan(
                label=f"{name}-{len(self.plans) + 1}",
                command=tuple(command),
                environment={**scope.environment, **extra},
                folder=Path(expand(folder, scope)) if folder is not None else None,
                shuts_down=on_exit == "shutdown",
                respawn=evaluate_truth(element.get("respawn") or "false", scope),
                respawn_delay=_number(element, "respawn_delay", float, 0.0),
                respawn_max_retries=_number(element, "respawn_max_retries", int, -1),
            )
        )


def _number(element: Element, name: str, kind: type[_Number], default: _Number) -> _Number:
    text = element.get(name)
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError as error:
        raise LaunchFileError(f"{element.where}: {name} must be of type {kind.__name__}, got {text!r}") from error


def _located(error: EmbeddedError, element: Element) -> EmbeddedError:
    return type(error)(f"{element.where}: <{element.tag}>: {error}")
