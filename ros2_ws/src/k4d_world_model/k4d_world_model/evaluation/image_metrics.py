"""How alike pictures are: PSNR and SSIM, over all pixels or those of a region."""

import math

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from k4d_world_model.errors import WorldModelError
from k4d_world_model.evaluation.figure import Figure, no_figure

RGB_PEAK = 255.0
SSIM_SIGMA_PX = 1.5
# Half of the window: the Gaussian ends 3.5 sigma from its middle.
SSIM_BORDER_PX = int(3.5 * SSIM_SIGMA_PX + 0.5)

NO_PIXEL = "the region has no pixel"


def psnr(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> Figure:
    """Peak signal-to-noise ratio in dB of pictures (..., H, W, 3) uint8: ``10 log10(255^2 / MSE)``.

    MSE is one mean over all levels of the pixels where ``mask`` (..., H, W) is True, all frames and channels together;
    equal pictures have an infinite ratio. No figure where the mask is empty. Raises WorldModelError on other shapes or
    types.
    """
    _check(predicted, truth, mask)
    errors = predicted.astype(np.int32) - truth
    chosen = errors if mask is None else errors[mask]
    if not chosen.size:
        return no_figure(NO_PIXEL)
    mean_square = float(np.mean(np.square(chosen), dtype=np.float64))
    return Figure(math.inf if mean_square == 0 else 10.0 * math.log10(RGB_PEAK**2 / mean_square))


def temporal_psnr(rgb: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> Figure:
    """PSNR between consecutive frames of (T, H, W, 3): frame t + 1 against frame t where ``mask`` (T - 1, H, W) is.

    No figure for a single frame. Raises WorldModelError on other shapes or types.
    """
    return psnr(rgb[1:], rgb[:-1], mask)


def ssim(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> Figure:
    """Structural similarity of pictures (T, H, W, 3) uint8 (Wang et al. 2004): the mean over frames.

    A frame's is the mean of its map over channels and pixels, of ``mask`` (T, H, W) where one is given; the map comes
    from a Gaussian window of 11 x 11 pixels with sigma 1.5, population covariance, K1 = 0.01, K2 = 0.03 and L = 255.
    The 5 pixels along the border, whose window would leave the picture, do not count. A frame without a pixel of the
    mask has no share; no figure where no frame has one. Raises WorldModelError on other shapes or types and on pictures
    that are smaller than the window.
    """
    _check(predicted, truth, mask)
    smallest = 2 * SSIM_BORDER_PX + 1
    if predicted.ndim != 4 or min(predicted.shape[1:3]) < smallest:
        raise WorldModelError(
            f"SSIM needs pictures (T, H, W, 3) of at least {smallest} x {smallest} px, got {predicted.shape}"
        )
    frames = []
    inner = (slice(SSIM_BORDER_PX, -SSIM_BORDER_PX),) * 2
    for t in range(len(predicted)):
        chosen = np.ones(predicted.shape[1:3], np.bool_)[inner] if mask is None else mask[t][inner]
        if chosen.any():
            frames.append(float(_ssim_map(predicted[t], truth[t])[inner][chosen].mean()))
    if not frames:
        return no_figure(f"{NO_PIXEL} beyond {SSIM_BORDER_PX} px from the border")
    return Figure(float(np.mean(frames)))


def _ssim_map(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
        predicted, truth, channel_axis=-1, data_range=RGB_PEAK, gaussian_weights=True, sigma=SSIM_SIGMA_PX,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    return np.asarray(similarity, np.float64)


def _check(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> None:
    if predicted.shape != truth.shape or predicted.ndim < 3 or predicted.shape[-1] != 3:
        raise WorldModelError(f"pictures must be of one shape (..., H, W, 3), got {predicted.shape} and {truth.shape}")
    if predicted.dtype != np.uint8 or truth.dtype != np.uint8:
        raise WorldModelError(f"pictures must be uint8, got {predicted.dtype} and {truth.dtype}")
    if mask is not None and (mask.shape != predicted.shape[:-1] or mask.dtype != np.bool_):
        raise WorldModelError(f"a mask must be bool of shape {predicted.shape[:-1]}, got {mask.dtype} {mask.shape}")
