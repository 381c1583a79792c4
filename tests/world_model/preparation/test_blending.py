"""Predictions that start at a still first frame: the prior, and the head that changes its pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ArchitectureError
from k4d_world_model.preparation import prepare
from k4d_world_model.wan.architecture import Architecture, CodecSize
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.encoding import encode
from k4d_world_model.wan.head import clean_latents, head_channels


def test_a_still_prior_repeats_the_first_frame(everything: Conditioning, told: Architecture) -> None:
    codec = PixelCodec(told.codec)
    inputs = prepare(everything, told)[0]
    encoded = encode(inputs, told, codec)
    rgb, points = (codec.decode(half) for half in encoded.prior.chunk(2, dim=-1))
    assert torch.allclose(rgb, inputs.first_rgb[:, :, None].expand_as(rgb), atol=1e-6)
    assert torch.allclose(points, inputs.first_points[:, :, None].expand_as(points), atol=1e-6)
    assert torch.equal(encoded.channels[:, 4:], encoded.prior)


def test_a_blend_is_told_cell_by_cell_and_done_pixel_by_pixel(everything: Conditioning, told: Architecture) -> None:
    codec = PixelCodec(told.codec)
    encoded = encode(prepare(everything, told)[0], told, codec)
    prior, robot = encoded.prior, encoded.robot
    out = torch.randn(1, head_channels(told), *prior.shape[2:], generator=torch.Generator().manual_seed(6))
    found = clean_latents(out, prior, torch.ones(1), encoded, told, codec)
    cell = (0, slice(None), 1, 1, 5)  # the robot is in some of its pixels
    pixels, shown, numbers = (part[cell].numpy() for part in (prior, robot[:, 4:], out))
    pixels, shown = pixels.reshape(3, 256), shown.reshape(3, 256)
    given, own = numbers[: 4 * 256].reshape(4, 256), numbers[4 * 256 :]
    scene = pixels + given[:3] + own[:9].reshape(3, 3) @ pixels
    mapped = own[9:21].reshape(4, 3) @ shown
    share = 1 / (1 + np.exp(1 - given[3] - mapped[3]))
    expected = (1 - share) * scene + share * (mapped[:3] + own[21:, None])
    assert np.allclose(found[cell].numpy().reshape(3, 256), expected, atol=1e-4)
    assert len(np.unique(shown[2])) > 1
    untrained = clean_latents(torch.zeros_like(out), prior, torch.ones(1), encoded, told, codec)
    assert torch.allclose(untrained, (1 - 1 / (1 + math.e)) * prior, atol=1e-6)


def test_a_blend_goes_without_a_robot_in_pixels(everything: Conditioning, told: Architecture) -> None:
    codec = PixelCodec(told.codec)
    encoded = encode(prepare(everything, told)[0], told, codec)
    out = torch.ones(1, head_channels(told), *encoded.prior.shape[2:])
    with_robot, without = (
        clean_latents(out, encoded.prior, torch.ones(1), encoded._replace(robot=robot), told, codec)
        for robot in (encoded.robot, torch.zeros(1, 9, 3, 1, 1))
    )
    nothing = encoded._replace(robot=torch.zeros_like(encoded.robot))
    assert torch.equal(without, clean_latents(out, encoded.prior, torch.ones(1), nothing, told, codec))
    assert not torch.equal(without, with_robot)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"prior": "first_frame"}, "head 'blend' needs the prior"),
        ({"codec": CodecSize("wan_vae", 8, 4, 16)}, "head 'blend' needs the codec"),
        ({"condition": "text"}, "action_size must be above 0"),
        ({"action_size": 4}, "action_size must be above 0"),
    ],
)
def test_contradictions_are_named(told: Architecture, changes: dict[str, object], match: str) -> None:
    with pytest.raises(ArchitectureError, match=match):
        replace(told, **changes)
