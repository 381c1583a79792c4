"""What of the first frame the robot will move, and where to, as far as contact alone tells."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.scene_planes import FLATNESS
from k4d_kinematics.tool_contact import carried
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.scene_objects import SceneObject, find_objects

# Most things that are told to move, and metres from which on a thing counts as moved.
MOST_MOVERS, LEAST_WAY = 3, 0.005
# Numbers of evidence about a thing in one frame.
EVIDENCE = 6

# Metres from the base's axis and above its foot within which the robot's points push: a robot's own foot does not.
_FOOT, _HIGHEST = 0.2, 0.3


class Movers(NamedTuple):
    """MOST_MOVERS things, those that move farthest first; fewer leave the rest without pixels.

    pixels: (N, H, W) bool, where the first frame shows them.
    path: (N, T, 3) float32 metres of their middles in the optical frame.
    evidence: (N, T, EVIDENCE) float32: way along the ground and upwards in decimetres, whether it is held, radius in
        units of 5 cm, height in decimetres, and pixels in hundreds.
    """

    pixels: NDArray[np.bool_]
    path: NDArray[np.float32]
    evidence: NDArray[np.float32]


def find_movers(conditioning: Conditioning, known: NDArray[np.bool_], still_depth: NDArray[np.float64]) -> Movers:
    """The things that the tool and the robot move, in a conditioning with ``tool`` and ``first_points``.

    ``known`` (H, W) are the pixels of the first frame that show the scene, ``still_depth`` (H, W) how deep it is
    without things, infinite where nobody knows.
    """
    assert conditioning.tool is not None
    assert conditioning.first_points is not None
    T_base_cam = se3.inverse(conditioning.T_cam_base)
    depth = conditioning.first_points[..., 2].astype(np.float64)
    with np.errstate(invalid="ignore"):
        stands_out = known & (depth < (1 - FLATNESS) * still_depth) & np.isfinite(still_depth)
    rays = np.concatenate([conditioning.camera.rays(), np.ones((*depth.shape, 1))], axis=-1)
    points = _placed(T_base_cam[0], rays * np.where(known, depth, np.nan)[..., None])
    still = _placed(T_base_cam[0], rays * np.where(np.isfinite(still_depth), still_depth, np.nan)[..., None])
    things = find_objects(points, still, stands_out, T_base_cam[0, :3, 3])
    return _moving(conditioning, T_base_cam, things)


def _moving(conditioning: Conditioning, T_base_cam: se3.Array, things: list[SceneObject]) -> Movers:
    count, size = conditioning.frame_count, conditioning.first_frame.shape[:2]
    movers = Movers(
        np.zeros((MOST_MOVERS, *size), np.bool_),
        np.zeros((MOST_MOVERS, count, 3), np.float32),
        np.zeros((MOST_MOVERS, count, EVIDENCE), np.float32),
    )
    if not things:
        return movers
    assert conditioning.tool is not None
    centres = np.array([thing.centre for thing in things])
    radii, heights = (np.array([getattr(thing, name) for thing in things]) for name in ("radius", "height"))
    body = [
        _pushing(*frame) for frame in zip(T_base_cam, conditioning.robot_points, conditioning.robot_mask, strict=True)
    ]
    offsets, held = carried(conditioning.tool, body, centres, radii, heights)
    ways = np.linalg.norm(offsets, axis=-1).max(axis=1)
    for place, k in enumerate(np.argsort(-ways, kind="stable")[:MOST_MOVERS].tolist()):
        if ways[k] < LEAST_WAY:
            break
        movers.pixels[place] = things[k].pixels
        for t in range(count):
            movers.path[place, t] = _placed(se3.inverse(T_base_cam[t]), centres[k] + offsets[k, t])
        movers.evidence[place] = np.stack(
            [
                10.0 * np.linalg.norm(offsets[k, :, :2], axis=-1),
                10.0 * offsets[k, :, 2],
                held[k],
                np.full(count, 20.0 * radii[k]),
                np.full(count, 10.0 * heights[k]),
                np.full(count, 0.01 * np.count_nonzero(things[k].pixels)),
            ],
            axis=-1,
        )
    return movers


def _pushing(T_base_cam: se3.Array, points: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The robot's seen points (n, 3) in the base frame that may touch what stands on a table."""
    seen = _placed(T_base_cam, points[mask].astype(np.float64))
    return seen[(np.hypot(seen[:, 0], seen[:, 1]) > _FOOT) & (seen[:, 2] < _HIGHEST)]


def _placed(T: se3.Array, points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points @ T[:3, :3].T + T[:3, 3])
