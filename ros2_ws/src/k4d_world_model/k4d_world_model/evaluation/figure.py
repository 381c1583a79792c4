"""A figure that a report may show: a number, or the reason why there is none."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value, or None with the ``reason`` in words; never a number that stands for something missing.

    An infinite value is a number: the PSNR of equal pictures. Raises ValueError for NaN, for a value with a reason and
    for neither.
    """

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and math.isnan(self.value):
            raise ValueError("NaN is no figure: give None and the reason")
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"a figure has a value or a reason, got {self.value} and {self.reason!r}")

    @property
    def number(self) -> float:
        """The value, NaN where there is none: for arithmetic that counts what is finite."""
        return math.nan if self.value is None else self.value


def no_figure(reason: str) -> Figure:
    """No value, for this reason."""
    return Figure(None, reason)


def figure_of(value: float, reason: str) -> Figure:
    """The value, or none for this reason where it is NaN."""
    return no_figure(reason) if math.isnan(value) else Figure(float(value))
