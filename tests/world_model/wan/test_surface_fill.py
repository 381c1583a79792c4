"""Which surface goes on behind the robot, learnt on holes whose answer is known."""

import numpy as np
import torch

from k4d_world_model.continuation import continued_depths
from k4d_world_model.wan.surface_fill import SurfaceFill, Surfaces, fill_parameters

HEIGHT, WIDTH = 18, 30


def scene(seed: int) -> tuple[Surfaces, torch.Tensor]:
    """A hole before a wall and a nearer table below it, filled with the mean of both, and the true depth."""
    generator = np.random.default_rng(seed)
    y = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    edge = int(generator.integers(5, 13))
    truth = np.where(y < edge, 2.0, 1.0 / (0.5 + 0.03 * (y - edge)))
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[4:14, 10 : 14 + int(generator.integers(8))] = True
    filled = np.where(hole, truth[~hole].mean(), truth)
    depths, distances = continued_depths(filled, hole)
    parts = (depths, distances, filled[None], hole[None])
    return Surfaces(*(torch.from_numpy(part.astype(np.float32))[None] for part in parts)), torch.from_numpy(truth)


def error(model: SurfaceFill, seed: int) -> tuple[torch.Tensor, float]:
    surfaces, truth = scene(seed)
    hole = surfaces.hole[0, 0] > 0
    got = (surfaces.filled + model(surfaces))[0, 0]
    return ((got - truth)[hole] ** 2).mean(), float(((surfaces.filled[0, 0] - truth)[hole] ** 2).mean())


def test_a_new_one_takes_what_two_sides_agree_on_and_else_the_fill():
    surfaces, _ = scene(0)
    depths = torch.tensor([1.0, 1.0, 3.0, 5.0]).view(1, 4, 1, 1).expand(-1, -1, HEIGHT, WIDTH)
    inside = surfaces.hole[0, 0] > 0
    changed = SurfaceFill()(surfaces._replace(depths=surfaces.filled + depths))[0, 0]
    assert torch.allclose(changed[inside], torch.tensor(1.0), atol=0.2)
    assert not changed[~inside].any()
    apart = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)
    assert (SurfaceFill()(surfaces._replace(depths=surfaces.filled + apart)).abs() < 0.3).all()
    gone = surfaces._replace(depths=surfaces.filled + depths, distances=0 * surfaces.distances)
    assert not SurfaceFill()(gone).any()


def test_the_parameters_are_counted():
    assert fill_parameters() == sum(p.numel() for p in SurfaceFill().parameters())


def test_it_learns_to_take_the_surfaces_that_agree():
    torch.manual_seed(0)
    model = SurfaceFill()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(120):
        loss = torch.stack([error(model, 100 + 4 * step + i)[0] for i in range(4)]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        left, before = zip(*(error(model, seed) for seed in range(12)), strict=True)
    assert sum(map(float, left)) < 0.1 * sum(before)
