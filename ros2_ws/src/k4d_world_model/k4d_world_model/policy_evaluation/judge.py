"""Whether a run did its task, told from what was seen of it alone: true or predicted pictures, points and joints."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, Renderer, tool_path
from k4d_world_model.policy_evaluation.table_view import (
    TableView,
    find_thing,
    find_things,
    heights_near,
    robot_pixels,
    view_table,
)
from k4d_world_model.policy_evaluation.world import Footage, Goal
from k4d_world_model.scene_objects import SceneObject

Array = NDArray[np.float64]

# How far from where it is said to be the object may be seen at first, and how near it the robot's tool may touch it.
_ABOUT, _TOUCHES = 0.04, 0.05
# How much higher or lower than where it would stand the top of an object that stands may be seen.
_STANDS = 0.01
# Of the last frames, in how many a hidden object is looked for.
_LAST = 6


@dataclass(frozen=True)
class Verdict:
    """A judgement and its reasons. Metres; NaN where the object was not seen.

    seen: whether the object was seen both at first and at last. distance: from its middle to the target's at last, seen
    from above. displacement: how far it came, seen from above. lift: by how much it was raised at most. contact: how
    near the tool came to it at least. standing, released: whether it stands on the target's surface at last, and the
    tool is away from it. ``reason`` says it in words.
    """

    success: bool
    seen: bool
    distance: float
    displacement: float
    lift: float
    contact: float
    standing: bool
    released: bool
    reason: str


def judge(footage: Footage, goal: Goal, robot: ConfiguredRobot) -> Verdict:
    """The verdict on a run that began as ``goal`` says.

    The object is what stands there in the first frame; later frames show it where something of its colour stands or
    hangs. It must be seen at last within the goal's tolerance of the target, at the height at which it would stand
    there, the tool away from it. What the camera does not see counts as not done.
    """
    views = list(_views(footage, robot))
    tools = tool_path(robot.robot, robot.tool_link, footage.joints.positions).T_base_tool[:, :3, 3]
    first = _first_thing(views[0], goal)
    if first is None:
        return _unseen("the object is not seen where it is said to be at first")
    colour = np.median(views[0].rgb[first.pixels], axis=0)
    things = [first, *(find_thing(view, colour) for view in views[1:])]
    last = next((thing for thing in things[: -_LAST - 1 : -1] if thing is not None), None)
    raised = [_raised(view, tool, colour, goal) for view, tool in zip(views, tools, strict=True)]
    if last is None:
        return _unseen("the object is not seen at last")
    distance = float(np.linalg.norm(last.centre[:2] - np.array(goal.target_base[:2])))
    height = last.centre[2] + last.height / 2 - goal.height - goal.target_base[2]
    away = float(np.linalg.norm(last.centre - tools[-1]))
    seen = [(thing, tool) for thing, tool in zip(things, tools, strict=True) if thing is not None]
    contact = min(float(np.linalg.norm(thing.centre - tool)) for thing, tool in seen)
    standing, released = abs(height) <= _STANDS, away > _TOUCHES
    reasons = []
    if distance > goal.tolerance:
        reasons.append(f"object from the target's middle: {distance:.3f} m, at most {goal.tolerance:.3f} m is valid")
    if not standing:
        reasons.append(f"the object's top is {height:+.3f} m from where it would be")
    if not released:
        reasons.append(f"the tool is {away:.3f} m from the object's middle, more than {_TOUCHES:.3f} m is valid")
    displacement = float(np.linalg.norm(last.centre[:2] - first.centre[:2]))
    return Verdict(
        not reasons, True, distance, displacement, max(raised), contact, standing, released,
        "; ".join(reasons) or "done",
    )  # fmt: skip


def _views(footage: Footage, robot: ConfiguredRobot) -> Iterator[TableView]:
    renderer = Renderer(robot.surface, footage.camera)
    for rgb, points, positions in zip(footage.rgb, footage.points_cam, footage.joints.positions, strict=True):
        mask = robot_pixels(renderer, robot.robot, positions, footage.T_cam_base)
        yield view_table(rgb, points, footage.T_cam_base, mask)


def _first_thing(view: TableView, goal: Goal) -> SceneObject | None:
    """What stands nearest to where the goal says that its object is, within _ABOUT; None where nothing does."""
    middle = np.array(goal.object_base)
    things = [(float(np.linalg.norm(thing.centre - middle)), thing) for thing in find_things(view)]
    apart, thing = min(things, key=lambda pair: pair[0], default=(np.inf, None))
    return thing if apart < _ABOUT else None


def _raised(view: TableView, tool: Array, colour: Array, goal: Goal) -> float:
    """By how much the top of what hangs at the tool is above the top of the object where it stood; 0 where nothing."""
    heights = heights_near(view, colour, tool, goal.radius + _TOUCHES)
    return max(0.0, float(heights.max(initial=0.0)) - goal.height)


def _unseen(reason: str) -> Verdict:
    nan = float("nan")
    return Verdict(False, False, nan, nan, nan, nan, False, False, reason)
