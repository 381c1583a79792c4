"""An evaluation as Markdown: a line a figure, a column an entrant; and a line a domain and entrant."""

import math
import statistics
from collections.abc import Sequence

from k4d_world_model.evaluation.cloud_metrics import sampled_name
from k4d_world_model.evaluation.differences import differences_of, gains, pooled_figure, pooled_gain, values_of
from k4d_world_model.evaluation.episode_record import TRUTH, EpisodeRecord
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.figure import Figure
from k4d_world_model.evaluation.figure_titles import MAIN, PICTURES, FigureTitle, cloud_titles
from k4d_world_model.evaluation.judges import FID, FRECHET_LITE, FVD, UNAVAILABLE
from k4d_world_model.evaluation.scores import Interval, mean_with_interval
from k4d_world_model.evaluation.set_figures import SetFigures

_SET_TITLES = {
    FID: "FID", f"{FID}_temp": "FID (temp)", FVD: "FVD", FRECHET_LITE: "Frechet distance on EfficientNet-Lite0",
    f"{FRECHET_LITE}_temp": "Frechet distance on EfficientNet-Lite0 (temp)",
}  # fmt: skip


def markdown_report(evaluation: Evaluation, judged: SetFigures) -> str:
    """All tables: the main one of a model card, pictures, clouds, sets, and domains."""
    clouds = cloud_titles(cloud_sample(evaluation))
    parts = [
        figure_table(evaluation, MAIN),
        f"Pictures:\n\n{figure_table(evaluation, PICTURES)}",
        f"Clouds:\n\n{figure_table(evaluation, clouds)}",
        f"Sets of pictures:\n\n{set_table(evaluation, judged)}",
        f"Domains:\n\n{domain_table(evaluation, judged)}",
        f"Protocol {evaluation.protocol_sha256}, data {evaluation.data_sha256}.\n",
    ]
    return "\n".join(parts)


def figure_table(evaluation: Evaluation, titles: Sequence[FigureTitle]) -> str:
    """A line a figure that any entrant has.

    Of errors that pool, first all episodes together; then the mean over episodes, in brackets where it comes second,
    with its 95 % interval, and the number of episodes where not all of them have the figure. The last columns are
    differences on the episodes that both have.
    """
    pairs, records, count = differences_of(evaluation), evaluation.records, len(evaluation.truth)
    lines = [
        f"| {count} episodes | {' | '.join(evaluation.entrants)} | "
        f"{' | '.join(f'{one} - {other}' for one, other in pairs)} |",
        f"|---|{'---|' * (len(evaluation.entrants) + len(pairs))}",
    ]
    for title in titles:
        values = {name: values_of(records[name], title.name) for name in evaluation.entrants}
        if not any(math.isfinite(value) for row in values.values() for value in row):
            continue
        cells = [
            _cell(pooled_figure(records[name], title.name), mean_with_interval(values[name]), count, title.digits)
            for name in evaluation.entrants
        ]
        for ones, others in ((records[one], records[other]) for one, other in pairs):
            interval = mean_with_interval(gains(ones, others, title.name))
            cells.append(_cell(pooled_gain(ones, others, title.name), interval, count, title.digits, "+"))
        lines.append(f"| {title.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def set_table(evaluation: Evaluation, judged: SetFigures) -> str:
    """A line a set figure, with the number of samples of each entrant in brackets, or why there is no figure."""
    lines = [f"| | {' | '.join(evaluation.entrants)} |", f"|---|{'---|' * len(evaluation.entrants)}"]
    for name in SetFigures.NAMES:
        cells = []
        for entrant in evaluation.entrants:
            records = evaluation.records[entrant]
            figure = judged.figure(name, records, evaluation.truth)
            count = 0 if figure.value is None else judged.samples(name, records)
            cells.append(figure.reason if figure.value is None else f"{figure.value:.2f} (n = {count})")
        lines.append(f"| {_SET_TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def domain_table(evaluation: Evaluation, judged: SetFigures) -> str:
    """The paper's Table VII: time, memory, accuracy and steadiness, a line a domain and entrant, the truth's own too.

    The Frechet columns are FID where its weights are given, otherwise those on EfficientNet-Lite0, and say which.
    """
    network = FRECHET_LITE if str(evaluation.protocol[f"weights.{FID}"]).startswith(UNAVAILABLE) else FID
    chamfer, steady = (sampled_name(name, cloud_sample(evaluation)) for name in ("chamfer_l1", "chamfer_l1_temp"))
    short = _SET_TITLES[network]
    lines = [
        f"| domain | | episodes | time (s) | memory (GB) | PSNR | PSNR (temp) | {short} | {short} (temp) | CD-L1 (m) | "
        "CD-L1 (temp) (m) |",
        f"|{'---|' * 11}",
    ]
    for domain in dict.fromkeys(record.domain for record in evaluation.truth):
        truth = [record for record in evaluation.truth if record.domain == domain]
        for name in (*evaluation.entrants, TRUTH):
            records = truth if name == TRUTH else [r for r in evaluation.records[name] if r.domain == domain]
            valid = [record for record in records if not record.invalid]
            cells = [
                _median([record.seconds for record in valid], 1.0, 2),
                _largest([record.peak_memory_bytes for record in valid], 1e-9, 2),
                *(_mean(valid, figure, 2) for figure in ("psnr", "psnr_temp")),
                "-" if name == TRUTH else _number(judged.figure(network, valid, truth), 2),
                _number(judged.figure(f"{network}_temp", valid, truth), 2),
                *(_mean(valid, figure, 5) for figure in (chamfer, steady)),
            ]
            lines.append(f"| {domain} | {name} | {len(valid)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cloud_sample(evaluation: Evaluation) -> int | None:
    """How many points of each cloud its figures asked, None for all."""
    sample = evaluation.protocol["cloud_sample"]
    return None if sample is None else int(sample)


def _cell(together: float, interval: Interval, episodes: int, digits: int, sign: str = "") -> str:
    form = f"{sign}.{digits}f"
    beside = [f"{interval.low:{form}}, {interval.high:{form}}"] if math.isfinite(interval.low) else []
    beside += [f"n = {interval.count}"] if interval.count < episodes else []
    mean = f"{interval.mean:{form}} [{'; '.join(beside)}]" if beside else f"{interval.mean:{form}}"
    mean = mean if interval.count else "-"
    return f"{together:{form}} ({mean})" if math.isfinite(together) else mean


def _number(figure: Figure, digits: int) -> str:
    return "-" if figure.value is None else f"{figure.value:.{digits}f}"


def _mean(records: Sequence[EpisodeRecord], name: str, digits: int) -> str:
    interval = mean_with_interval(values_of(records, name))
    return f"{interval.mean:.{digits}f}" if interval.count else "-"


def _median(figures: Sequence[Figure], scale: float, digits: int) -> str:
    known = [figure.value for figure in figures if figure.value is not None]
    return f"{statistics.median(known) * scale:.{digits}f}" if known else "-"


def _largest(figures: Sequence[Figure], scale: float, digits: int) -> str:
    known = [figure.value for figure in figures if figure.value is not None]
    return f"{max(known) * scale:.{digits}f}" if known else "-"
