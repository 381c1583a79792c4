"""Launch files as checked elements that know their file and line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from k4d_embedded.errors import LaunchFileError
from k4d_embedded.launcher.spelling import hint


@dataclass(frozen=True)
class Element:
    """A tag of a launch file with its attributes and children; `where` is its file and line."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple["Element", ...]
    where: str

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str) -> str | None:
        """Return an attribute, None where it is not given."""
        return self.attributes.get(name)

    def named(self, tag: str) -> Iterator["Element"]:
        """Yield the children of one tag."""
        return (child for child in self.children if child.tag == tag)


@dataclass(frozen=True)
class Tag:
    """What an element may hold."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: Mapping[str, "Tag"] | None = None  # None: those of a launch file's top level
    exclusive: tuple[tuple[str, ...], ...] = ()  # of each tuple exactly one attribute is given


_CONDITIONS = ("if", "unless")
_PROCESS = ("name", "output", "cwd", "respawn", "respawn_delay", "respawn_max_retries", "on_exit", *_CONDITIONS)
_ENV = Tag(("name", "value"), children={})
_PARAM = Tag((), ("name", "from", "value", "type"), {}, (("name", "from"),))
_REMAP = Tag(("from", "to"), children={})

ACTIONS: Mapping[str, Tag] = {
    "arg": Tag(("name",), ("default", "description", *_CONDITIONS), {}),
    "executable": Tag(("cmd",), _PROCESS, {"env": _ENV}),
    "group": Tag((), ("scoped", *_CONDITIONS)),
    "include": Tag(("file",), _CONDITIONS, {"arg": Tag(("name", "value"), children={})}),
    "let": Tag(("name", "value"), _CONDITIONS, {}),
    "node": Tag(
        ("pkg", "exec"),
        ("namespace", "args", "ros_args", "exec_name", *_PROCESS),
        {"env": _ENV, "param": _PARAM, "remap": _REMAP},
    ),
    "push-ros-namespace": Tag(("namespace",), _CONDITIONS, {}),
    "push_ros_namespace": Tag(("namespace",), _CONDITIONS, {}),
    "set_env": Tag(("name", "value"), _CONDITIONS, {}),
}
_LAUNCH = Tag()


def read_launch_file(path: Path) -> Element:
    """Return the root of a launch file; raises LaunchFileError with file, line, the wrong word and the valid ones."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise LaunchFileError(f"cannot read launch file {path}: {error.strerror}") from error
    handler = _Handler(path)
    try:
        defusedxml.sax.parseString(text, handler, forbid_dtd=True)
    except SAXException as error:
        raise LaunchFileError(f"{path}: not well-formed XML: {error}") from error
    except DefusedXmlException as error:
        raise LaunchFileError(
            f"{path}: document types and entities are not allowed in launch files: {error}"
        ) from error
    root = handler.root
    if root.tag != "launch":
        raise LaunchFileError(f"{root.where}: the root element must be <launch>, got <{root.tag}>")
    _check(root, _LAUNCH)
    return root


class _Handler(ContentHandler):
    """Builds elements from inside out."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._locator: Locator | None = None
        self._open: list[tuple[str, dict[str, str], list[Element], str]] = []

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        self._open.append((name, dict(attrs.items()), [], f"{self._path}:{self._line()}"))

    def endElement(self, name: str) -> None:
        tag, attributes, children, where = self._open.pop()
        element = Element(tag, attributes, tuple(children), where)
        if self._open:
            self._open[-1][2].append(element)
        else:
            self.root = element

    def characters(self, content: str) -> None:
        if content.strip():
            raise LaunchFileError(f"{self._path}:{self._line()}: text {content.strip()!r} outside of attributes")

    def _line(self) -> int:
        return int(self._locator.getLineNumber() or 0) if self._locator is not None else 0


def _check(element: Element, tag: Tag) -> None:
    known = (*tag.required, *tag.optional)
    for name in element.attributes:
        if name not in known:
            raise LaunchFileError(
                f"{element.where}: unknown attribute {name!r} of <{element.tag}>; {hint(name, known)}"
            )
    missing = [name for name in tag.required if name not in element.attributes]
    if missing:
        raise LaunchFileError(f"{element.where}: <{element.tag}> needs the attributes {', '.join(missing)}")
    for names in (*tag.exclusive, _CONDITIONS):
        given = [name for name in names if name in element.attributes]
        if len(given) > 1 or (not given and names != _CONDITIONS):
            raise LaunchFileError(f"{element.where}: <{element.tag}> needs one of {' and '.join(names)}, not {given}")
    children = ACTIONS if tag.children is None else tag.children
    for child in element.children:
        if child.tag not in children:
            raise LaunchFileError(
                f"{child.where}: unknown tag <{child.tag}> in <{element.tag}>; {hint(child.tag, children)}"
            )
        _check(child, children[child.tag])
