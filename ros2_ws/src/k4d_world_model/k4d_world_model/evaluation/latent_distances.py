"""How far predictions are from the truth in the latents of a codec."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from k4d_world_model.errors import ArchitectureError
from k4d_world_model.evaluation.figure import Figure, NamedFigure, no_figure
from k4d_world_model.evaluation.model_identity import LatentCodec

LATENT_L2 = "latent_l2_"


class LatentDistances:
    """Distances from one truth, pictures (T, H, W, 3), which every codec encodes once."""

    def __init__(self, truth: NDArray[np.uint8]) -> None:
        self._truth = truth
        self._encoded: dict[str, Tensor] = {}

    def figures(self, codec: LatentCodec | None, predicted: NDArray[np.uint8]) -> list[NamedFigure]:
        """Mean squared difference of the codec's normalised latents, first frame included, named by the codec's kind.

        No figure for pictures that do not divide into the codec's cells; nothing without a codec.
        """
        return [] if codec is None else [NamedFigure(f"{LATENT_L2}{codec.kind}", self._distance(codec, predicted))]

    def _distance(self, codec: LatentCodec, predicted: NDArray[np.uint8]) -> Figure:
        try:
            if codec.sha256 not in self._encoded:
                self._encoded[codec.sha256] = codec.encode(self._truth)
            return Figure(float((codec.encode(predicted) - self._encoded[codec.sha256]).square().mean()))
        except ArchitectureError as error:
            return no_figure(str(error))
