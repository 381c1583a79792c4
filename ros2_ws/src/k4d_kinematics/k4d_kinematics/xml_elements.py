"""XML elements of a robot description read with checks: every message names place, attribute, value and valid ones."""

import math
from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree

from k4d_kinematics.errors import RobotModelError

MAX_TEXT_CHARACTERS = 32_000_000


def parse_xml(text: str) -> Element:
    """The root element of an XML text without document type, entities or external references.

    Raises RobotModelError where the text is longer than MAX_TEXT_CHARACTERS, is not well-formed or declares a DTD.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise RobotModelError(f"a robot description may have {MAX_TEXT_CHARACTERS} characters, got {len(text)}")
    try:
        root: Element = ElementTree.fromstring(text, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:
        raise RobotModelError(
            f"a robot description must be well-formed XML without a document type: {error}"
        ) from error
    return root


def fail(element: Element, attribute: str, where: str, valid: str) -> NoReturn:
    """Raises RobotModelError: ``where`` an attribute does not hold what is ``valid``."""
    got = repr(element.get(attribute)) if attribute in element.attrib else "nothing"
    raise RobotModelError(f"{where}: <{element.tag}> needs {attribute}={valid}, got {got}")


def read_text(element: Element, attribute: str, where: str) -> str:
    """A required attribute that is not empty."""
    value = element.get(attribute, "")
    if not value.strip():
        fail(element, attribute, where, '"a non-empty text"')
    return value


def read_numbers(
    element: Element, attribute: str, where: str, default: tuple[float, ...] | None, count: int = 1
) -> tuple[float, ...]:
    """``count`` numbers of an attribute, ``default`` where it is absent; None makes it required."""
    if default is not None and attribute not in element.attrib:
        return default
    valid = '"a finite number"' if count == 1 else f'"{count} finite numbers"'
    words = element.get(attribute, "").split()
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        fail(element, attribute, where, valid)
    if len(values) != count or not all(map(math.isfinite, values)) or "_" in element.get(attribute, ""):
        fail(element, attribute, where, valid)
    return values


def read_positive(element: Element, attribute: str, where: str, count: int = 1) -> tuple[float, ...]:
    """``count`` numbers above zero of a required attribute."""
    values = read_numbers(element, attribute, where, None, count)
    if min(values) <= 0:
        fail(element, attribute, where, f'"{count} positive number(s)"')
    return values


def optional_child(element: Element, tag: str, where: str) -> Element | None:
    """The one child of that tag, or None. Raises RobotModelError where there are several."""
    found = element.findall(tag)
    if len(found) > 1:
        raise RobotModelError(f"{where}: <{element.tag}> may hold one <{tag}>, got {len(found)}")
    return found[0] if found else None


def required_child(element: Element, tag: str, where: str) -> Element:
    """The one child of that tag. Raises RobotModelError where there is none or several."""
    found = optional_child(element, tag, where)
    if found is None:
        raise RobotModelError(f"{where}: <{element.tag}> must hold one <{tag}>, got none")
    return found


def read_limit(element: Element, attribute: str, where: str, default: float) -> float:
    """A number that may be infinite, ``default`` where the attribute is absent."""
    text = element.get(attribute)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        fail(element, attribute, where, '"a number or inf"')
    return value
