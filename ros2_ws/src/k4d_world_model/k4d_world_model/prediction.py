"""What every world model does around its prediction: look at the robot first, measure, and make metres at the end."""

import resource
import time
import traceback
from importlib import metadata
from types import TracebackType

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.normalization import Normalization
from k4d_world_model.errors import PredictionError, RobotNotVisibleError
from k4d_world_model.metric_recovery import EVEN_FRAMES, apply, recover_metric, robot_distance
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

# Part of a clip's pixels that must show the robot: 7 of 96 x 144 in the mean of its frames.
SMALLEST_ROBOT_PART = 1 / 2000

_PACKAGES = ("k4d_world_model", "torch", "diffusers", "transformers", "numpy")


class Measurement:
    """Wall seconds and peak memory of a ``with`` block on a device.

    However the block ends, what it allocated is free afterwards: the frames of an error let go of their variables,
    and CUDA's unused blocks go back to the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = 0.0
        self.seconds = 0.0
        self.peak_memory_bytes = 0

    def __enter__(self) -> "Measurement":
        self._started = time.perf_counter()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        if frames is not None:
            traceback.clear_frames(frames)
        if self._device.type == "cuda":
            self.peak_memory_bytes = torch.cuda.max_memory_allocated(self._device)
            torch.cuda.empty_cache()
        else:
            self.peak_memory_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check_visible(conditioning: Conditioning) -> None:
    """Raises RobotNotVisibleError when the robot covers less than SMALLEST_ROBOT_PART of the clip's pixels."""
    mask = conditioning.robot_mask
    needed = int(np.ceil(SMALLEST_ROBOT_PART * mask.size))
    if (found := int(np.count_nonzero(mask))) < needed:
        raise RobotNotVisibleError(
            f"the robot covers {found} of {mask.size} pixels in {len(mask)} frames, {needed} are needed: "
            "is it in the camera's view, and are camera and robot calibrated to each other?"
        )


def rollout_of(
    rgb: Tensor,
    points: Tensor,
    normalization: Normalization,
    conditioning: Conditioning,
    provenance: Provenance,
    *,
    is_metric: bool = False,
) -> Rollout:
    """The rollout of predicted pictures and normalised points (3, T, H, W).

    Pictures are cut to [-1, 1], which levels 0 to 255 stand for. Points become metres by ``normalization``, then by an
    affine fit to the robot's known points on the even frames, unless the normalisation ``is_metric`` for every clip
    alike; the robot's points are never written into them. Valid are finite points in front of the camera. Raises
    PredictionError for pictures that are not finite, and where no point is valid.
    """
    if not rgb.isfinite().all():
        count = int((~rgb.isfinite()).sum())
        raise PredictionError(f"pictures must be finite, the model gave {count} of {rgb.numel()} values that are not")
    levels = rearrange(((rgb.float().clamp(-1.0, 1.0) + 1.0) * 127.5).round(), "c t h w -> t h w c")
    planes = rearrange(points.float(), "c t h w -> t h w c").cpu().numpy()
    normalised_metres = (planes * normalization.scale + normalization.offset).astype(np.float32)
    known = (conditioning.robot_points, conditioning.robot_mask)
    fit = (
        _no_fit(robot_distance(normalised_metres, *known, frames=EVEN_FRAMES))
        if is_metric
        else recover_metric(normalised_metres, *known, frames=EVEN_FRAMES)
    )
    metres = apply(fit, normalised_metres)
    valid = np.isfinite(metres).all(axis=-1) & (metres[..., 2] > 0)
    if not valid.any():
        raise PredictionError(f"the model gave no finite point in front of the camera in {len(valid)} frames")
    metres[~valid] = np.nan
    return Rollout(
        rgb=levels.to(torch.uint8).cpu().numpy(),
        points=metres,
        valid=valid,
        times=conditioning.times,
        camera=conditioning.camera,
        T_cam_base=conditioning.T_cam_base,
        fit=fit,
        provenance=provenance,
        joints=conditioning.joints,
    )


def _no_fit(residual: float) -> MetricFit:
    return MetricFit(np.ones(3), np.zeros(3), residual, 0, "the model predicts metres")


def installed_versions() -> tuple[tuple[str, str], ...]:
    """(package, version) of what takes part in a prediction."""
    return tuple((name, metadata.version(name)) for name in _PACKAGES)
