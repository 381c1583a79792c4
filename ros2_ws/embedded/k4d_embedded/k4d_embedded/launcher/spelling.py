"""Hints for words that are not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def hint(word: str, valid: Iterable[str]) -> str:
    """Return the closest valid word as a question, and all valid words."""
    words = sorted(valid)
    close = get_close_matches(word, words, n=1)
    question = f"did you mean {close[0]!r}? " if close else ""
    return f"{question}valid: {', '.join(words) or 'none'}"
