"""I3D (Carreira and Zisserman 2017), whose Kinetics-400 logits the Frechet Video Distance compares.

Names are those of the PyTorch port's state dict (rgb_imagenet.pt and i3d_pretrained_400.pt).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from k4d_world_model.evaluation.networks.network_weights import NetworkWeights, fill
from k4d_world_model.evaluation.networks.same_padding import padded_same

SIZE_PX = 224
FEATURES = 400
FEWEST_FRAMES = 9
Shape = tuple[int, int, int]


class _Unit(nn.Module):
    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, *, last: bool = False) -> None:
        super().__init__()
        self._kernel, self._stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(before, after, kernel, stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(padded_same(x, self._kernel, self._stride))
        return x if self.bn is None else F.relu(self.bn(x))


class _Mixed(nn.Module):
    def __init__(
        self, before: int, single: int, squeeze: int, double: int, squeeze2: int, double2: int, pool: int
    ) -> None:
        super().__init__()
        self.b0 = _Unit(before, single)
        self.b1a, self.b1b = _Unit(before, squeeze), _Unit(squeeze, double, 3)
        self.b2a, self.b2b = _Unit(before, squeeze2), _Unit(squeeze2, double2, 3)
        self.b3b = _Unit(before, pool)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(_pooled(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat(parts, dim=1)


class I3D(nn.Module):
    """Logits (b, 400) of videos, averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7, self.Conv3d_2b_1x1 = _Unit(3, 64, 7, 2), _Unit(64, 64)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        self.Mixed_3b, self.Mixed_3c = _Mixed(192, 64, 96, 128, 16, 32, 32), _Mixed(256, 128, 128, 192, 32, 96, 64)
        self.Mixed_4b, self.Mixed_4c = _Mixed(480, 192, 96, 208, 16, 48, 64), _Mixed(512, 160, 112, 224, 24, 64, 64)
        self.Mixed_4d, self.Mixed_4e = _Mixed(512, 128, 128, 256, 24, 64, 64), _Mixed(512, 112, 144, 288, 32, 64, 64)
        self.Mixed_4f = _Mixed(528, 256, 160, 320, 32, 128, 128)
        self.Mixed_5b = _Mixed(832, 256, 160, 320, 32, 128, 128)
        self.Mixed_5c = _Mixed(832, 384, 192, 384, 48, 128, 128)
        self.logits = _Unit(1024, FEATURES, last=True)

    @classmethod
    def of(cls, weights: NetworkWeights) -> "I3D":
        """The network with these weights. Raises CheckpointError where they do not fit."""
        network = cls()
        fill(network, weights)
        return network

    def forward(self, video: Tensor) -> Tensor:
        """Of videos (b, 3, T >= 9, H, W) in [0, 255], resized to 224 x 224 (bilinear) and scaled to [-1, 1]."""
        size = (video.shape[2], SIZE_PX, SIZE_PX)
        x = F.interpolate(video / 127.5 - 1.0, size, mode="trilinear", align_corners=False)
        x = _pooled(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = _pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = _pooled(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = self.Mixed_5c(self.Mixed_5b(_pooled(x, (2, 2, 2), (2, 2, 2))))
        logits: Tensor = self.logits(F.avg_pool3d(x, (2, 7, 7), stride=1)).mean(dim=(2, 3, 4))
        return logits


def _pooled(x: Tensor, kernel: Shape, stride: Shape) -> Tensor:
    return F.max_pool3d(padded_same(x, kernel, stride), kernel, stride)
