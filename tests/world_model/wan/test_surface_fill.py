"""Which surface is seen behind the robot, learnt on holes whose answer is known."""

import numpy as np
import torch

from k4d_world_model.still_scene import SURFACES
from k4d_world_model.wan.surface_fill import SurfaceFill, Surfaces, fill_parameters

HEIGHT, WIDTH = 18, 30


def scene(seed: int) -> tuple[Surfaces, torch.Tensor]:
    """A hole before a wall and a nearer shelf that may be everywhere, but ends at a line, and the true depth."""
    generator = np.random.default_rng(seed)
    y = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    wall, shelf = np.full((HEIGHT, WIDTH), 2.0), 1.0 / (0.6 + 0.02 * y)
    reached = np.zeros((SURFACES, HEIGHT, WIDTH))
    reached[0] = 1
    reached[1] = y >= int(generator.integers(4, 9))
    ends = y < HEIGHT - int(generator.integers(3, 7))
    reached[2] = ~ends  # a third surface, behind the others, tells where the shelf ends
    truth = np.where((reached[1] > 0) & ends, shelf, wall)
    hole = np.zeros((HEIGHT, WIDTH))
    hole[3:17, 10 : 14 + int(generator.integers(8))] = 1
    depths = np.stack([wall, shelf, np.full_like(wall, 2.5), *[np.full_like(wall, 3.0)] * (SURFACES - 3)])
    filled = np.where(hole > 0, 1.6, truth)
    parts = (depths, reached, filled[None], hole[None])
    return Surfaces(*(torch.from_numpy(part.astype(np.float32))[None] for part in parts)), torch.from_numpy(truth)


def error(model: SurfaceFill, seed: int) -> torch.Tensor:
    surfaces, truth = scene(seed)
    hole = surfaces.hole[0, 0] > 0
    return (((surfaces.filled + model(surfaces))[0, 0] - truth)[hole] ** 2).mean()


def test_a_new_one_takes_the_nearest_surface_that_may_be_there():
    surfaces, _ = scene(0)
    inside = surfaces.hole[0, 0] > 0
    changed = (surfaces.filled + SurfaceFill()(surfaces))[0, 0]
    nearest = torch.where(surfaces.reached > 0, surfaces.depths, torch.inf).amin(dim=1)[0]
    assert torch.allclose(changed[inside], nearest[inside], atol=2e-3)
    assert torch.equal(changed[~inside], surfaces.filled[0, 0][~inside])


def test_where_no_surface_may_be_the_fill_stays():
    surfaces, _ = scene(0)
    nowhere = surfaces._replace(reached=torch.zeros_like(surfaces.reached))
    assert SurfaceFill()(nowhere).abs().max() < 2e-3


def test_the_parameters_are_counted():
    assert fill_parameters() == sum(p.numel() for p in SurfaceFill().parameters())


def test_it_learns_when_the_nearest_surface_is_the_wrong_one():
    torch.manual_seed(0)
    model = SurfaceFill()
    before = sum(float(error(model, seed)) for seed in range(12))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        loss = torch.stack([error(model, 100 + 4 * step + i) for i in range(4)]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        left = sum(float(error(model, seed)) for seed in range(12))
    assert before > 0.5
    assert left < 0.1 * before
