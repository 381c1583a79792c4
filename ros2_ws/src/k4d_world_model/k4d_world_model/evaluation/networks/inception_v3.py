"""Inception-v3 (Szegedy et al. 2016) as the Frechet Inception Distance uses it (Heusel et al. 2017).

Names are those of torchvision's and of pytorch-fid's state dict. Where the TensorFlow network of the FID's weights
differs from torchvision's, this follows TensorFlow: average pooling leaves padding out of the mean, and the last block
pools by maximum.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from k4d_world_model.evaluation.networks.network_weights import NetworkWeights, fill

SIZE_PX = 299
FEATURES = 2048


class _Conv(nn.Module):
    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        pad: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _wide(before: int, after: int, size: int = 7) -> _Conv:
    return _Conv(before, after, (1, size), pad=(0, size // 2))


def _tall(before: int, after: int, size: int = 7) -> _Conv:
    return _Conv(before, after, (size, 1), pad=(size // 2, 0))


def _mean_pooled(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _MixedA(nn.Module):
    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(before, 64)
        self.branch5x5_1, self.branch5x5_2 = _Conv(before, 48), _Conv(48, 64, 5, pad=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 64), _Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, pad=1)
        self.branch_pool = _Conv(before, pooled)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        parts = self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_mean_pooled(x))
        return torch.cat(parts, dim=1)


class _MixedB(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(before, 384, 3, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 64), _Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, F.max_pool2d(x, 3, 2)), dim=1)


class _MixedC(nn.Module):
    def __init__(self, inner: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(768, 192)
        self.branch7x7_1, self.branch7x7_2, self.branch7x7_3 = _Conv(768, inner), _wide(inner, inner), _tall(inner, 192)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = _Conv(768, inner), _tall(inner, inner)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = _wide(inner, inner), _tall(inner, inner)
        self.branch7x7dbl_5 = _wide(inner, 192)
        self.branch_pool = _Conv(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), single, double, self.branch_pool(_mean_pooled(x))), dim=1)


class _MixedD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(768, 192), _Conv(192, 320, 3, 2)
        self.branch7x7x3_1, self.branch7x7x3_2 = _Conv(768, 192), _wide(192, 192)
        self.branch7x7x3_3, self.branch7x7x3_4 = _tall(192, 192), _Conv(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat((self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, 2)), dim=1)


class _MixedE(nn.Module):
    def __init__(self, before: int, *, pools_by_maximum: bool) -> None:
        super().__init__()
        self._pools_by_maximum = pools_by_maximum
        self.branch1x1 = _Conv(before, 320)
        self.branch3x3_1, self.branch3x3_2a, self.branch3x3_2b = (
            _Conv(before, 384),
            _wide(384, 384, 3),
            _tall(384, 384, 3),
        )
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(before, 448), _Conv(448, 384, 3, pad=1)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = _wide(384, 384, 3), _tall(384, 384, 3)
        self.branch_pool = _Conv(before, 192)

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self._pools_by_maximum else _mean_pooled(x)
        parts = (
            self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single), self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double), self.branch_pool(pooled),
        )  # fmt: skip
        return torch.cat(parts, dim=1)


class InceptionV3(nn.Module):
    """Features (b, 2048) of pictures: the mean over the last block's map."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = _Conv(3, 32, 3, 2), _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, pad=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = _Conv(64, 80), _Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _MixedA(192, 32), _MixedA(256, 64), _MixedA(288, 64)
        self.Mixed_6a, self.Mixed_6b, self.Mixed_6c = _MixedB(288), _MixedC(128), _MixedC(160)
        self.Mixed_6d, self.Mixed_6e, self.Mixed_7a = _MixedC(160), _MixedC(192), _MixedD()
        self.Mixed_7b = _MixedE(1280, pools_by_maximum=False)
        self.Mixed_7c = _MixedE(2048, pools_by_maximum=True)

    @classmethod
    def of(cls, weights: NetworkWeights) -> "InceptionV3":
        """The network with weights such as pt_inception-2015-12-05. Raises CheckpointError where they do not fit."""
        network = cls()
        fill(network, weights, unused=("fc.", "AuxLogits."))
        return network

    def forward(self, pictures: Tensor) -> Tensor:
        """Of pictures (b, 3, H, W) in [0, 255], resized to 299 x 299 (bilinear) and scaled to [-1, 1]."""
        x = F.interpolate(pictures / 127.5 - 1.0, (SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        features: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))
        return features
