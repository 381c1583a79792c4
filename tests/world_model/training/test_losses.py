"""Losses, noise levels, learning rates and averages against their formulas in plain Python and numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from torch import nn
from torch.utils.data import default_collate

from k4d_world_model.training.config import BudgetSettings, LossSettings, ScheduleSettings
from k4d_world_model.training.losses import Problem, draw_sigma, known_latents, losses
from k4d_world_model.training.optimisation import MovingAverage, learning_rate, progress
from k4d_world_model.training.pixel_clips import encoded_pixels
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.head import clean_latents, head_channels

from .conftest import ARCHITECTURE, FRAMES, HEIGHT, PLAIN, WIDTH

CODEC = PixelCodec(ARCHITECTURE.codec)
VELOCITY = replace(PLAIN, head="velocity")
RESIDUAL = replace(PLAIN, head="residual")


@pytest.fixture
def problem(clip) -> Problem:
    batch = default_collate([clip, clip])
    encoded, clean, known = encoded_pixels(batch, ARCHITECTURE, CODEC, torch.device("cpu"))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    return Problem(encoded, clean, noise, torch.tensor([0.25, 1.0]), known)


def test_sigma_is_even_over_its_levels_and_moved_by_the_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = np.array([draw_sigma(generator, LossSettings(), 1.0) for _ in range(4000)])
    assert drawn.min() >= 1 / 1000
    assert drawn.max() <= 1.0
    assert np.allclose(drawn * 1000, np.round(drawn * 1000))
    assert abs(drawn.mean() - 0.5005) < 0.015
    generator.manual_seed(0)
    shifted = np.array([draw_sigma(generator, LossSettings(), 3.0) for _ in range(4000)])
    assert np.allclose(shifted, 3 * drawn / (1 + 2 * drawn))


def test_the_noise_only_share_is_exactly_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    settings = LossSettings(noise_only_share=0.7)
    share = np.mean([draw_sigma(generator, settings, 1.0) == 1.0 for _ in range(3000)])
    assert abs(share - 0.7) < 0.03
    assert {draw_sigma(generator, LossSettings(noise_only_share=1.0), 2.0) for _ in range(20)} == {1.0}


def test_the_mixture_is_the_flows(problem) -> None:
    sigma = problem.sigma.view(-1, 1, 1, 1, 1)
    assert torch.allclose(problem.noisy, (1 - sigma) * problem.clean + sigma * problem.noise, atol=1e-6)


def test_a_right_velocity_has_no_loss_and_a_wrong_one_the_mean_square(problem) -> None:
    everything = problem._replace(known=(torch.ones(1, 1, 1, 1, 1),) * 2)
    right = problem.noise - problem.clean
    assert float(losses(right, everything, LossSettings(), VELOCITY, CODEC).total) == 0.0
    wrong = losses(right + 0.3, everything, LossSettings(), VELOCITY, CODEC)
    assert float(wrong.total) == pytest.approx(0.09, rel=1e-4)
    assert float(wrong.rgb) == pytest.approx(0.09 * (0.25**2 + 1) / 2, rel=1e-4)
    clean = losses(right + 0.3, everything, LossSettings("clean"), VELOCITY, CODEC)
    assert float(clean.total) == pytest.approx(0.09 * (0.25**2 + 1) / 2, rel=1e-4)


@pytest.mark.parametrize("kind", ["velocity", "clean"])
def test_the_weighted_loss_of_a_residual_model(problem, kind) -> None:
    """Element by element in numpy: the prediction is prior + output."""
    settings = LossSettings(kind, changed_weight=5.0, changed_thresholds=(0.3, 0.05), modality_weights=(1.0, 4.0))
    output = 0.1 * torch.randn(problem.clean.shape, generator=torch.Generator().manual_seed(8))
    clean, prior, sigma = (
        part.numpy().astype(np.float64) for part in (problem.clean, problem.encoded.prior, problem.sigma)
    )
    error = (prior + output.numpy() - clean) ** 2
    if kind == "velocity":
        error /= sigma[:, None, None, None, None] ** 2
    half = clean.shape[-1] // 2
    weights = np.ones_like(clean)
    weights[..., half:] = 4.0
    weights[..., :half] *= problem.known[0].numpy()
    weights[..., half:] *= problem.known[1].numpy()
    robot = problem.encoded.inputs.robot_mask[:, None].expand(-1, 3, -1, -1, -1)
    scene = CODEC.encode(1.0 - robot.float()).numpy() == 1.0
    assert 0.1 < scene.mean() < 0.9
    changed = np.where(np.concatenate([scene, scene], axis=-1), np.abs(clean - prior), 0.0)
    weights[..., :half][changed[..., :half] > 0.3] *= 5.0
    weights[..., half:][changed[..., half:] > 0.05] *= 5.0
    got = losses(output, problem, settings, RESIDUAL, CODEC)
    assert float(got.total) == pytest.approx((weights * error).mean(), rel=1e-4)
    assert 0 < (changed > 0.3).mean() < 0.9


def test_the_motion_heads_prediction_is_compared(problem) -> None:
    t, h, w = ARCHITECTURE.latent_grid
    shade = 4 * 2 * 2  # frames x cells of one field
    channels = head_channels(ARCHITECTURE) + shade
    output = torch.randn(2, channels, t, h, 2 * w, generator=torch.Generator().manual_seed(1))
    predicted = clean_latents(output, problem.noisy, problem.sigma, problem.encoded, ARCHITECTURE, CODEC)
    left, right = ((predicted - problem.clean) ** 2).chunk(2, dim=-1)
    got = losses(output, problem, LossSettings("clean"), ARCHITECTURE, CODEC)
    assert float(got.rgb) == pytest.approx(float((left * problem.known[0]).mean()), rel=1e-5)
    assert float(got.points) == pytest.approx(float((right * problem.known[1]).mean()), rel=1e-5)


def test_unknown_points_and_pixels_beside_the_robot_do_not_count(clip) -> None:
    robot = clip.inputs.robot_mask
    left, right = known_latents(clip.valid[None], robot[None], CODEC)
    rim = torch.from_numpy(np.stack([binary_dilation(mask, np.ones((3, 3))) for mask in robot.numpy()])) & ~robot
    assert rim.any()
    assert torch.equal(CODEC.decode(left)[0, 0] == 0, rim)
    unknown = ~clip.valid | rim
    assert float((right == 0).float().mean()) == pytest.approx(float(unknown.float().mean()))
    video = CODEC.decode(right.clone())[0]
    assert torch.equal(video[1] == 0, unknown)
    assert unknown.any()
    assert clip.valid.shape == (FRAMES, HEIGHT, WIDTH)


def test_the_rate_rises_holds_and_falls_along_a_cosine() -> None:
    cosine = ScheduleSettings("cosine", warm_up=4, hold_share=0.5, final_share=0.1)
    assert learning_rate(cosine, 2.0, 0, 0.0) == pytest.approx(2.0 / 5)
    assert learning_rate(cosine, 2.0, 4, 0.1) == learning_rate(cosine, 2.0, 90, 0.5) == 2.0
    assert learning_rate(cosine, 2.0, 90, 0.75) == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert learning_rate(cosine, 2.0, 90, 1.0) == pytest.approx(0.2)
    assert learning_rate(ScheduleSettings("constant", warm_up=0), 2.0, 0, 0.9) == 2.0


def test_progress_is_of_whichever_ends_first() -> None:
    assert progress(BudgetSettings(steps=10), 4, 1e9) == 0.4
    assert progress(BudgetSettings(minutes=2), 10**9, 30.0) == 0.25
    assert progress(BudgetSettings(steps=10, minutes=2), 4, 90.0) == 0.75
    assert progress(BudgetSettings(steps=10), 12, 0.0) == 1.0


def test_the_average_follows_its_recursion_and_goes_in_and_out() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(3.0)
    average, expected = MovingAverage(model, 0.6), 3.0
    for step, value in enumerate([5.0, 1.0, 4.0, 2.0], start=1):
        model.weight.data.fill_(value)
        average.update(step)
        kept = min(0.6, (step + 1) / (step + 10))
        expected = kept * expected + (1 - kept) * value
    with average.applied():
        assert model.weight.item() == pytest.approx(expected, rel=1e-6)
    assert model.weight.item() == 2.0
    without = MovingAverage(model, 0.0)
    without.update(1)
    with without.applied():
        assert model.weight.item() == 2.0
