"""What a model reads, as tensors: the first frame and the robot, normalised, with the scene behind the robot filled."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """A batch of b conditionings of T frames, H x W pixels. Pictures and points are float32, about in [-1, 1].

    first_rgb, first_points: (b, 3, H, W) the first frame and what stands beside it: the ramp or measured points.
    robot_rgb, robot_points: (b, 3, T, H, W), -1 where there is no robot; robot_rgb holds whole pictures where a model
        reconstructs points from them.
    robot_mask: (b, T, H, W) bool.
    background_rgb, background_points: (b, 3, H, W) the first frame with the robot taken out and the hole filled.
    rays: (b, 3, H, W) what a pixel sees at a depth of one metre, in the optical frame.
    scale, offset: (b, 3) metres = scale * normalised + offset.
    actions: (b, T, action_size) joint positions, or the instruction's words, alike in all frames; of size 0 where the
        model is not told any.
    shadows: (b, K, T, H / 2, W / 2) bool, which of the scene's points the robot shades for light from each of K
        directions; K is 0 where the model is not told any.
    surfaces: (b, 2 S, H, W) normalised depths of S surfaces that may be seen once the robot and things are gone, then
        1 where each of them may be; (b, 0, H, W) where the model is not told.
    behind_rgb, behind_points: (b, 3, H, W) the background with the things that will move taken out and filled, too.
    mover_pixels: (b, N, H, W) bool, where the first frame shows each of N things that will move, no pixel for none;
        N is 0 where the model is not told any.
    mover_path: (b, N, T, 3) metres of their middles in the optical frame.
    mover_evidence: (b, N, T, EVIDENCE) of ``Movers``.
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
    surfaces: Tensor
    behind_rgb: Tensor
    behind_points: Tensor
    mover_pixels: Tensor
    mover_path: Tensor
    mover_evidence: Tensor

    @property
    def hole(self) -> Tensor:
        """Where (b, 1, H, W) the background was filled, since the robot hides it in the first frame: 1, else 0."""
        return self._filled(self.background_rgb, self.background_points)

    @property
    def uncovered(self) -> Tensor:
        """Where (b, 1, H, W) what is behind the robot or a thing that will move was filled: 1, else 0."""
        return self._filled(self.behind_rgb, self.behind_points)

    def _filled(self, rgb: Tensor, points: Tensor) -> Tensor:
        filled = (rgb != self.first_rgb) | (points != self.first_points)
        return filled.any(dim=1, keepdim=True).to(self.first_rgb.dtype)

    def on_rays(self, depth: Tensor) -> Tensor:
        """Normalised points (b, 3, t, H, W) on the pixels' rays at normalised depths (b, 1, t, H, W)."""
        scale, offset = (values[:, :, None, None, None] for values in (self.scale, self.offset))
        metres = scale[:, 2:] * depth + offset[:, 2:]
        return (metres * self.rays[:, :, None] - offset) / scale
