"""What a data set holds: counts, outcomes, sizes, durations and depths."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from k4d_world_model.dataset.building.manifest import Manifest, read_manifest
from k4d_world_model.dataset.episode import EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import read_sample
from k4d_world_model.dataset.storage.sample_folder import SampleFolder


@dataclass(frozen=True)
class StratumStatistics:
    """Samples of one source, task and variant, and how many succeed, fail and carry no label."""

    name: str
    samples: int
    successes: int
    failures: int
    unlabelled: int

    @property
    def success_share(self) -> float | None:
        """The share of successes among labelled samples, None where there are none."""
        labelled = self.successes + self.failures
        return self.successes / labelled if labelled else None


@dataclass(frozen=True)
class DatasetStatistics:
    """A data set in figures.

    ``sizes`` counts samples of one (T, H, W). ``bytes`` is the size of all samples on disk. Durations are seconds from
    first to last frame. ``nearest`` and ``farthest`` are the depths (metres) of the metric scene points in the
    ``depth_samples`` samples that were decoded for it; None where there are none.
    """

    samples: int
    train: int
    val: int
    strata: tuple[StratumStatistics, ...]
    sizes: tuple[tuple[tuple[int, int, int], int], ...]
    bytes: int
    total_duration: float
    shortest: float
    longest: float
    depth_samples: int
    nearest: float | None
    farthest: float | None


def dataset_statistics(
    layout: NativeLayout, *, depth_samples: int = 100, on_sample: Callable[[int, int], None] | None = None
) -> DatasetStatistics:
    """The figures of a data set, from its manifest and the samples' meta files, and depths from at most
    ``depth_samples`` samples spread evenly over it.

    ``on_sample(done, total)`` is told about progress. Raises DatasetError and SampleError naming an unusable file.
    """
    manifest = read_manifest(layout)
    durations, infos = [], []
    for done, sample in enumerate(manifest.samples, start=1):
        meta = SampleFolder(layout, sample.episode_id).meta
        durations.append(meta.times[-1] - meta.times[0])
        infos.append(meta.episode)
        if on_sample is not None:
            on_sample(done, len(manifest.samples))
    depths = list(_depth_ranges(layout, manifest, depth_samples))
    sizes = Counter((sample.frames, sample.height, sample.width) for sample in manifest.samples)
    return DatasetStatistics(
        samples=len(manifest.samples),
        train=len(manifest.episode_ids("train")),
        val=len(manifest.episode_ids("val")),
        strata=_strata(infos),
        sizes=tuple(sorted(sizes.items())),
        bytes=sum(sample.bytes for sample in manifest.samples),
        total_duration=float(sum(durations)),
        shortest=float(min(durations, default=0.0)),
        longest=float(max(durations, default=0.0)),
        depth_samples=len(depths),
        nearest=min((low for low, _ in depths), default=None),
        farthest=max((high for _, high in depths), default=None),
    )


def _strata(infos: list[EpisodeInfo]) -> tuple[StratumStatistics, ...]:
    outcomes: dict[str, Counter[bool | None]] = defaultdict(Counter)
    for info in infos:
        outcomes["/".join((info.source, info.task or "-", info.variant or "-"))][info.success] += 1
    return tuple(
        StratumStatistics(name, counts.total(), counts[True], counts[False], counts[None])
        for name, counts in sorted(outcomes.items())
    )


def _depth_ranges(layout: NativeLayout, manifest: Manifest, count: int) -> Iterator[tuple[float, float]]:
    """Nearest and farthest depth of evenly chosen samples that have metric points."""
    total = len(manifest.samples)
    for i in np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)):
        episode = read_sample(layout, manifest.samples[i].episode_id, ("scene_points",))
        if episode.scene_points is not None and episode.scale == "metric":
            depth = episode.scene_points[..., 2]
            if np.isfinite(depth).any():
                yield float(np.nanmin(depth)), float(np.nanmax(depth))
