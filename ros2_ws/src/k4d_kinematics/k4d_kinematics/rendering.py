"""Robot pointmaps: what each pixel of a camera sees of a robot's surface."""

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import RenderingError
from k4d_kinematics.lens_setup import prepare_lens
from k4d_kinematics.pixel_output import clear_labels, join_regions, write_links, write_points
from k4d_kinematics.rasterization import Workspace, allocate_workspace, place_parts, rasterize
from k4d_kinematics.robot_surface import RobotSurface
from k4d_kinematics.shading import shade_pixels
from k4d_kinematics.view import buffer_size, prepare_view

SHADINGS = ("none", "headlight")


@dataclass(frozen=True)
class RenderSettings:
    """What to render. Raises RenderingError for values out of range.

    near: depth in metres before which nothing is seen; surfaces are cut there.
    link_ids: whether to return the index of the link that each pixel shows.
    rgb: whether to return the robot's colours.
    shading: "headlight" lights them from the camera, "none" returns the surface's own colours.
    """

    near: float = 0.001
    link_ids: bool = False
    rgb: bool = False
    shading: str = "headlight"

    def __post_init__(self) -> None:
        if not isinstance(self.near, int | float) or not (math.isfinite(self.near) and self.near >= 1e-6):
            raise RenderingError(f"near must be a finite depth of at least 1e-6 m, got {self.near!r}")
        if self.shading not in SHADINGS:
            raise RenderingError(f"shading must be one of {', '.join(SHADINGS)}, got {self.shading!r}")


@dataclass(frozen=True, eq=False)
class RobotImage:
    """What one camera sees of the robot.

    points_cam: (H, W, 3) float32, metres in the camera's optical frame, NaN where there is no robot.
    mask: (H, W) bool, True on robot pixels.
    link_ids: (H, W) int16 index into the surface's link names, -1 outside; None where not asked for.
    rgb: (H, W, 3) uint8 sRGB, black outside; None where not asked for.
    region: (4,) int64 first u, first v, stop u, stop v of a box that holds all robot pixels, all zero without any.
    """

    points_cam: NDArray[np.float32]
    mask: NDArray[np.bool_]
    link_ids: NDArray[np.int16] | None
    rgb: NDArray[np.uint8] | None
    region: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RobotImageSequence:
    """T images as in ``RobotImage``, stacked along the first axis."""

    points_cam: NDArray[np.float32]  # (T, H, W, 3)
    mask: NDArray[np.bool_]  # (T, H, W)
    link_ids: NDArray[np.int16] | None  # (T, H, W)
    rgb: NDArray[np.uint8] | None  # (T, H, W, 3)
    region: NDArray[np.int64]  # (T, 4)

    def __getitem__(self, index: int | tuple[()]) -> RobotImage:
        """The image at ``index``, sharing memory with the sequence; () is all of an unstacked one."""
        link_ids = None if self.link_ids is None else self.link_ids[index]
        rgb = None if self.rgb is None else self.rgb[index]
        return RobotImage(self.points_cam[index], self.mask[index], link_ids, rgb, self.region[index])


