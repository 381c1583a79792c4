"""Convolution and pooling that pad as TensorFlow's "SAME" does: as much as the stride needs, more at the end."""

from itertools import chain

import torch.nn.functional as F
from torch import Tensor


def padded_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """x (b, c, ...) with zeros around, so that a window of ``kernel`` gives ceil(size / stride) values an axis."""
    missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    return F.pad(x, list(chain.from_iterable((m // 2, m - m // 2) for m in reversed(missing))))
