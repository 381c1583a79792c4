"""The latents, the mask and the robot as the contract of the published model has them; heads start at the prior."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ArchitectureError
from k4d_world_model.preparation import prepare, ramp
from k4d_world_model.wan.architecture import NUMBERS, Architecture, CodecSize, Condition
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.encoding import encode, encode_pair, latent_mask, soften
from k4d_world_model.wan.head import clean_latents, head_channels, moved_pictures
from k4d_world_model.wan.prior import frozen_world, robot_in_front
from k4d_world_model.wan.robot_region import REGIONS
from k4d_world_model.wan.transformer import build_transformer


@pytest.mark.parametrize("size", [CodecSize("pixels", 8, 4, 768), CodecSize("pixels", 4, 2, 96)])
def test_pixels_survive_the_codec(size: CodecSize) -> None:
    video = torch.rand(2, 3, 9, 16, 24)
    codec = PixelCodec(size)
    latents = codec.encode(video)
    assert latents.shape == (2, size.latent_channels, 1 + 8 // size.temporal, 16 // size.spatial, 24 // size.spatial)
    assert torch.allclose(codec.decode(latents), video, atol=1e-6)


def test_a_video_must_divide_into_cells() -> None:
    with pytest.raises(ArchitectureError, match="8 frames of 16 x 20"):
        PixelCodec(CodecSize("pixels", 8, 4, 768)).encode(torch.zeros(1, 3, 8, 16, 20))


def test_the_published_condition(conditioning: Conditioning, published: Architecture) -> None:
    inputs, _ = prepare(conditioning, published)
    codec = PixelCodec(published.codec)
    encoded = encode(inputs, published, codec)
    mask = encoded.channels[0, :4].numpy()  # (4, 3, 2, 8)
    expected = np.zeros_like(mask)
    expected[:, 0, :, :4], expected[:, 0, :, 4:] = 1.0, 0.5
    assert np.array_equal(mask, expected)
    video = codec.decode(encoded.channels[:, 4:])[0].numpy()
    picture = np.moveaxis(conditioning.first_frame / 127.5 - 1, -1, 0)
    assert np.allclose(video[:, 0], np.concatenate([picture, ramp(16, 32)], axis=-1), atol=1e-6)
    assert (video[:, 1:] == 0).all()
    assert encoded.prior is None


def test_the_ramp_is_uniform() -> None:
    x, y, z = ramp(5, 7)
    assert (x[:, 0] == -1).all()
    assert (x[:, -1] == 1).all()
    assert (y[0] == -1).all()
    assert (y[-1] == 1).all()
    assert np.allclose(z, -y)


@pytest.mark.parametrize("condition", get_args(Condition))
def test_every_condition_feeds_its_transformer(
    conditioning: Conditioning, published: Architecture, condition: str
) -> None:
    chosen = replace(published, condition=condition, action_size=3 if condition in NUMBERS else 0)
    inputs, _ = prepare(conditioning, replace(chosen, condition="robot_rgb_and_pointmap", action_size=0))
    inputs = inputs._replace(actions=torch.rand(1, 9, 3))
    encoded = encode(inputs, chosen, PixelCodec(chosen.codec))
    region = REGIONS[condition]
    if region is not None:
        assert encoded.robot.shape == (1, 4 + 768, 3, 2, 4 * region.halves)
    net = build_transformer(chosen, head_channels(chosen)).eval()
    noisy = torch.rand(1, 768, 3, 2, 8)
    with torch.no_grad():
        output = net(torch.cat([noisy, encoded.channels], 1), torch.tensor([500.0]), encoded.robot, return_dict=False)
    assert output[0].shape == noisy.shape
    assert output[0].isfinite().all()


def test_robot_latents_follow_the_condition(conditioning: Conditioning, published: Architecture) -> None:
    inputs, _ = prepare(conditioning, published)
    codec = PixelCodec(published.codec)

    def latents(condition: str) -> torch.Tensor:
        return encode(inputs, replace(published, condition=condition), codec).robot[:, 4:]

    both = latents("robot_rgb_and_pointmap")
    assert torch.equal(both, encode_pair(inputs.robot_rgb, inputs.robot_points, published, codec))
    assert torch.equal(latents("robot_rgb"), both[..., :4])
    assert torch.equal(latents("robot_pointmap"), both[..., 4:])
    assert (latents("robot_mask") == 0).all()
    depth = codec.decode(latents("robot_depth") * 1.36 - 0.17)
    assert torch.allclose(depth, inputs.robot_points[:, 2:].expand(-1, 3, -1, -1, -1), atol=1e-5)


def test_the_mask_takes_the_corner_of_each_cell(architecture: Architecture) -> None:
    mask = torch.zeros(1, 9, 16, 32, dtype=torch.bool)
    mask[0, 0, 0, 8] = True  # frame 0 stands alone
    mask[0, 3, 8, 16] = True  # frames 1 to 4 are united
    mask[0, 6, 9, 17] = True  # no corner
    cells = latent_mask(mask, PixelCodec(architecture.codec))
    assert cells.nonzero().tolist() == [[0, 0, 0, 1], [0, 1, 1, 2]]


@pytest.mark.parametrize("condition", ["robot_rgb_and_pointmap", "robot_pointmap"])
def test_softening_halves_a_share_of_the_mask(
    conditioning: Conditioning, published: Architecture, condition: str
) -> None:
    inputs, _ = prepare(conditioning, published)
    robot = encode(inputs, replace(published, condition=condition), PixelCodec(published.codec)).robot.clone()
    robot[:, :4] = 1.0
    soft = soften(robot, 0.1, torch.Generator().manual_seed(0))
    halves = soft[:, :4].chunk(2, dim=-1) if condition == "robot_rgb_and_pointmap" else (soft[:, :4],)
    assert all(torch.equal(half, halves[0]) for half in halves)
    assert (halves[0][0, 0] == 0.5).sum() == int(0.1 * 3 * 2 * 4)
    assert (halves[0] == halves[0][:, :1]).all()
    assert torch.equal(soft[:, 4:], robot[:, 4:])
    assert (robot[:, :4] == 1).all()


def test_the_frozen_world_moves_only_the_robot(conditioning: Conditioning, architecture: Architecture) -> None:
    inputs, by = prepare(conditioning, architecture)
    rgb, points = frozen_world(inputs)
    assert torch.equal(rgb[:, :, 0], inputs.first_rgb)
    assert torch.equal(points[:, :, 0], inputs.first_points)
    depth = (points[0, 2] * by.scale[2] + by.offset[2]).numpy()
    wall, box, robot = 2.0, 1.2, 1.5
    assert depth[8, 5, 30] == pytest.approx(wall, abs=1e-4)
    assert depth[6, 5, 17] == pytest.approx(robot, abs=1e-4)
    assert depth[8, 5, 22] == pytest.approx(box, abs=1e-4)  # the box hides the robot
    assert conditioning.robot_mask[8, 5, 22]
    assert depth[8, 5, 6] == pytest.approx(wall, abs=0.05)  # where the robot was
    assert rgb[0, :, 6, 5, 17].tolist() == pytest.approx([200 / 127.5 - 1] * 3)


@pytest.mark.parametrize("head", ["residual", "motion"])
def test_a_silent_transformer_predicts_the_prior(
    conditioning: Conditioning, architecture: Architecture, head: str
) -> None:
    chosen = replace(architecture, head=head)
    inputs, _ = prepare(conditioning, chosen)
    codec = PixelCodec(chosen.codec)
    encoded = encode(inputs, chosen, codec)
    silent = torch.zeros(1, head_channels(chosen), 3, 2, 8)
    clean = clean_latents(silent, torch.rand(1, 768, 3, 2, 8), torch.ones(1), encoded, chosen, codec)
    assert encoded.prior is not None
    assert torch.allclose(clean, encoded.prior, atol=1e-4)


def test_velocity_is_what_flow_matching_says(conditioning: Conditioning, published: Architecture) -> None:
    inputs, _ = prepare(conditioning, published)
    codec = PixelCodec(published.codec)
    clean, noise, sigma = torch.rand(1, 768, 3, 2, 8), torch.randn(1, 768, 3, 2, 8), torch.tensor([0.3])
    noisy = 0.7 * clean + 0.3 * noise
    encoded = encode(inputs, published, codec)
    assert torch.allclose(clean_latents(noise - clean, noisy, sigma, encoded, published, codec), clean, atol=1e-5)


def test_motion_fills_and_lights(conditioning: Conditioning, architecture: Architecture) -> None:
    inputs, _ = prepare(conditioning, architecture)
    size = architecture.codec
    output = torch.zeros(1, head_channels(architecture), 3, 2, 8)
    fine, cells = 3 * 64, 4 * 16  # frames x coarse pixels of one field
    output[:, :fine, 0, :, :4] = 0.125  # the picture's fill
    rgb, points = moved_pictures(output, inputs, size)
    still, same = frozen_world(inputs)
    hole = torch.zeros(16, 32, dtype=torch.bool)
    hole[2:11, 3:10] = True
    scene = ~robot_in_front(inputs, inputs.background_points[:, :, None])[0, 0]
    assert torch.allclose(rgb[0, :, 5][:, hole & scene[5]], still[0, :, 5][:, hole & scene[5]] + 0.125, atol=1e-4)
    assert torch.allclose(rgb[0, :, 5][:, ~hole], still[0, :, 5][:, ~hole], atol=1e-4)
    assert torch.allclose(points, same, atol=1e-4)
    assert torch.equal(rgb[:, :, 0], inputs.first_rgb)
    lit = output.clone()
    lit[:, fine : fine + cells, 1:, :, :4] = -0.25  # red light goes
    darker, _ = moved_pictures(lit, inputs, size)
    left_of_red = np.exp(1.2 * np.tanh(-0.25))
    assert torch.allclose(darker[:, 0, 1:] + 1, left_of_red * (rgb[:, 0, 1:] + 1), atol=1e-4)
    assert torch.allclose(darker[:, 1:], rgb[:, 1:])


def test_the_shade_falls_on_everything_but_the_robot(conditioning: Conditioning, architecture: Architecture) -> None:
    inputs, _ = prepare(conditioning, replace(architecture, light_grid=3))
    silent = torch.zeros(1, head_channels(architecture), 3, 2, 8)
    shade = torch.zeros(1, 64, 3, 2, 8)
    shade[:, :, 1:, :, :4] = -0.5
    rgb, points = moved_pictures(torch.cat([silent, shade], dim=1), inputs, architecture.codec)
    lit, same = frozen_world(inputs)
    robot = robot_in_front(inputs, inputs.background_points[:, :, None])[:, :, 1:].expand_as(rgb[:, :, 1:])
    assert 0.03 < robot.float().mean() < 0.9
    assert torch.allclose(rgb[:, :, 1:][robot], lit[:, :, 1:][robot], atol=1e-4)
    assert torch.allclose(rgb[:, :, 1:][~robot] + 1, np.exp(-0.5) * (lit[:, :, 1:][~robot] + 1), atol=1e-4)
    assert torch.equal(rgb[:, :, 0], lit[:, :, 0])
    assert torch.allclose(points, same, atol=1e-4)


def test_the_robots_shadows_are_told_on_the_scene_behind_it(
    conditioning: Conditioning, architecture: Architecture
) -> None:
    towards = replace(conditioning, T_cam_base=np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (9, 1, 1)))
    inputs, _ = prepare(towards, replace(architecture, light_grid=3, light_slope=0.8))
    assert inputs.shadows.shape == (1, 9, 9, 8, 16)
    columns = torch.arange(16.0)
    robot = torch.from_numpy(conditioning.robot_mask)[:, 1::2, 1::2]
    left, straight, right, seen = (
        (part.float() * columns).sum() / part.sum() for part in (*inputs.shadows[0, [1, 4, 7]], robot)
    )
    assert abs(straight - seen) < 1.0  # light from where the camera is: what the robot hides lies in its shadow
    assert left > straight + 0.5  # light from the left of the base, which is the camera's left, too
    assert right < straight - 0.5
    none, _ = prepare(conditioning, architecture)
    assert none.shadows.shape == (1, 0, 9, 8, 16)


def test_the_robots_points_are_predicted_like_all_others(
    conditioning: Conditioning, architecture: Architecture
) -> None:
    inputs, _ = prepare(conditioning, architecture)
    output = torch.zeros(1, head_channels(architecture), 3, 2, 8)
    output[:, 3 * 64 : 3 * 64 + 64, 1:, :, 4:] = 0.125  # it goes away
    _, points = moved_pictures(output, inputs, architecture.codec)
    _, still = frozen_world(inputs)
    away = (points - still)[:, 2, 1:]
    robot = robot_in_front(inputs, inputs.background_points[:, :, None])[:, 0, 1:]
    assert torch.allclose(away[robot], torch.tensor(0.2 * 0.125), atol=1e-4)
    assert torch.allclose(away[~robot], torch.tensor(0.0), atol=1e-4)
    assert torch.allclose(points, inputs.on_rays(points[:, 2:]), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 10}, "frames must be"),
        ({"height": 24}, "height must be a multiple of 16"),
        ({"codec": CodecSize("pixels", 8, 4, 16)}, "768 latent channels, got 16"),
        ({"prior": "first_frame"}, "head 'motion'"),
        ({"first_frame_geometry": "ramp"}, "measured"),
        ({"condition": "actions"}, "action_size"),
        ({"light_grid": 2}, "light_grid must be 0, or at least 3"),
        ({"light_grid": 5, "head": "residual"}, "with head 'motion'"),
        ({"light_grid": 5, "light_slope": 0.0}, "light_slope above 0"),
        ({"continues_surfaces": True, "head": "residual"}, "continues_surfaces needs head 'motion'"),
        ({"moves_objects": True}, "moves_objects needs continues_surfaces"),
        ({"head": "velocity", "reads_noise": False}, "reads_noise must be true"),
        ({"injection_rank": -1}, "injection_rank must be at least 0, got -1"),
    ],
)
def test_an_architecture_checks_itself(architecture: Architecture, change: dict[str, object], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        replace(architecture, **change)
