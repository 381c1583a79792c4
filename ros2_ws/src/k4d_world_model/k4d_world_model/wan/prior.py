"""What a prediction may start from: a still first frame, or the frozen world, in which nothing but the robot moves."""

import torch
from torch import Tensor

from k4d_world_model.wan.inputs import Inputs


def still_world(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W): the first frame and what stands beside it, T times."""
    frames = inputs.robot_mask.shape[1]
    rgb, points = (
        first[:, :, None].expand(-1, -1, frames, -1, -1) for first in (inputs.first_rgb, inputs.first_points)
    )
    return rgb, points


def frozen_world(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W): the first frame itself, then the filled background with the robot before it.

    The robot is drawn where it is nearer than the background.
    """
    rgb, points = over_background(inputs, inputs.background_rgb[:, :, None], inputs.background_points[:, :, None])
    rgb = torch.cat([inputs.first_rgb[:, :, None], rgb[:, :, 1:]], dim=2)
    return rgb, torch.cat([inputs.first_points[:, :, None], points[:, :, 1:]], dim=2)


def robot_in_front(inputs: Inputs, points: Tensor) -> Tensor:
    """Where (b, 1, T, H, W) the robot hides normalised points (b, 3, T or 1, H, W)."""
    return inputs.robot_mask[:, None] & (inputs.robot_points[:, 2:] <= points[:, 2:])


def over_background(inputs: Inputs, rgb: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures and points (b, 3, T, H, W) of the robot drawn over a scene (b, 3, T or 1, H, W)."""
    seen = robot_in_front(inputs, points)
    return torch.where(seen, inputs.robot_rgb, rgb), torch.where(seen, inputs.robot_points, points)
