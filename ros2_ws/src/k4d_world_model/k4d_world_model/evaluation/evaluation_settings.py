"""What an evaluation is to do: on which episodes, for which models and predictions, at which size."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.image_metrics import SSIM_BORDER_PX
from k4d_world_model.evaluation.judges import JudgeSettings


@dataclass(frozen=True)
class EvaluationSettings:
    """Names and paths only, so that a worker on any machine can do one episode of it.

    out: folder of results. sources: simulation YAMLs, or data: roots of native data sets and the ``split`` of them to
        take, whose robot is ``robot``'s. Each is a domain of its own in the report, by the file's or folder's name.
    models: world model YAMLs; predictions: folders of foreign predictions (see ``ForeignPredictions``).
    episodes: of each domain, from the first; None for all.
    size: (frames, height, width) that are scored; None for the first model's size and the fewest frames of any model.
    seed: of every prediction's random numbers. device: as torch names it, None for the models' own.
    cloud_sample: points of each cloud that Chamfer distances and F-scores ask; None for all, which is exact.
    sheets: episodes of each domain to draw, from the first, when they are scored. cache: of prepared robot surfaces.

    Raises EvaluationError when it names no episodes, both kinds of them, nothing to evaluate, numbers below 1, or a
    size below two frames of SSIM's window.
    """

    out: Path
    sources: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    split: Literal["val", "train"] = "val"
    robot: Path = Path("config/robots/panda.yaml")
    models: tuple[Path, ...] = ()
    predictions: tuple[Path, ...] = ()
    episodes: int | None = None
    size: tuple[int, int, int] | None = None
    seed: int = 0
    device: str | None = None
    judges: JudgeSettings = field(default_factory=JudgeSettings)
    cloud_sample: int | None = None
    sheets: int = 4
    cache: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.sources) == bool(self.data):
            raise EvaluationError("give either sources or data sets to evaluate on, one of them")
        if not self.models and not self.predictions:
            raise EvaluationError("give a model or a folder of predictions to evaluate")
        if not self.models and self.size is None:
            raise EvaluationError("without a model say which (frames, height, width) are scored")
        names = [path.stem for path in (*self.sources, *self.data)]
        if len(set(names)) < len(names):
            raise EvaluationError(f"domains need different names, got {', '.join(names)}")
        for name, number in (("cloud_sample", self.cloud_sample), ("episodes", self.episodes)):
            if number is not None and number < 1:
                raise EvaluationError(f"{name} must be at least 1, got {number}")
        side = 2 * SSIM_BORDER_PX + 1
        if self.size is not None and (self.size[0] < 2 or min(self.size[1:]) < side):
            raise EvaluationError(
                f"at least 2 frames of {side} x {side} px, SSIM's window, are scored, got {self.size}"
            )
