"""A <node>'s name, namespace, parameters and remappings as command-line arguments, as launch_ros passes them."""

from pathlib import Path
from typing import Any

import yaml

from k4d_embedded.errors import LaunchFileError, SubstitutionError
from k4d_embedded.launcher.elements import Element
from k4d_embedded.launcher.expansion import expand, expand_words
from k4d_embedded.launcher.scope import Scope, join_namespaces
from k4d_embedded.launcher.spelling import hint

_SCALARS = {"bool": bool, "float": float, "int": int, "str": str}
_TYPES = (*_SCALARS, *(f"list_of_{name}" for name in _SCALARS))


def ros_arguments(element: Element, scope: Scope, scratch: Path) -> list[str]:
    """Return the arguments from `--ros-args` on; parameter values are written to files in the scratch folder.

    Raises LaunchFileError and SubstitutionError.
    """
    words = ["--ros-args", *expand_words(element.get("ros_args") or "", scope)]
    name = expand(element["name"], scope) if element.get("name") is not None else None
    if name is not None:
        words += ["-r", f"__node:={name}"]
    own = element.get("namespace")
    namespace = join_namespaces(scope.namespace, expand(own, scope) if own is not None else None)
    if namespace is not None:
        words += ["-r", f"__ns:={namespace}"]
    node = f"{namespace.rstrip('/')}/{name}" if namespace is not None and name is not None else "/**"
    for parameter in element.named("param"):
        words += ["--params-file", str(_parameter_file(parameter, node, scope, scratch))]
    for remap in element.named("remap"):
        words += ["-r", f"{expand(remap['from'], scope)}:={expand(remap['to'], scope)}"]
    return words


def _parameter_file(element: Element, node: str, scope: Scope, scratch: Path) -> Path:
    if element.get("from") is not None:
        path = Path(expand(element["from"], scope))
        if element.get("value") is not None or element.get("type") is not None:
            raise LaunchFileError(f"{element.where}: <param from=...> takes neither value nor type")
        if not path.is_file():
            raise LaunchFileError(f"{element.where}: parameter file {path} does not exist")
        return path
    if element.get("value") is None:
        raise LaunchFileError(f"{element.where}: <param name=...> needs a value")
    name = expand(element["name"], scope)
    value = _typed(expand(element["value"], scope), element)
    path = scratch / f"parameters_{len(list(scratch.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump({node: {"ros__parameters": {name: value}}}))
    return path


def _typed(text: str, element: Element) -> Any:
    """Return a parameter's value: YAML's reading of the text, which must be of the wanted type where one is given."""
    wanted = element.get("type")
    if wanted is not None and wanted not in _TYPES:
        raise LaunchFileError(f"{element.where}: unknown parameter type {wanted!r}; {hint(wanted, _TYPES)}")
    if wanted == "str":
        return text
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise SubstitutionError(f'the value is not YAML; for a text add type="str": {error}') from error
    if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == "bool" and text in ("0", "1"):
        return text == "1"
    if not _is_parameter(value, wanted):
        raise SubstitutionError(
            f"{text!r} is no parameter of type {wanted or 'bool, int, float, str or a list of one of them'}; "
            'for a text add type="str"'
        )
    return value


def _is_parameter(value: Any, wanted: str | None) -> bool:
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        allowed = [_SCALARS[wanted.removeprefix("list_of_")]] if wanted else list(_SCALARS.values())
        return len(kinds) == 1 and kinds <= set(allowed) and (wanted is None or wanted.startswith("list_of_"))
    return type(value) in ([_SCALARS[wanted]] if wanted in _SCALARS else [] if wanted else list(_SCALARS.values()))
