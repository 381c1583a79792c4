"""The report of a comparison: one HTML file that loads nothing, with its pictures and charts inside."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from k4d_kinematics.pictures import Picture
from k4d_world_model.comparison.charts import Series, line_chart
from k4d_world_model.comparison.comparison import Comparison
from k4d_world_model.comparison.pictures import HEAT, ComparisonPictures
from k4d_world_model.comparison.titles import (
    FRAME_TITLES,
    OVERALL_TITLES,
    Title,
    middle_and_worst,
    overall_figures,
    shown,
)

# Nothing may be fetched, run or sent, whatever the page holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 1100px; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; }
td, th { padding: .1rem .9rem .1rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; font-weight: normal; }
thead th { border-bottom: 1px solid #8888; font-weight: 600; }
figure { margin: .8rem 0; }
figcaption { font-size: .9rem; margin-bottom: .3rem; }
img { width: 100%; image-rendering: pixelated; display: block; }
.charts, .maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: .6rem 1.2rem; }
.charts svg { width: 100%; height: auto; font-size: 11px; }
.charts text { fill: currentColor; }
.title { font-size: 13px; font-weight: 600; }
.y { text-anchor: end; }
.x, .none { text-anchor: middle; }
.axis { text-anchor: end; }
.grid { stroke: currentColor; stroke-opacity: .18; }
.scale { display: inline-block; width: 8rem; height: .7rem; vertical-align: baseline; margin: 0 .4rem; }
.frames { overflow-x: auto; font-size: .8rem; }
li { overflow-wrap: anywhere; }
"""
# Charts by their heading and the figures that share their axis.
_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("RGB PSNR", "dB", (("psnr_db", "whole picture"), ("psnr_changed_db", "changed region"))),
    ("RGB SSIM", "", (("ssim", "whole picture"),)),
    (
        "Distance of points",
        "mm",
        (("distance_median_mm", "median"), ("distance_p95_mm", "95th percentile"), ("chamfer_mm", "Chamfer")),
    ),
    ("Robot's silhouette, planned and moved", "IoU", (("robot_iou", "IoU"),)),
    (
        "Robot's points",
        "mm",
        (
            ("robot_gap_p95_mm", "planned from moved, 95th percentile"),
            ("robot_error_mm", "predicted from moved, median"),
        ),
    ),
    ("Joint farthest from the plan", "rad or m", (("joint_deviation", "farthest joint"),)),
)


def report_page(comparison: Comparison, pictures: ComparisonPictures, known_by: str) -> str:
    """The page's HTML, every text in it escaped. ``known_by`` says how the start of the execution is known."""
    title = f"Predicted and executed: {comparison.rollout.provenance.model_name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _facts(comparison, known_by),
        _remarks(comparison),
        "<h2>All frames together</h2>",
        _overall(comparison),
        "<h2>Frame by frame</h2>",
        _by_frame(comparison),
        f'<h2>Error over time</h2><div class="charts">{"".join(_charts(comparison))}</div>',
        "<h2>Where it differs</h2>",
        _maps(pictures),
        "<h2>Worst frames</h2>",
        _worst(comparison, pictures),
        _every_frame(comparison),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    return "\n".join(
        ["<!doctype html>", f'<html lang="en"><head>{head}</head>', "<body>", *body, "</body></html>\n"]
    )  # fmt: skip


def _facts(comparison: Comparison, known_by: str) -> str:
    rollout, pairing = comparison.rollout, comparison.pairing
    count, height, width = rollout.valid.shape
    paired = np.abs(pairing.offsets[pairing.paired])
    rows = [
        ("prediction", f"{count} frames of {height} x {width} pixels, {rollout.times[-1] - rollout.times[0]:.2f} s"),
        ("model", f"{rollout.provenance.model_name}, seed {rollout.provenance.seed}"),
        ("weights", rollout.provenance.weights_sha256 or "none"),
        ("execution began at", f"{pairing.start:.6f} s of the executed frames' clock: {known_by}"),
        ("frames with a partner", f"{len(pairing.paired)} of {count}, within {pairing.tolerance:g} s"),
        ("apart in time", f"{1000 * np.median(paired):.1f} ms (median), {1000 * paired.max():.1f} ms (most)"),
    ]
    return _table((), rows)


