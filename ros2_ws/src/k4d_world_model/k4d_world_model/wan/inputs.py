"""What a model reads, as tensors: the first frame and the robot, normalised, with the scene behind the robot filled."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """A batch of b conditionings of T frames, H x W pixels. Pictures and points are float32, about in [-1, 1].

    first_rgb, first_points: (b, 3, H, W) the first frame and what stands beside it: the ramp or measured points.
    robot_rgb, robot_points: (b, 3, T, H, W), -1 where there is no robot.
    robot_mask: (b, T, H, W) bool.
    background_rgb, background_points: (b, 3, H, W) the first frame with the robot taken out and the hole filled.
    rays: (b, 3, H, W) what a pixel sees at a depth of one metre, in the optical frame.
    scale, offset: (b, 3) metres = scale * normalised + offset.
    actions: (b, T, action_size), of size 0 where the model is not told any.
    """

    first_rgb: Tensor
    first_points: Tensor
    robot_rgb: Tensor
    robot_points: Tensor
    robot_mask: Tensor
    background_rgb: Tensor
    background_points: Tensor
    rays: Tensor
    scale: Tensor
    offset: Tensor
    actions: Tensor

    def on_rays(self, depth: Tensor) -> Tensor:
        """Normalised points (b, 3, t, H, W) on the pixels' rays at normalised depths (b, 1, t, H, W)."""
        scale, offset = (values[:, :, None, None, None] for values in (self.scale, self.offset))
        metres = scale[:, 2:] * depth + offset[:, 2:]
        return (metres * self.rays[:, :, None] - offset) / scale
