"""How many numbers a transformer holds, from its sizes alone."""

from math import prod
from typing import NamedTuple

from k4d_world_model.wan.architecture import MASK_CHANNELS, NUMBERS, Architecture
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.object_motion import motion_parameters
from k4d_world_model.wan.robot_region import region_of
from k4d_world_model.wan.robot_shade import shade_parameters
from k4d_world_model.wan.surface_fill import fill_parameters


class ParameterCount(NamedTuple):
    """linear: weights of the blocks' linear layers, which quantisation makes smaller. other: the rest of the blocks.

    outside: everything but the blocks. exact: the part of ``other`` and ``outside`` that stays float32 in any type.
    """

    linear: int
    other: int
    outside: int
    exact: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.linear + self.other + self.outside


def count_parameters(architecture: Architecture) -> ParameterCount:
    """The parameters of ``build_transformer(architecture, head_channels(architecture))``."""
    size = architecture.transformer
    d, images = size.width, size.image_dim
    time = _linear(size.freq_dim, d) + _linear(d, d)
    linear = 8 * d * d + 2 * d * size.ffn_dim + (2 * d * d if images else 0)
    biases = 8 * d + size.ffn_dim + d + (2 * d if images else 0)
    norms = 4 * d + (d if images else 0)  # of queries and keys
    exact = 6 * d + 2 * d  # table of shifts and scales, norm2
    patch = prod(size.patch_size)
    outside = (
        _linear(architecture.in_channels * patch, d)
        + 2 * d  # the two halves' vectors
        + time
        + _linear(d, 6 * d)
        + (2 * images + _linear(images, images) + _linear(images, d) + 2 * d if images else 0)
        + _robot_parameters(architecture)
        + shade_parameters(architecture.light_grid)
        + (fill_parameters() if architecture.continues_surfaces else 0)
        + (motion_parameters() if architecture.moves_objects else 0)
        + 2 * d
        + _linear(d, head_channels(architecture) * patch)
    )
    outside_exact = time + 2 * d + (2 * images + 2 * d if images else 0)
    layers = size.num_layers
    return ParameterCount(layers * linear, layers * (biases + norms + exact), outside, layers * exact + outside_exact)


def _robot_parameters(architecture: Architecture) -> int:
    size, tokens, c = architecture.transformer, architecture.robot_tokens, architecture.codec.latent_channels
    d, inner = size.width, size.attention_head_dim
    if architecture.condition in NUMBERS:
        return _linear(architecture.action_size, d) + _linear(d, d)
    region = region_of(architecture.condition, in_both_halves=architecture.robot_in_both_halves)
    if region is None:
        return d
    positions = inner * prod(tokens.grid) + (2 * inner if region.halves == 2 else 0)
    patch = _linear((MASK_CHANNELS + c) * tokens.patch**2, inner) + 2 * inner
    rank = architecture.injection_rank
    injection = c * rank + _linear(rank, c) if rank else _linear(c, c)
    return patch + positions + _linear(inner, d) + injection


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
