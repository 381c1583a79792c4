"""Whether a task is done, judged from the simulator's state alone."""

from dataclasses import dataclass

import mujoco
import numpy as np

from k4d_simulation.control import tool_pose
from k4d_simulation.layout import PLATE_HEIGHT, TARGET_RADIUS
from k4d_simulation.objects import TableObject
from k4d_simulation.robot_model import COLLISION_GROUP
from k4d_simulation.scene import Scene

# The object's centre must be this far inside the disc's rim.
INSIDE = TARGET_RADIUS - 0.02
REACH_TOLERANCE = 0.02
_UPRIGHT = np.cos(np.deg2rad(15.0))
_LIFT = 0.008  # above where it would stand, at most


@dataclass(frozen=True)
class Outcome:
    """A verdict and its reasons.

    ``distance`` (m) is from the object's centre to the disc's as seen from above, for reach from the tool to the point.
    ``standing`` and ``released`` tell whether the object stands upright on table or disc, and whether no part of the
    robot touches it; both are True for reach. ``reason`` says it in words.
    """

    success: bool
    distance: float
    standing: bool
    released: bool
    reason: str


def check_success(scene: Scene, data: mujoco.MjData) -> Outcome:
    """The outcome in the state that ``data`` holds, after any step."""
    if scene.layout.object is None:
        distance = float(np.linalg.norm(tool_pose(scene, data)[:3, 3] - scene.target))
        return _judge(distance, REACH_TOLERANCE, "tool from the point", standing=True, released=True)
    mujoco.mj_forward(scene.model, data)
    body = scene.object_body
    distance = float(np.linalg.norm(data.xpos[body][:2] - scene.target[:2]))
    standing = _stands(scene.layout.object, data, body, PLATE_HEIGHT if scene.task == "pick_place" else 0.0)
    released = not _is_touched(scene, data, body)
    return _judge(distance, INSIDE, "object from the disc's middle", standing=standing, released=released)


def _judge(distance: float, limit: float, what: str, *, standing: bool, released: bool) -> Outcome:
    reasons = []
    if distance > limit:
        reasons.append(f"{what}: {distance:.3f} m, at most {limit:.3f} m is valid")
    if not standing:
        reasons.append("the object does not stand upright on the table")
    if not released:
        reasons.append("the robot still touches the object")
    return Outcome(not reasons, distance, standing, released, "; ".join(reasons) or "done")


def _stands(thing: TableObject, data: mujoco.MjData, body: int | None, plate: float) -> bool:
    z, up = data.xpos[body][2], data.xmat[body].reshape(3, 3)[2, 2]
    low = thing.height / 2.0
    return bool(up >= _UPRIGHT and low - 0.005 <= z <= low + plate + _LIFT)


def _is_touched(scene: Scene, data: mujoco.MjData, body: int | None) -> bool:
    """Whether a contact joins the object and the robot."""
    model, pairs = scene.model, data.contact.geom  # (n, 2)
    ours = model.geom_bodyid[pairs] == body
    robots = model.geom_group[pairs] == COLLISION_GROUP
    return bool((ours.any(axis=1) & robots.any(axis=1)).any())