def _remarks(comparison: Comparison) -> str:
    return f"<ul>{''.join(f'<li>{escape(remark)}</li>' for remark in comparison.remarks)}</ul>"


def _overall(comparison: Comparison) -> str:
    found = overall_figures(comparison)
    return _table(
        ("figure", "value", ""),
        [(title.text, shown(found[title.name], title.digits), title.unit) for title in OVERALL_TITLES],
    )


def _by_frame(comparison: Comparison) -> str:
    rows = []
    for title in FRAME_TITLES:
        middle, worst, count = middle_and_worst(comparison, title)
        texts = (shown(middle, title.digits), shown(worst, title.digits) if count else "", title.unit, str(count))
        rows.append((title.text, *texts))
    return _table(("figure", "median", "worst", "", "frames that have it"), rows)


def _charts(comparison: Comparison) -> Iterable[str]:
    for heading, unit, names in _CHARTS:
        series = [
            Series(text, np.array([getattr(figures, name).number for figures in comparison.figures]))
            for name, text in names
        ]
        yield line_chart(heading, unit, comparison.rollout.times, series)


def _maps(pictures: ComparisonPictures) -> str:
    top = pictures.scales
    texts = (
        ("Mean colour error of each pixel", pictures.colour_map, f"{top.levels:.0f} of 255 levels"),
        ("Mean distance of each pixel's points", pictures.distance_map, f"{1000 * top.distance:.1f} mm"),
    )
    parts = [
        f"<figure><figcaption>{escape(text)}: 0{_SCALE}{escape(end)} or more; grey is unknown</figcaption>"
        f"{_image(picture, text)}</figure>"
        for text, picture, end in texts
    ]
    return f'<div class="maps">{"".join(parts)}</div>'


def _worst(comparison: Comparison, pictures: ComparisonPictures) -> str:
    paired = comparison.pairing.paired
    parts = [
        f"<p>Chosen by the {escape(pictures.chosen_by)}. From left to right: predicted, executed, colour error, "
        "distance of points; colours as above.</p>"
    ]
    for row in pictures.worst:
        k = int(paired[row])
        figures = comparison.figures[k]
        told = ", ".join(
            f"{title.text} {shown(getattr(figures, title.name), title.digits)} {title.unit}".strip()
            for title in FRAME_TITLES
            if title.name in ("psnr_db", "ssim", "distance_p95_mm")
        )
        caption = f"frame {k}, {comparison.rollout.times[k]:.3f} s: {told}"
        parts.append(
            f"<figure><figcaption>{escape(caption)}</figcaption>{_image(pictures.rows[row], caption)}</figure>"
        )
    return "".join(parts)


def _every_frame(comparison: Comparison) -> str:
    rows = [
        (
            str(k),
            f"{comparison.rollout.times[k]:.3f}",
            f"{1000 * comparison.pairing.offsets[k]:+.1f}",
            *(shown(getattr(figures, title.name), title.digits) for title in FRAME_TITLES),
        )
        for k, figures in enumerate(comparison.figures)
    ]
    heads = ("frame", "s", "apart ms", *(_head(title) for title in FRAME_TITLES))
    return (
        "<details><summary>Every frame</summary>"
        f'<div class="frames">{_table(heads, rows)}</div></details>'
    )  # fmt: skip


def _head(title: Title) -> str:
    return f"{title.text} ({title.unit})" if title.unit else title.text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>"


def _image(picture: Picture, text: str) -> str:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'


_SCALE = (
    '<span class="scale" style="background:linear-gradient(to right,'
    + ",".join(f"rgb{colour}" for colour in HEAT)
    + ')"></span>'
)
