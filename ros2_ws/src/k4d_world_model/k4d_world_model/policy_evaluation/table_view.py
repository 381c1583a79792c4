"""What a picture with points shows of a table: where things of named colours stand, without the robot."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics import Renderer, se3
from k4d_kinematics.robot import Robot
from k4d_world_model.policy_evaluation.policy import Observation
from k4d_world_model.scene_objects import SceneObject, find_objects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Metres above the table from which on a point belongs to a thing, and below which it may belong to a disc on it.
_STANDS_OUT, _FLAT = 0.01, 0.008
# How far from the robot's axis its table is looked at.
_NEAREST, _FARTHEST = 0.2, 0.95
# Angle between colours that are taken for the same, and how much brightness tells apart those without a hue.
_SAME_HUE, _SAME_BRIGHTNESS = 0.16, 0.25
_LEAST_SATURATION = 0.15
_FEWEST_PIXELS = 4
_ROBOT_MARGIN_PX = 2
# How fine a disc's middle is looked for at first and at last, and how wide the ring is that must look otherwise.
_GRIDS, _RING = (0.02, 0.005), 0.02


class TableView(NamedTuple):
    """One observation in the robot's base frame, whose z axis points up.

    rgb: (H, W, 3) in 0..1. points_base: (H, W, 3) metres, NaN where nothing is. is_robot: (H, W), exactly;
    near_robot: with a margin. table: height of the table in metres. eye: (3,) where the camera is.
    """

    rgb: Array
    points_base: Array
    is_robot: Mask
    near_robot: Mask
    table: float
    eye: Array

    @property
    def heights(self) -> Array:
        """(H, W) metres above the table."""
        return self.points_base[..., 2] - self.table

    @property
    def in_reach(self) -> Mask:
        """(H, W) where something else than the robot is seen about the table before it."""
        with np.errstate(invalid="ignore"):
            distance = np.hypot(self.points_base[..., 0], self.points_base[..., 1])
            return ~self.near_robot & (distance > _NEAREST) & (distance < _FARTHEST) & (self.points_base[..., 0] > 0)


def view_table(
    rgb: NDArray[np.uint8], points_cam: NDArray[np.float32], T_cam_base: se3.Array, is_robot: Mask
) -> TableView:
    """The view of a picture (H, W, 3) and points (H, W, 3) whose robot covers the pixels ``is_robot`` (H, W).

    The table is the height at which most points before the robot lie.
    """
    T_base_cam = se3.inverse(T_cam_base)
    points_base = se3.transform_points(T_base_cam, points_cam.astype(np.float64))
    wide = ndimage.binary_dilation(is_robot, np.ones((3, 3), np.bool_), iterations=_ROBOT_MARGIN_PX)
    view = TableView(rgb / 255.0, points_base, is_robot, wide, 0.0, T_base_cam[:3, 3])
    heights = points_base[view.in_reach, 2]
    near = heights[np.abs(heights) < 0.1]
    return view._replace(table=float(np.median(near)) if len(near) else 0.0)


def robot_pixels(renderer: Renderer, robot: Robot, positions: Array, T_cam_base: se3.Array) -> Mask:
    """Where a robot whose joints are at ``positions`` (J,) is seen (H, W)."""
    return renderer.render(T_cam_base @ robot.forward_kinematics(positions)).mask


def view_observation(observation: Observation, renderer: Renderer, robot: Robot) -> TableView:
    """The view of an observation. ``renderer`` must be of its camera."""
    mask = robot_pixels(renderer, robot, observation.positions, observation.T_cam_base)
    return view_table(observation.rgb, observation.points_cam, observation.T_cam_base, mask)


def hue_likeness(rgb: Array, named: Array) -> Array:
    """How much pixels (..., 3) in 0..1 look like a colour (3,) in some light, 0..1."""
    length = np.linalg.norm(rgb, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip((rgb @ named) / (length * np.linalg.norm(named)), -1.0, 1.0)
    return np.asarray(np.exp(-np.square(np.arccos(np.nan_to_num(cosine)) / _SAME_HUE)))


def brightness_likeness(rgb: Array, named: Array) -> Array:
    """How much pixels (..., 3) are as bright as a colour (3,), 0..1; 1 where its hue tells it already."""
    if np.ptp(named) / named.max() >= _LEAST_SATURATION:
        return np.ones(rgb.shape[:-1])
    apart = (np.linalg.norm(rgb, axis=-1) - np.linalg.norm(named)) / 3.0**0.5
    return np.asarray(np.exp(-np.square(apart / _SAME_BRIGHTNESS)))


def find_things(view: TableView) -> list[SceneObject]:
    """All that stands on the table, of any colour."""
    return _standing(view, np.ones(view.heights.shape, np.bool_))


def find_thing(view: TableView, named: Array) -> SceneObject | None:
    """The thing on the table of a colour (3,), the largest if there are several; None where there is none.

    Of things without a hue the one counts that is as bright where it is brightest.
    """

    def resemblance(thing: SceneObject) -> float:
        brightest = np.percentile(view.rgb[thing.pixels], 90, axis=0)
        return float(brightness_likeness(brightest, named)) * np.count_nonzero(thing.pixels)

    return max(_standing(view, hue_likeness(view.rgb, named) > 0.5), key=resemblance, default=None)


def _standing(view: TableView, chosen: Mask) -> list[SceneObject]:
    """The things among the chosen pixels (H, W)."""
    with np.errstate(invalid="ignore"):
        stands_out = view.in_reach & (view.heights > _STANDS_OUT) & chosen
    still = view.points_base.copy()
    still[..., 2] = view.table
    return find_objects(view.points_base, still, stands_out, view.eye)


def find_disc(view: TableView, named: Array, radius: float) -> Array | None:
    """The middle (2,) of the disc of a colour (3,) and radius on the table; None where there is none."""
    alike = hue_likeness(view.rgb, named) * brightness_likeness(view.rgb, named)
    with np.errstate(invalid="ignore"):
        flat = view.in_reach & (np.abs(view.heights) < _FLAT)
    xy, weight = view.points_base[flat][:, :2], alike[flat]
    seeds = xy[weight > 0.5]
    if len(seeds) < _FEWEST_PIXELS:
        return None
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    best = (low + high) / 2
    for step in _GRIDS:
        centres = np.stack(np.meshgrid(*map(np.arange, low, high + step, (step, step))), axis=-1).reshape(-1, 2)
        apart = np.linalg.norm(xy - centres[:, None], axis=-1)  # (n, pixels)
        around = (apart >= radius) & (apart < radius + _RING)
        score = _mean(weight, apart < radius) - _mean(weight, around)
        best = centres[score >= score.max() - 0.02].mean(axis=0)
        low, high = best - step, best + step
    return np.asarray(best)


def _mean(weight: Array, chosen: Mask) -> Array:
    """Of each row of ``chosen`` (n, pixels) the mean weight, less where it has few pixels."""
    return np.asarray((chosen @ weight) / np.maximum(chosen.sum(axis=1), 2 * _FEWEST_PIXELS))


def points_near(view: TableView, named: Array, place: Array, reach: float) -> Array:
    """Points (n, 3) in the base frame of a colour (3,), not the robot's, within ``reach`` metres of a place (3,)."""
    with np.errstate(invalid="ignore"):
        close = np.linalg.norm(view.points_base - place, axis=-1) < reach
    return np.asarray(view.points_base[close & ~view.is_robot & (hue_likeness(view.rgb, named) > 0.5)])


def is_near(view: TableView, named: Array, place: Array, reach: float) -> bool:
    """Whether something of a colour (3,) is seen within ``reach`` metres of a place (3,)."""
    return len(points_near(view, named, place, reach)) >= _FEWEST_PIXELS
