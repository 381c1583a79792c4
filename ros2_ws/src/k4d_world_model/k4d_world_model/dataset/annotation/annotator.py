"""The seam towards tools that find pointmaps, robot masks and captions in pictures."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

_LONGEST_TEXT = 10_000


@dataclass(frozen=True, eq=False)
class Annotations:
    """What a tool found in the T pictures of an episode; what it does not look for is None.

    tool: what found it, in one line.
    scene_points: (T, H, W, 3) float32 in the camera's optical frame, all three coordinates NaN where there is none.
    scale: "metric" when these are metres, "affine" when each axis has an unknown scale and offset.
    robot_mask: (T, H, W) bool, True where the robot is seen.
    caption, scene_caption: of the whole interaction, and of the still scene of the first picture.

    Raises AnnotationError when nothing was found, or a type, shape or text is not as stated.
    """

    tool: str
    scene_points: NDArray[np.float32] | None = None
    scale: Literal["metric", "affine"] = "affine"
    robot_mask: NDArray[np.bool_] | None = None
    caption: str | None = None
    scene_caption: str | None = None

    def __post_init__(self) -> None:
        if not self.tool:
            raise AnnotationError("tool must name what made the annotations, got an empty string")
        if not self.contents:
            raise AnnotationError(f"{self.tool} found neither points, nor masks, nor captions")
        if self.scale not in ("metric", "affine"):
            raise AnnotationError(f"scale must be 'metric' or 'affine', got {self.scale!r}")
        points, mask = self.scene_points, self.robot_mask
        if points is not None and (points.dtype != np.float32 or points.ndim != 4 or points.shape[-1] != 3):
            raise AnnotationError(f"scene_points must be float32 (T, H, W, 3), got {points.dtype} {points.shape}")
        if mask is not None and (mask.dtype != np.bool_ or mask.ndim != 3):
            raise AnnotationError(f"robot_mask must be bool (T, H, W), got {mask.dtype} {mask.shape}")
        for name in ("caption", "scene_caption"):
            text = getattr(self, name)
            if text is not None and not (text.strip() and len(text) <= _LONGEST_TEXT):
                raise AnnotationError(f"{name} must have 1 to {_LONGEST_TEXT} characters, got {len(text)}")

    @property
    def contents(self) -> tuple[str, ...]:
        """Names of the fields that the tool filled."""
        fields = ("scene_points", "robot_mask", "caption", "scene_caption")
        return tuple(name for name in fields if getattr(self, name) is not None)


class Annotator(Protocol):
    """A tool that looks at the pictures of an episode."""

    @property
    def tool(self) -> str:
        """What it is, in one line."""
        ...

    def annotate(self, episode: Episode) -> Annotations:
        """What it finds. Raises AnnotationError with the reason when it fails."""
        ...
