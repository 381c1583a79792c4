"""Figures over time as SVG, which a page holds without any script or file beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 640, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 42, 38
COLOURS = ("#2f7fc1", "#d9772b", "#3f9b5b")


@dataclass(frozen=True, eq=False)
class Series:
    """A line: its name, and a value for each moment, NaN or infinite where there is none to draw."""

    name: str
    values: NDArray[np.float64]


def line_chart(title: str, unit: str, times: NDArray[np.float64], series: Sequence[Series]) -> str:
    """An SVG of up to three series over ``times`` (T,) in seconds; each point tells its value when pointed at.

    Lines break where there is no value. Where no series has one, the chart says so.
    """
    everything = np.concatenate([line.values for line in series])
    drawn = everything[np.isfinite(everything)]
    head = f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(title)}">'
    label = f"{title} ({unit})" if unit else title
    heading = f'<text x="{_LEFT}" y="14" class="title">{escape(label)}</text>'
    if not drawn.size:
        nothing = f'<text x="{WIDTH_PX / 2}" y="{HEIGHT_PX / 2}" class="none">no frame has this figure</text>'
        return f"{head}{heading}{nothing}</svg>"
    x_ticks, y_ticks = ticks(float(times[0]), float(times[-1])), ticks(float(drawn.min()), float(drawn.max()))
    plot = _Plot((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    parts = [head, heading, *_grid(plot, x_ticks, y_ticks)]
    for line, colour in zip(series, COLOURS, strict=False):
        parts += _line(plot, times, line, colour, unit)
    parts += _legend(series)
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers in equal steps, of which the first and last enclose ``low`` to ``high``."""
    if high <= low:
        low, high = low - 0.5 * max(abs(low), 1e-3), high + 0.5 * max(abs(high), 1e-3)
    raw = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1.0, 2.0, 5.0, 10.0) if size * factor >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class _Plot:
    """The ranges of both axes, and where their values lie in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        right, low = WIDTH_PX - _RIGHT, HEIGHT_PX - _BOTTOM
        across = _LEFT + (right - _LEFT) * (x - self.x[0]) / (self.x[1] - self.x[0])
        return across, low - (low - _TOP) * (y - self.y[0]) / (self.y[1] - self.y[0])


def _grid(plot: _Plot, x_ticks: list[float], y_ticks: list[float]) -> list[str]:
    parts = []
    for value in y_ticks:
        (left, y), (right, _) = plot.at(plot.x[0], value), plot.at(plot.x[1], value)
        parts.append(f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" class="y">{value:.6g}</text>')
    for value in x_ticks:
        x, y = plot.at(value, plot.y[0])
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" class="x">{value:.6g}</text>')
    parts.append(f'<text x="{WIDTH_PX - _RIGHT}" y="{HEIGHT_PX - 4}" class="axis">seconds after the start</text>')
    return parts


def _line(plot: _Plot, times: NDArray[np.float64], line: Series, colour: str, unit: str) -> list[str]:
    parts: list[str] = []
    path, is_down = "", False
    for time, value in zip(times.tolist(), line.values.tolist(), strict=True):
        if not math.isfinite(value):
            is_down = False
            continue
        x, y = plot.at(time, value)
        path += f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}"
        is_down = True
        told = escape(f"{line.name}: {value:.5g} {unit} at {time:.3f} s")
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"><title>{told}</title></circle>')
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>', *parts]


def _legend(series: Sequence[Series]) -> list[str]:
    if len(series) < 2:
        return []
    parts, x = [], float(_LEFT)
    for line, colour in zip(series, COLOURS, strict=False):
        parts.append(f'<rect x="{x:.0f}" y="25" width="10" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14:.0f}" y="30" class="legend">{escape(line.name)}</text>')
        x += 30 + 6.2 * len(line.name)
    return parts
