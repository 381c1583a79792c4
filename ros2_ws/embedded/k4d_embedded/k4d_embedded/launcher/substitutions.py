"""`$(name argument ...)` in attributes, as launch's frontends write them."""

import re
from dataclasses import dataclass

from k4d_embedded.errors import SubstitutionError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Substitution:
    """A name and its arguments, each of which may hold further substitutions."""

    name: str
    arguments: tuple["Template", ...]


Template = tuple[str | Substitution, ...]


def parse(text: str) -> Template:
    """Return the plain parts and the substitutions of a text; raises SubstitutionError where it is malformed.

    A backslash takes the next character as it is. Arguments are separated by one space; one that holds spaces is put
    in single or double quotes, inside which no further quotes are possible.
    """
    return _Parser(text).template("")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self, end: str, *, quote: str = "") -> Template:
        """Read to the first of the `end` characters, or to the end of the text; leaves that character unread."""
        parts: list[str | Substitution] = []
        while self._at < len(self._text) and self._text[self._at] not in end:
            if self._text.startswith("$(", self._at):
                parts.append(self._substitution(quote))
                continue
            if self._text[self._at] == "\\" and self._at + 1 < len(self._text):
                self._at += 1
            elif end not in ("", quote) and self._text[self._at] in "'\"(":
                raise self._error(f"{self._text[self._at]!r} inside an argument needs a backslash or quotes around it")
            self._add(parts, self._text[self._at])
            self._at += 1
        return tuple(parts)

    def _add(self, parts: list[str | Substitution], character: str) -> None:
        if parts and isinstance(parts[-1], str):
            parts[-1] += character
        else:
            parts.append(character)

    def _substitution(self, quote: str) -> Substitution:
        self._at += 2
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._error("a substitution begins with its name, $(name ...)")
        self._at = match.end()
        arguments: list[Template] = []
        while self._peek() == " ":
            self._at += 1
            arguments.append(self._argument(quote))
        if self._peek() != ")":
            raise self._error("a substitution ends with ')'")
        self._at += 1
        return Substitution(match[0], tuple(arguments))

    def _argument(self, quote: str) -> Template:
        opening = self._peek()
        if opening in ("'", '"') and not quote:
            self._at += 1
            argument = self.template(opening, quote=opening)
            if self._peek() != opening:
                raise self._error(f"the quote {opening} is not closed")
            self._at += 1
            return argument or ("",)
        argument = self.template(" )", quote=quote)
        if not argument:
            raise self._error("an argument is empty: one space separates arguments")
        return argument

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _error(self, reason: str) -> SubstitutionError:
        return SubstitutionError(f"cannot read {self._text!r} at character {self._at + 1}: {reason}")
