"""Where light comes from, told from a first picture that was lit by a known one."""

import numpy as np
import pytest
import torch

from k4d_world_model.wan.robot_shade import Lighting, RobotShade, shade_parameters

GRID, FRAMES, HEIGHT, WIDTH = 5, 4, 20, 28
TAKEN = 0.8  # logarithm of what the light takes away


def shadows_of(generator: np.random.Generator) -> torch.Tensor:
    """A block's shadows (K, T, h, w): light from direction (x, y) throws them 2 x cells down and 2 y to the right."""
    shadows = torch.zeros(GRID * GRID, FRAMES, HEIGHT, WIDTH)
    row, column = generator.integers(5, 9, 2)
    for k in range(GRID * GRID):
        down, right = 2 * (k // GRID) - 4, 2 * (k % GRID) - 4
        for t in range(FRAMES):
            top, left = row + down, column + 3 * t + right
            shadows[k, t, top : top + 5, left : left + 6] = 1.0
    return shadows


def scene(seed: int) -> tuple[Lighting, int, torch.Tensor]:
    """A lighting (b = 1), its true direction, and the true shade (T - 1, h, w)."""
    generator = np.random.default_rng(seed)
    shadows, true = shadows_of(generator), int(generator.integers(GRID * GRID))
    texture = 0.2 * torch.from_numpy(generator.standard_normal((HEIGHT, WIDTH))).float()
    brightness = texture - TAKEN * shadows[true, 0]
    known = torch.ones(1, 1, HEIGHT, WIDTH)
    known[..., :3] = 0.0
    shade = TAKEN * (shadows[true, :1] - shadows[true, 1:])
    return Lighting(shadows[None], brightness[None, None], known), true, shade


def batch(scenes: list[tuple[Lighting, int, torch.Tensor]]) -> tuple[Lighting, torch.Tensor]:
    lightings, _, shades = zip(*scenes, strict=True)
    return Lighting(*(torch.cat(part) for part in zip(*lightings, strict=True))), torch.stack(shades)[:, None]


def test_a_new_one_changes_nothing():
    lighting, _, _ = scene(0)
    assert not RobotShade(GRID)(lighting).any()


def test_the_parameters_are_counted():
    assert shade_parameters(GRID) == sum(p.numel() for p in RobotShade(GRID).parameters())
    assert shade_parameters(0) == 0


def test_it_learns_where_light_comes_from_and_how_strong_it_is():
    torch.manual_seed(0)
    model = RobotShade(GRID)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(150):
        lighting, shade = batch([scene(1000 + 8 * step + i) for i in range(8)])
        loss = ((model(lighting) - shade) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, left, before = 0, 0.0, 0.0
    with torch.no_grad():
        for seed in range(20):
            lighting, true, shade = scene(seed)
            weights = model.weights(lighting)[0]
            found += int(weights.argmax()) == true
            left += float(((model(lighting)[0, 0] - shade) ** 2).sum())
            before += float((shade**2).sum())
    assert found >= 18
    assert left < 0.2 * before


def test_pixels_that_the_robot_hides_say_nothing():
    torch.manual_seed(0)
    model = RobotShade(GRID)
    torch.nn.init.normal_(model.layers[-1].weight, std=0.1)
    lighting, _, _ = scene(2)
    other = lighting.brightness.clone()
    other[..., :3] += 7.0
    assert torch.equal(model.weights(lighting), model.weights(lighting._replace(brightness=other)))
    assert not torch.equal(model.weights(lighting), model.weights(lighting._replace(brightness=lighting.brightness**2)))


@pytest.mark.parametrize("frames", [2, 4])
def test_the_first_frame_is_the_reference(frames):
    lighting, _, _ = scene(3)
    model = RobotShade(GRID)
    torch.nn.init.constant_(model.layers[-1].bias, 0.1)
    still = lighting._replace(shadows=lighting.shadows[:, :, :1].expand(-1, -1, frames, -1, -1))
    assert model(still).shape == (1, 1, frames - 1, HEIGHT, WIDTH)
    assert not model(still).any()
    assert model(lighting).any()
