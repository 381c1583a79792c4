"""PSNR and SSIM against scikit-image and against hand-made cases."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import correlate
from skimage.metrics import peak_signal_noise_ratio

from k4d_world_model.errors import WorldModelError
from k4d_world_model.evaluation.figure import Figure, figure_of, no_figure
from k4d_world_model.evaluation.image_metrics import psnr, ssim, temporal_psnr

SHAPE = (3, 19, 26)


@pytest.fixture
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    noise = generator.integers(-30, 31, truth.shape)
    return np.clip(truth.astype(int) + noise, 0, 255).astype(np.uint8), truth


def test_psnr_is_that_of_scikit_image_over_the_chosen_pixels(pair: tuple[NDArray[np.uint8], ...]) -> None:
    predicted, truth = pair
    mask = np.random.default_rng(4).random(SHAPE) < 0.3
    assert psnr(predicted, truth).value == pytest.approx(peak_signal_noise_ratio(truth, predicted), abs=1e-10)
    expected = peak_signal_noise_ratio(truth[mask], predicted[mask])
    assert psnr(predicted, truth, mask).value == pytest.approx(expected, abs=1e-10)
    assert psnr(np.full_like(truth, 7), np.full_like(truth, 12)).value == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(truth, truth).value == math.inf


def test_temporal_psnr_compares_neighbours(pair: tuple[NDArray[np.uint8], ...]) -> None:
    rgb = np.zeros((4, 5, 6, 3), np.uint8)
    rgb[2:] = 10  # one of three steps changes by 10
    assert temporal_psnr(rgb).value == pytest.approx(10 * math.log10(255**2 / (100 / 3)))
    assert temporal_psnr(rgb[:1]) == no_figure("the region has no pixel")


def gaussian_window() -> NDArray[np.float64]:
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line)
    return np.asarray(window / window.sum())


def ssim_by_definition(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The map of one channel by Wang's equation 13, with the two-dimensional window written out."""
    window = gaussian_window()
    x, y = predicted.astype(float), truth.astype(float)
    mx, my = correlate(x, window), correlate(y, window)
    vx, vy, vxy = correlate(x * x, window) - mx**2, correlate(y * y, window) - my**2, correlate(x * y, window) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.asarray((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def test_ssim_is_the_definition_averaged_over_frames_channels_and_inner_pixels(
    pair: tuple[NDArray[np.uint8], ...],
) -> None:
    predicted, truth = pair
    maps = np.stack([
        np.stack([ssim_by_definition(predicted[t, ..., c], truth[t, ..., c]) for c in range(3)], -1) for t in range(3)
    ])[:, 5:-5, 5:-5]  # fmt: skip
    assert ssim(predicted, truth).value == pytest.approx(maps.mean(), abs=1e-10)
    mask = np.zeros(SHAPE, bool)
    mask[0, 6:9, 7:12], mask[2, 11, 3:] = True, True
    expected = [maps[0, 1:4, 2:7].mean(), maps[2, 6].mean()]
    assert ssim(predicted, truth, mask).value == pytest.approx(np.mean(expected), abs=1e-10)
    assert ssim(truth, truth).value == pytest.approx(1.0)


def test_no_pixel_is_no_figure(pair: tuple[NDArray[np.uint8], ...]) -> None:
    predicted, truth = pair
    assert psnr(predicted, truth, np.zeros(SHAPE, bool)) == no_figure("the region has no pixel")
    border = np.zeros(SHAPE, bool)
    border[:, :5] = True
    assert "from the border" in ssim(predicted, truth, border).reason
    assert ssim(predicted, truth, border).value is None
    for wrong in (lambda: Figure(math.nan), lambda: Figure(None), lambda: Figure(1.0, "why")):
        with pytest.raises(ValueError, match="figure"):
            wrong()
    assert figure_of(math.nan, "nothing moved") == Figure(None, "nothing moved")
    assert math.isnan(figure_of(math.nan, "nothing moved").number)


def test_unusable_pictures_are_refused(pair: tuple[NDArray[np.uint8], ...]) -> None:
    predicted, truth = pair
    with pytest.raises(WorldModelError, match=r"one shape .*\(2, 19, 26, 3\)"):
        psnr(predicted, truth[1:])
    with pytest.raises(WorldModelError, match="must be uint8, got uint8 and float64"):
        psnr(predicted, truth / 1.0)
    with pytest.raises(WorldModelError, match=r"a mask must be bool of shape \(3, 19, 26\)"):
        ssim(predicted, truth, np.ones(SHAPE[1:], bool))
    with pytest.raises(WorldModelError, match="at least 11 x 11 px"):
        ssim(predicted[:, :10], truth[:, :10])
