"""What a build made, and what it could not make and why."""

import json
from dataclasses import asdict, dataclass

from k4d_world_model.dataset.building.manifest import write_text
from k4d_world_model.dataset.layout import NativeLayout

_SHOWN = 10


@dataclass(frozen=True)
class ReportedEpisode:
    """An episode and why it is in the report."""

    episode_id: str
    reason: str


@dataclass(frozen=True)
class BuildReport:
    """The result of a build.

    ``written`` samples are new, ``kept`` ones were there and are sound; ``train`` and ``val`` count both as they are
    split. ``rejected`` episodes do not qualify; ``failed`` ones ran into an error, the next build tries them again.
    ``damaged`` ones were there but not sound, and were made anew unless they are rejected or failed, too. ``seconds``
    it took.
    """

    source: str
    written: int
    kept: int
    train: int
    val: int
    rejected: tuple[ReportedEpisode, ...]
    failed: tuple[ReportedEpisode, ...]
    damaged: tuple[ReportedEpisode, ...]
    seconds: float

    def summary(self) -> str:
        """A few lines for people."""
        rate = 3600.0 * self.written / self.seconds if self.seconds > 0 else 0.0
        lines = [
            f"{self.written + self.kept} samples ({self.written} written, {self.kept} kept), "
            f"{self.train} to train and {self.val} to validate",
            f"{len(self.rejected)} episodes rejected, {len(self.failed)} failed; {len(self.damaged)} had been damaged",
            f"{self.seconds:.1f} s, {rate:.0f} episodes/h written",
        ]
        for name in ("damaged", "rejected", "failed"):
            episodes = getattr(self, name)
            lines += [f"{name} {episode.episode_id}: {episode.reason}" for episode in episodes[:_SHOWN]]
            if len(episodes) > _SHOWN:
                lines.append(f"{name}: {len(episodes) - _SHOWN} more in the report")
        return "\n".join(lines)


def write_report(layout: NativeLayout, report: BuildReport) -> None:
    """Writes the report as JSON, in one step."""
    write_text(layout, layout.report, json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")
