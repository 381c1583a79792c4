"""What is scored: the pictures of a predicted future and, where it has any, its points; of our models or of others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera
from k4d_world_model.errors import PredictionError
from k4d_world_model.evaluation.figure import Figure, no_figure
from k4d_world_model.evaluation.fitted_episode import fitted_video
from k4d_world_model.evaluation.truth import partly_known
from k4d_world_model.rollout import Rollout

RGB_ONLY = "it has no points, only pictures"
NOT_MEASURED = "nobody measured it"


@dataclass(frozen=True, eq=False)
class Prediction:
    """T frames as somebody predicted them, the first of which was given.

    rgb: (T, H, W, 3) uint8.
    points: (T, H, W, 3) float32 metres in the camera's optical frame, NaN where missing; None for RGB only.
    seconds: wall time of the prediction. peak_memory_bytes: see ``Provenance``.

    Raises PredictionError when shapes or types do not fit each other, and for points that are neither finite nor NaN in
    all three coordinates.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    seconds: Figure
    peak_memory_bytes: Figure

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 4 or self.rgb.shape[-1] != 3:
            raise PredictionError(f"rgb must be uint8 of shape (T, H, W, 3), got {self.rgb.dtype} {self.rgb.shape}")
        points = self.points
        if points is not None and (points.shape != self.rgb.shape or points.dtype != np.float32):
            raise PredictionError(
                f"points must be float32 of shape {self.rgb.shape}, got {points.dtype} {points.shape}"
            )
        if points is not None:
            broken = partly_known(points)
            if broken:
                raise PredictionError(
                    f"points must be finite, or NaN in all three coordinates; {broken} of {points[..., 0].size} are "
                    "neither"
                )

    @classmethod
    def of_rollout(cls, rollout: Rollout) -> "Prediction":
        """A rollout as it is scored."""
        made = rollout.provenance
        seconds = Figure(made.computation_time) if made.computation_time > 0 else no_figure(NOT_MEASURED)
        memory = Figure(made.peak_memory_bytes) if made.peak_memory_bytes > 0 else no_figure(NOT_MEASURED)
        return cls(rollout.rgb, rollout.points, seconds, memory)

    def fitted(self, frames: int, camera: Camera, name: str) -> "Prediction":
        """The prediction at the size of ``camera``, with ``frames`` frames taken evenly, first and last among them.

        Raises PredictionError naming ``name`` when there are fewer frames or others between, or its pictures are of
        another shape, of which a part would have to be invented.
        """
        count, height, width = self.rgb.shape[:3]
        if frames < 2 or count < frames or (count - 1) % (frames - 1):
            raise PredictionError(
                f"{name} has {count} frames, {frames} are scored: it must have those, or 1 + a multiple of {frames - 1}"
            )
        step = (count - 1) // (frames - 1)
        size = (camera.image_height, camera.image_width)
        if height * size[1] != width * size[0]:
            raise PredictionError(
                f"{name} is of {height} x {width} px, whose shape is not that of {size[0]} x {size[1]}"
            )
        rgb, points = self.rgb[::step], None if self.points is None else self.points[::step]
        rgb, points = fitted_video(rgb, points, camera)
        return Prediction(rgb, points, self.seconds, self.peak_memory_bytes)