class Renderer:
    """Renders one surface for one camera. Calls from several threads at once are fine.

    Raises CameraError when the camera's lens model reaches no ray at any pixel.
    """

    def __init__(self, surface: RobotSurface, camera: Camera, settings: RenderSettings | None = None) -> None:
        self.surface = surface
        self.camera = camera
        self.settings = settings or RenderSettings()
        self._view = view = prepare_view(camera, self.settings.near)
        lens = camera.distortion
        self._lens = None if lens is None else prepare_lens(camera, lens, view.stride, buffer_size(view))
        self._triangle_link = surface.triangle_link
        self._free_workspaces: deque[tuple[Workspace, NDArray[np.int32] | None]] = deque()

    def render(self, T_cam_link: ArrayLike, *, reuse: RobotImage | None = None) -> RobotImage:
        """The image for link poses ``T_cam_link`` (L, 4, 4), in the order of the surface's link names.

        ``reuse`` is an earlier image of this renderer that nobody needs any more: its arrays are overwritten, and only
        where the robot was or is, which saves allocating and filling new ones. Raises RenderingError for poses of
        another shape, not finite or not rigid, and for a ``reuse`` that does not fit.
        """
        T = self._check_poses(T_cam_link, 3)
        image = self._allocate(())[()] if reuse is None else self._check_reuse(reuse)
        self._render_into(T, image)
        return image

    def render_sequence(self, T_cam_link: ArrayLike, *, workers: int = 1) -> RobotImageSequence:
        """Images for link poses ``T_cam_link`` (T, L, 4, 4), rendered by ``workers`` threads, each frame by one.

        Raises RenderingError as ``render`` does, and for fewer than one worker.
        """
        T = self._check_poses(T_cam_link, 4)
        if workers < 1:
            raise RenderingError(f"workers must be at least 1, got {workers}")
        images = self._allocate((len(T),))
        if workers == 1:
            for t in range(len(T)):
                self._render_into(T[t], images[t])
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda t: self._render_into(T[t], images[t]), range(len(T))))
        return images

    def _render_into(self, T_cam_link: se3.Array, image: RobotImage) -> None:
        view, lens, surface = self._view, self._lens, self.surface
        rays = None if lens is None else lens.rays
        work, labels = workspace = self._take_workspace()
        wrong = place_parts(surface.parts, T_cam_link, view, work)
        if wrong >= 0:
            raise RenderingError(
                f"T_cam_link must hold finite rigid transforms, got {T_cam_link[wrong].tolist()} "
                f"for link {surface.link_names[wrong]!r}"
            )
        rasterize(surface.parts, view, lens, work, labels)
        box = np.empty(4, np.int64)
        join_regions(work, image.region, box)
        if image.rgb is not None:
            headlight = self.settings.shading == "headlight"
            shade_pixels(work, labels, view, rays, surface.parts, surface.colors, headlight, box, image.rgb)
        if image.link_ids is not None:
            write_links(labels, view, box, self._triangle_link, image.link_ids)
        if labels is not None:
            clear_labels(labels, view, box)
        write_points(work, view, rays, box, image.points_cam, image.mask)
        self._free_workspaces.append(workspace)

    def _take_workspace(self) -> tuple[Workspace, NDArray[np.int32] | None]:
        try:
            return self._free_workspaces.pop()
        except IndexError:
            labeled = self.settings.link_ids or self.settings.rgb
            work = allocate_workspace(self._view, len(self.surface.parts.link))
            return work, np.zeros(buffer_size(self._view), np.int32) if labeled else None

    def _allocate(self, stack: tuple[int, ...]) -> RobotImageSequence:
        size = (*stack, self._view.height, self._view.width)
        # All pixels count as touched, so that rendering writes every one of them.
        region = np.zeros((*stack, 4), np.int64)
        region[..., 2:] = self._view.width, self._view.height
        return RobotImageSequence(
            points_cam=np.empty((*size, 3), np.float32),
            mask=np.empty(size, np.bool_),
            link_ids=np.empty(size, np.int16) if self.settings.link_ids else None,
            rgb=np.empty((*size, 3), np.uint8) if self.settings.rgb else None,
            region=region,
        )

    def _check_poses(self, T_cam_link: ArrayLike, dimensions: int) -> se3.Array:
        try:
            T = np.ascontiguousarray(T_cam_link, np.float64)
        except (TypeError, ValueError) as error:
            raise RenderingError(f"T_cam_link must be numbers of one shape: {error}") from error
        links = len(self.surface.link_names)
        if T.ndim != dimensions or T.shape[-3:] != (links, 4, 4):
            lead = "T, " * (dimensions - 3)
            raise RenderingError(f"T_cam_link must have shape ({lead}{links}, 4, 4), got {T.shape}")
        return T

    def _check_reuse(self, image: RobotImage) -> RobotImage:
        size = (self._view.height, self._view.width)
        asked = (self.settings.link_ids, self.settings.rgb)
        if image.mask.shape != size or (image.link_ids is not None, image.rgb is not None) != asked:
            raise RenderingError(
                f"reuse must be an image of this renderer, {size[0]} x {size[1]} pixels with link_ids, rgb = {asked}"
            )
        return image
