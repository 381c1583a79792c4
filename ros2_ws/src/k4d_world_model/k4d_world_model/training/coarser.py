"""Clips made smaller, for the early stages of a run."""

from einops import rearrange
from torch import Tensor
from torch.nn import functional

from k4d_world_model.training.clip import TrainingClip
from k4d_world_model.training.config import StageSettings


def coarser(batch: TrainingClip, stage: StageSettings) -> TrainingClip:
    """The batch with every ``frame_step``-th frame at the stage's height and width.

    Pixels are sampled, not averaged, so that pictures, points, masks and rays still belong together.
    """
    step, size = stage.frame_step, (stage.height, stage.width)
    inputs = batch.inputs
    smaller = inputs._replace(
        first_rgb=_sampled(inputs.first_rgb, size),
        first_points=_sampled(inputs.first_points, size),
        robot_rgb=_video(inputs.robot_rgb, step, size),
        robot_points=_video(inputs.robot_points, step, size),
        robot_mask=_sampled(inputs.robot_mask[:, ::step].float(), size) > 0,
        background_rgb=_sampled(inputs.background_rgb, size),
        background_points=_sampled(inputs.background_points, size),
        rays=_sampled(inputs.rays, size),
        actions=inputs.actions[:, ::step],
    )
    return batch._replace(
        inputs=smaller,
        rgb=_video(batch.rgb, step, size),
        points=_video(batch.points, step, size),
        valid=_sampled(batch.valid[:, ::step].float(), size) > 0,
    )


def _video(frames: Tensor, step: int, size: tuple[int, int]) -> Tensor:
    """Every ``step``-th frame of (b, c, T, H, W) in another size."""
    chosen = frames[:, :, ::step]
    smaller = _sampled(rearrange(chosen, "b c t h w -> (b t) c h w"), size)
    return rearrange(smaller, "(b t) c h w -> b c t h w", b=len(frames))


def _sampled(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """The pixels (b, c, *size) of (b, c, H, W) whose centres are nearest."""
    return functional.interpolate(pictures, size=size, mode="nearest-exact")
