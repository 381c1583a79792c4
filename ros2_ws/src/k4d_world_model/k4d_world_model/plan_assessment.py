"""What a prediction says about the plan that it shows: where the robot comes near what the camera saw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory, RobotSurface
from k4d_kinematics.robot import Robot
from k4d_world_model.errors import AssessmentError
from k4d_world_model.predicted_scene import scenes
from k4d_world_model.robot_body import RobotBody
from k4d_world_model.rollout import Rollout
from k4d_world_model.swept_motion import SweptMotion, sweep

# A link that the plan moves less far than this, in metres (or by its rotation matrix), does not move.
_STILL = 1e-4


@dataclass(frozen=True, eq=False)
class Contact:
    """One link near the predicted scene, from when it comes near until it leaves.

    times: first and last, seconds after the observation.
    point_base: (3,) the nearest place of the scene, metres in the robot's base frame.
    distance: how near, in metres; 0 where the scene is inside of the link.
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

    standing: moving links that are near the scene from the first moment on, until they leave it or the scene comes
    inside of them: neither contacts nor counted in the clearance. Nor is anything that a link touches which the plan
    does not move, such as a base on its table. clearance: infinite where no scene is seen. blind: how many frames show
    nothing but the robot.
    """

    contacts: tuple[Contact, ...]
    clearance: float
    standing: tuple[Contact, ...]
    blind: int = 0


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
    rollout: Rollout,
    body: RobotBody,
    tool_links: tuple[str, ...],
    *,
    distance: float,
    motion: JointTrajectory | None = None,
) -> Assessment:
    """Where the robot of ``rollout`` comes within ``distance`` metres of the predicted scene, or into it.

    The robot is exact: its whole surface as kinematics places it, seen or not, at each frame and in between in steps of
    at most ``distance``, which are held against the scenes of both frames around them. It moves as ``motion`` says, by
    default as the rollout's joints do, straight from frame to frame. The scene is what the frame predicts outside of
    the robot's silhouette; behind the robot it is what the first frame shows there. What no frame ever showed is
    unknown and counts as free: a contact found is a warning, none found is no permission. Raises AssessmentError when
    the rollout does not know the robot's joints, the motion is too long, or ``distance`` is below the body's.
    """
    if rollout.joints is None:
        raise AssessmentError("the rollout does not say how the robot's joints move, so that contacts are not known")
    if distance < body.distance:
        raise AssessmentError(f"this body tells distances from {body.distance} m on, got {distance} m")
    swept = sweep(motion or rollout.joints, rollout.times, body, distance)
    is_tool = np.isin(body.robot.link_names, tool_links)
    near, place, blind = _nearness(rollout, body, swept, is_tool, distance)
    names = body.robot.link_names
    standing: list[Contact] = []
    contacts: list[Contact] = []
    clearance = np.inf
    for link in np.flatnonzero(np.isfinite(near).any(axis=0)).tolist():
        own = near[:, link]
        left = _leaving(own, distance)
        for start, stop in _spans(own < distance, left):
            nearest = start + int(np.argmin(own[start:stop]))
            times = (float(swept.times[start]), float(swept.times[stop - 1]))
            contact = Contact(names[link], times, place[nearest, link], float(own[nearest]), bool(is_tool[link]))
            (contacts if start >= left else standing).append(contact)
        if not is_tool[link]:
            clearance = min(clearance, float(own[left:].min(initial=np.inf)))
    contacts.sort(key=lambda contact: contact.times)
    return Assessment(tuple(contacts), clearance, tuple(standing), blind)


def _nearness(
    rollout: Rollout, body: RobotBody, swept: SweptMotion, is_tool: NDArray[np.bool_], distance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """How near each link comes at each moment (S, L), the place there (S, L, 3), and how many frames show no scene.

    Infinite for a link that does not move, and where one is neither within ``distance`` nor nearer than any link that
    is no tool's was before.
    """
    moves = np.ptp(swept.T_base_link, axis=0).max(axis=(1, 2)) >= _STILL
    near = np.full(swept.T_base_link.shape[:2], np.inf)
    place = np.full((*near.shape, 3), np.nan)
    beyond = np.where(moves, np.where(is_tool, distance, np.inf), 0.0)
    blind = 0
    at_frame = swept.T_base_link[swept.before == swept.after]
    for frame, (tree, pixels) in enumerate(scenes(rollout, body.surface, at_frame)):
        blind += pixels == 0
        if tree is None:
            continue
        for moment in np.flatnonzero((swept.before == frame) | (swept.after == frame)).tolist():
            gaps, places = body.gaps(swept.T_base_link[moment], tree, beyond)
            closer = gaps < near[moment]
            near[moment, closer], place[moment, closer] = gaps[closer], places[closer]
            apart = gaps[moves & ~is_tool & (gaps >= distance)]
            beyond[~is_tool] = np.minimum(beyond[~is_tool], apart.min(initial=np.inf))
    near[:, ~moves] = np.inf
    return near, place, blind


def _leaving(near: NDArray[np.float64], distance: float) -> int:
    """The first moment from which on nearness counts: 0 unless the link is near the scene from the beginning."""
    if near[0] >= distance:
        return 0
    ends = (near >= distance) | ((near == 0.0) & (near[0] > 0.0))
    return int(np.argmax(ends)) if ends.any() else len(near)


def _spans(is_near: NDArray[np.bool_], cut: int) -> Iterator[tuple[int, int]]:
    """The stretches of moments, from one up to another, in which it is near; none reaches across ``cut``."""
    for begin, part in ((0, is_near[:cut]), (cut, is_near[cut:])):
        changes = np.flatnonzero(np.diff(np.concatenate([[False], part, [False]]).astype(np.int8)))
        for start, stop in changes.reshape(-1, 2).tolist():
            yield begin + start, begin + stop
