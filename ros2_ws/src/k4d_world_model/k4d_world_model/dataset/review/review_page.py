"""The review page of a checked data set: one static HTML file that shows its contact sheets and what was found."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from k4d_world_model.dataset.review.check import CheckReport, EpisodeCheck
from k4d_world_model.dataset.review.flags import FlagThresholds

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 1100px; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .2rem 0; }
ul { margin: .3rem 0; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; margin-top: .4rem; }
table { border-collapse: collapse; }
td { padding: .1rem .8rem .1rem 0; font-variant-numeric: tabular-nums; }
article { border: 1px solid #8886; border-left-width: 6px; border-radius: 4px; margin: .8rem 0; padding: .6rem .9rem; }
article.failed { border-left-color: #c62828; }
article.flagged { border-left-color: #f9a825; }
article.sound { border-left-color: #2e7d32; }
.failure { color: #d32f2f; font-weight: 600; }
"""


def write_review_page(path: Path, report: CheckReport, thresholds: FlagThresholds) -> None:
    """Writes the page; sheets are linked relative to its folder."""
    path.write_text(review_page(report, thresholds, path.parent), encoding="utf-8")


def review_page(report: CheckReport, thresholds: FlagThresholds, folder: Path) -> str:
    """The page's HTML, every text in it escaped. ``folder`` is where it will lie."""
    groups = {
        "Failed": [e for e in report.episodes if e.failures],
        "Flagged": [e for e in report.episodes if e.warnings and not e.failures],
        "Sound": [e for e in report.episodes if not e.failures and not e.warnings],
    }
    name = escape(report.root.resolve().name)
    body = [
        f"<h1>Data set {name}: {'sound' if report.passed else 'failed'}</h1>",
        f"<p>{len(report.episodes)} episodes: "
        + ", ".join(f'<a href="#{key}">{len(group)} {key.lower()}</a>' for key, group in groups.items())
        + ". Rows of a sheet: RGB, scene depth (near is bright), robot (green seen, blue hidden, red impossible).</p>",
    ]
    if report.problems:
        body.append(f"<h2>The data set as a whole</h2><ul>{_items(report.problems, 'failure')}</ul>")
    for key, group in groups.items():
        body.append(f'<h2 id="{key}">{key}: {len(group)}</h2>')
        shown = [episode for episode in group if episode.sheet is not None or key != "Sound"]
        body += [_article(episode, key.lower(), folder) for episode in shown]
        if len(shown) < len(group):
            body.append(f"<p>And {len(group) - len(shown)} without a sheet.</p>")
    body.append(_thresholds(thresholds))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head>{head}<style>{_STYLE}</style></head>',
            "<body>",
            *body,
            "</body></html>\n",
        ]
    )


def _article(episode: EpisodeCheck, kind: str, folder: Path) -> str:
    findings = _items(episode.failures, "failure") + _items(episode.warnings, "warning")
    sheet = ""
    if episode.sheet is not None:
        place = escape(episode.sheet.relative_to(folder).as_posix())
        sheet = f'<img loading="lazy" src="{place}" alt="contact sheet of {escape(episode.episode_id)}">'
    findings = f"<ul>{findings}</ul>" if findings else ""
    return (
        f'<article class="{kind}" id="episode-{escape(episode.episode_id)}"><h3>{escape(episode.episode_id)}</h3>'
        f"<p>{escape(episode.summary)}</p>{findings}{sheet}</article>"
    )


def _items(entries: Sequence[str], kind: str) -> str:
    return "".join(f'<li class="{kind}">{escape(entry)}</li>' for entry in entries)


def _thresholds(thresholds: FlagThresholds) -> str:
    rows = "".join(f"<tr><td>{name}</td><td>{value:g}</td></tr>" for name, value in asdict(thresholds).items())
    return f"<h2>Thresholds of the flags</h2><table>{rows}</table>"
