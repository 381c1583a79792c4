"""What a prediction says about the plan that it shows: where the robot comes near what the camera saw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from k4d_kinematics import Renderer, RobotSurface, se3
from k4d_kinematics.robot import Robot
from k4d_world_model.errors import AssessmentError
from k4d_world_model.rollout import Rollout

# Pixels around the robot that may show either side of its silhouette.
_SILHOUETTE_PX = 2
# Surface points that stand for one link.
_SAMPLES = 400
# A link that the plan moves less far than this, in metres (or by its rotation matrix), does not move.
_STILL = 1e-4


@dataclass(frozen=True, eq=False)
class Contact:
    """One link near the predicted scene, from when it comes near until it leaves.

    times: first and last, seconds after the observation.
    point_base: (3,) the nearest place of the scene, metres in the robot's base frame; distance: how near, in metres.
    is_tool: whether the link is the tool's, which is there to touch.
    """

    link: str
    times: tuple[float, float]
    point_base: NDArray[np.float64]
    distance: float
    is_tool: bool


@dataclass(frozen=True, eq=False)
class Assessment:
    """Contacts in order of time, and the smallest distance in metres of links other than the tool's.

    standing: moving links that are near the scene in the first frame already: not contacts. Nor is anything that a link
    touches which the plan does not move, such as a base on its table. clearance: infinite where no scene is seen.
    """

    contacts: tuple[Contact, ...]
    clearance: float
    standing: tuple[str, ...]


def links_of_tool(robot: Robot, surface: RobotSurface, tool_link: str) -> tuple[str, ...]:
    """The link that carries the tool's frame and all links that hang on it, such as a hand and its fingers.

    Empty for an empty ``tool_link``. Raises RobotModelError for one that the robot lacks.
    """
    if not tool_link:
        return ()
    parent = robot.tree.parent
    shown = {robot.link_index(surface.link_names[link]) for link in np.unique(surface.parts.link).tolist()}
    hand = robot.link_index(tool_link)
    while hand not in shown and parent[hand] >= 0:
        hand = int(parent[hand])
    chosen = {hand}
    for link in range(hand + 1, len(parent)):  # parents come before children
        if parent[link] in chosen:
            chosen.add(link)
    return tuple(robot.link_names[link] for link in sorted(chosen))


def assess(
    rollout: Rollout, robot: Robot, surface: RobotSurface, tool_links: tuple[str, ...], *, distance: float
) -> Assessment:
    """Where the robot of ``rollout`` comes within ``distance`` metres of the predicted scene.

    The robot is exact: its whole surface (400 points a link) as kinematics places it, seen or not. The scene is what
    the frame predicts outside of the robot's silhouette; behind the robot it is what the first frame shows there. What
    no frame ever showed is unknown and counts as free: a contact found is a warning, none found is no permission.
    Raises AssessmentError when the rollout does not know the robot's joints.
    """
    if rollout.joints is None:
        raise AssessmentError("the rollout does not say how the robot's joints move, so that contacts are not known")
    positions = rollout.joints.reorder(robot.joint_names).positions
    T_base_link = robot.forward_kinematics(positions)  # (T, L, 4, 4)
    samples = _samples(surface)
    rows = {robot.link_index(surface.link_names[index]): points for index, points in samples.items()}
    near = np.full((len(rollout.times), len(robot.link_names)), np.inf)  # (T, L) metres
    place = np.full((*near.shape, 3), np.nan)
    for frame, scene in enumerate(_scenes(rollout, surface, T_base_link)):
        if not len(scene):
            continue
        tree = cKDTree(scene)
        for link, points in rows.items():
            gaps, nearest = tree.query(se3.transform_points(T_base_link[frame, link], points))
            closest = int(np.argmin(gaps))
            near[frame, link], place[frame, link] = gaps[closest], scene[nearest[closest]]
    near[:, np.ptp(T_base_link, axis=0).max(axis=(1, 2)) < _STILL] = np.inf
    return _conclude(rollout, robot.link_names, near, place, tool_links, distance)


def _samples(surface: RobotSurface) -> dict[int, NDArray[np.float64]]:
    """Up to 400 corners (N, 3) of each link's triangles, evenly chosen, in its link frame."""
    corners = surface.parts.corners.reshape(3, 3, -1).transpose(2, 0, 1)  # (N, corner, 3)
    found: dict[int, list[NDArray[np.float32]]] = {}
    for part, link in enumerate(surface.parts.link.tolist()):
        found.setdefault(link, []).append(corners[surface.parts.start[part] : surface.parts.start[part + 1]])
    chosen = {}
    for link, parts in found.items():
        points = np.unique(np.concatenate(parts).reshape(-1, 3), axis=0)
        order = np.random.default_rng(0).permutation(len(points))[:_SAMPLES]
        chosen[link] = points[order].astype(np.float64)
    return chosen


def _scenes(rollout: Rollout, surface: RobotSurface, T_base_link: se3.Array) -> Iterator[NDArray[np.float64]]:
    """Of each frame the scene's points (N, 3) in the base frame."""
    renderer = Renderer(surface, rollout.camera)
    still: NDArray[np.float64] | None = None
    for frame, T_cam_base in enumerate(rollout.T_cam_base):
        mask = renderer.render(T_cam_base @ T_base_link[frame]).mask
        robot = ndimage.binary_dilation(mask, iterations=_SILHOUETTE_PX, structure=np.ones((3, 3), np.bool_))
        T_base_cam = se3.inverse(T_cam_base)
        points = se3.transform_points(T_base_cam, rollout.points[frame].reshape(-1, 3).astype(np.float64))
        seen = (rollout.valid[frame] & ~robot).ravel()
        if still is None:
            still, first_seen = points, seen
            is_fixed = bool(np.allclose(rollout.T_cam_base, T_cam_base, atol=1e-6))
        hidden = robot.ravel() & first_seen if is_fixed else first_seen if frame else np.zeros_like(seen)
        yield np.concatenate([points[seen], still[hidden]])


def _conclude(
    rollout: Rollout,
    link_names: tuple[str, ...],
    near: NDArray[np.float64],
    place: NDArray[np.float64],
    tool_links: tuple[str, ...],
    distance: float,
) -> Assessment:
    is_near = near < distance
    standing = is_near[0]
    is_tool = np.isin(link_names, tool_links)
    others = near[:, ~standing & ~is_tool]
    contacts = []
    for link in np.flatnonzero(is_near.any(axis=0) & ~standing).tolist():
        changes = np.flatnonzero(np.diff(np.concatenate([[False], is_near[:, link], [False]]).astype(np.int8)))
        for start, stop in changes.reshape(-1, 2).tolist():
            frame = start + int(np.argmin(near[start:stop, link]))
            times = (float(rollout.times[start]), float(rollout.times[stop - 1]))
            name = link_names[link]
            contacts.append(Contact(name, times, place[frame, link], float(near[frame, link]), name in tool_links))
    contacts.sort(key=lambda contact: contact.times)
    names = tuple(link_names[link] for link in np.flatnonzero(standing).tolist())
    return Assessment(tuple(contacts), float(others.min(initial=np.inf)), names)
