"""What geometry tells of the scene that a prediction starts from: what is behind, what moves, what is shaded."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import cast_shadows, light_directions, se3
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.fill import fill_colours, fill_points, grown, robot_hole
from k4d_world_model.movers import Movers, find_movers
from k4d_world_model.still_scene import StillScene, still_scene
from k4d_world_model.wan.architecture import Architecture

Points = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Filled(NamedTuple):
    """The first frame with something taken out: rgb (H, W, 3) uint8, points (H, W, 3) metres on every pixel's ray."""

    rgb: NDArray[np.uint8]
    points: Points


class PreparedScene(NamedTuple):
    """The scene of a conditioning with measured first points.

    first_points: (H, W, 3) as measured, filled where nothing was. background: without the robot; behind: also without
    what will move. surfaces, movers, shadows (K, T, H / 2, W / 2) bool: see the
    architecture's ``continues_surfaces``, ``moves_objects`` and ``light_grid``; None where it is not told.
    """

    first_points: Points
    background: Filled
    behind: Filled
    surfaces: StillScene | None
    movers: Movers | None
    shadows: Mask | None


def prepare_scene(conditioning: Conditioning, architecture: Architecture) -> PreparedScene:
    """The scene as far as the architecture is told of it."""
    first_points, mask = conditioning.first_points, conditioning.robot_mask
    assert first_points is not None
    measured = np.isfinite(first_points[..., 2])
    whole = fill_points(first_points, ~measured, conditioning.camera)
    robot = robot_hole(conditioning.robot_points[0], mask[0], first_points)
    # Pixels beside a robot that stands still stay as they are measured, whatever they show.
    leaves = robot & (mask[0] | grown(mask[0] & ~mask.all(axis=0)))
    background = _without(conditioning, whole, robot, leaves)
    surfaces = movers = None
    behind = background
    if architecture.continues_surfaces:
        known = measured & ~grown(robot)
        depth = np.where(known, first_points[..., 2], 0.0).astype(np.float64)
        T_base_cam = se3.inverse(conditioning.T_cam_base[0])
        surfaces = still_scene(depth, known, conditioning.camera, T_base_cam)
        if architecture.moves_objects:
            movers = find_movers(conditioning, known, surfaces.nearest)
            taken = grown(np.any(movers.pixels, axis=0))  # edges mix the thing's colours with what stays
            if taken.any():
                behind = _without(conditioning, whole, robot | taken, leaves | taken)
    shadows = _shadows(conditioning, architecture, background.points) if architecture.light_grid else None
    return PreparedScene(whole, background, behind, surfaces, movers, shadows)


def no_movers(frames: int, height: int, width: int) -> Movers:
    """Movers of a model that is not told of any: none at all, not even without pixels."""
    return Movers(
        np.zeros((0, height, width), np.bool_),
        np.zeros((0, frames, 3), np.float32),
        np.zeros((0, frames, 0), np.float32),
    )


def _without(conditioning: Conditioning, whole: Points, hole: Mask, shown: Mask) -> Filled:
    """The first frame filled in ``hole`` (H, W), from everything outside of it, as far as that is ``shown`` (H, W)."""
    rgb = fill_colours(conditioning.first_frame, hole)
    assert conditioning.first_points is not None
    points = fill_points(conditioning.first_points, hole, conditioning.camera)
    return Filled(np.where(shown[..., None], rgb, conditioning.first_frame), np.where(shown[..., None], points, whole))


def _shadows(conditioning: Conditioning, architecture: Architecture, scene_points: Points) -> Mask:
    """(K, T, H / 2, W / 2) where the robot would shade the scene's points (H, W, 3), for each direction of light."""
    directions = light_directions(architecture.light_grid, architecture.light_slope)
    R_cam_base = conditioning.T_cam_base[0, :3, :3]
    corners = [scene_points[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return cast_shadows(
        conditioning.robot_points[:, ::2, ::2],
        conditioning.robot_mask[:, ::2, ::2],
        np.mean(corners, axis=0, dtype=np.float32),
        directions @ R_cam_base.T,
    )
