"""Things on their way: where they are seen, what they leave, and how far their way is believed."""

import numpy as np
import pytest
import torch

from k4d_kinematics import Camera
from k4d_world_model.movers import EVIDENCE
from k4d_world_model.wan.inputs import Inputs
from k4d_world_model.wan.object_motion import ObjectMotion, left_places, motion_parameters, moved_layers, over_scene

FRAMES, HEIGHT, WIDTH = 4, 20, 32
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 40.0, 44.0, 15.0, 9.0)
SCALE, OFFSET = 0.5, 1.0
FLOOR, THING = 1.2, 1.0  # metres


def at(row: float, column: float, depth: float) -> list[float]:
    """The point that a pixel shows at a depth."""
    return [(column - 15.0) / 40.0 * depth, (row - 9.0) / 44.0 * depth, depth]


def inputs_of(path: list[list[float]]) -> Inputs:
    """A thing of 4 x 6 pixels, red before a dark floor, that goes along ``path``; a second mover has no pixels."""
    rays = np.concatenate([CAMERA.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    pixels = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    pixels[0, 8:12, 5:11] = True
    depth = np.where(pixels[0], THING, FLOOR)
    points = (rays * depth[..., None] - [0, 0, OFFSET]) / SCALE
    behind = (rays * FLOOR - [0, 0, OFFSET]) / SCALE
    rgb = np.where(pixels[0, ..., None], [0.8, -0.9, -0.9], [-0.5, -0.5, -0.5])
    ways = np.zeros((2, FRAMES, 3), np.float32)
    ways[0] = path
    empty = torch.zeros(1, 0, FRAMES, HEIGHT, WIDTH)

    def planes(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(values, -1, 0).astype(np.float32))[None]

    first = planes(rgb)
    return Inputs(
        first_rgb=first, first_points=planes(points), robot_rgb=empty, robot_points=empty, robot_mask=empty,
        background_rgb=first, background_points=planes(points), rays=planes(rays), scale=torch.full((1, 3), SCALE),
        offset=torch.tensor([[0.0, 0.0, OFFSET]]), actions=empty, shadows=empty, surfaces=empty,
        behind_rgb=torch.full_like(first, -0.5), behind_points=planes(behind),
        mover_pixels=torch.from_numpy(pixels)[None], mover_path=torch.from_numpy(ways)[None],
        mover_evidence=torch.zeros(1, 2, FRAMES, EVIDENCE),
    )  # fmt: skip


MIDDLE = at(9.5, 7.5, THING)


def test_a_thing_is_seen_where_its_middle_went():
    aside = at(9.5, 17.5, THING)
    layers = moved_layers(inputs_of([MIDDLE, MIDDLE, aside, aside]))
    share = layers.share[0, 0]
    assert not share[0].any()  # it has not moved
    there = torch.zeros(HEIGHT, WIDTH)
    there[8:12, 15:21] = 1.0
    assert torch.allclose(share[1], there, atol=1e-4)
    seen = there > 0
    assert torch.allclose(layers.rgb[0, 0, :, 1][:, seen].T, torch.tensor([0.8, -0.9, -0.9]), atol=1e-4)
    assert torch.allclose(layers.depth[0, 0, 1][seen], torch.tensor((THING - OFFSET) / SCALE), atol=1e-4)
    left = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    left[7:13, 4:12] = True
    assert not layers.left[0, 0, 0].any()
    assert torch.equal(layers.left[0, 0, 1], left)
    assert not layers.share[0, 1].any()


def test_a_nearer_thing_is_larger():
    half_way = at(9.5, 7.5, THING / 2)
    layers = moved_layers(inputs_of([MIDDLE, half_way, half_way, half_way]))
    assert float(layers.share[0, 0, 0].sum()) == pytest.approx(4 * 4 * 6, rel=0.1)
    assert float(layers.share[0, 0, 0][9, 7]) == pytest.approx(1.0)
    assert float(layers.depth[0, 0, 0][9, 7]) == pytest.approx((THING / 2 - OFFSET) / SCALE, abs=1e-4)


def test_believed_things_leave_their_place_and_hide_what_they_are_before():
    inputs = inputs_of([MIDDLE, at(9.5, 17.5, THING), at(9.5, 17.5, 1.19), at(9.5, 17.5, 1.5)])
    layers = moved_layers(inputs)
    belief = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
    empty = left_places(layers, belief)
    assert empty.shape == (1, 1, 3, HEIGHT, WIDTH)
    assert float(empty[0, 0, 0, 9, 7]) == 1.0
    assert not left_places(layers, 0 * belief).any()
    scene_rgb = inputs.behind_rgb[:, :, None].expand(-1, -1, 3, -1, -1)
    scene_depth = inputs.behind_points[:, 2:, None].expand(-1, -1, 3, -1, -1)
    rgb, depth = over_scene(scene_rgb, scene_depth, layers, belief, inputs)
    assert float(rgb[0, 0, 0, 9, 17]) == pytest.approx(0.8, abs=1e-4)
    assert float(rgb[0, 0, 1, 9, 17]) == pytest.approx(0.8, abs=1e-4)
    assert float(rgb[0, 0, 2, 9, 17]) == pytest.approx(-0.5)  # behind the floor
    assert float(depth[0, 0, 2, 9, 17]) == pytest.approx((FLOOR - OFFSET) / SCALE)
    half, _ = over_scene(scene_rgb, scene_depth, layers, 0.5 * belief, inputs)
    assert float(half[0, 0, 0, 9, 17]) == pytest.approx(0.15, abs=1e-4)


def test_a_new_one_believes_contact_and_learns_when_not_to():
    torch.manual_seed(0)
    model = ObjectMotion()
    assert motion_parameters() == sum(p.numel() for p in model.parameters())
    evidence = torch.rand(3, 2, 9, EVIDENCE)
    assert model(evidence).shape == (3, 2, 8)
    assert (model(evidence) > 0.9).all()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        evidence = torch.rand(8, 2, 9, EVIDENCE)
        held = (evidence[..., 2:3].mean(dim=2, keepdim=True) > 0.5).float().expand_as(evidence[..., 2:3])
        evidence[..., 2:3] = held
        loss = ((model(evidence) - held[:, :, 1:, 0]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05
