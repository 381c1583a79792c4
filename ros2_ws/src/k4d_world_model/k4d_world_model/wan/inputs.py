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
    shadows: (b, K, T, H / 2, W / 2) bool, which of the scene's points the robot shades for light from each of K
        directions; K is 0 where the model is not told any.
    sides: (b, 8, H, W) normalised depths that the surfaces left, right, above and below of the filled hole would have
        in it, then how many pixels away these are; (b, 0, H, W) where the model is not told.
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
    shadows: Tensor
    sides: Tensor

    @property
    def hole(self) -> Tensor:
        """Where (b, 1, H, W) the background was filled, since the robot hides it in the first frame: 1, else 0."""
        filled = (self.background_rgb != self.first_rgb) | (self.background_points != self.first_points)
        return filled.any(dim=1, keepdim=True).to(self.first_rgb.dtype)

    def on_rays(self, depth: Tensor) -> Tensor:
        """Normalised points (b, 3, t, H, W) on the pixels' rays at normalised depths (b, 1, t, H, W)."""
        scale, offset = (values[:, :, None, None, None] for values in (self.scale, self.offset))
        metres = scale[:, 2:] * depth + offset[:, 2:]
        return (metres * self.rays[:, :, None] - offset) / scale
