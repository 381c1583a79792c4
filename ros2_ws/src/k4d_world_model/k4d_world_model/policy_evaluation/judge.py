"""Whether a run did its task, told from what was seen of it alone: true or predicted pictures, points and joints."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, Renderer, tool_path
from k4d_world_model.policy_evaluation.table_view import (
    TableView,
    find_things,
    hue_likeness,
    points_near,
    robot_pixels,
    view_table,
)
from k4d_world_model.policy_evaluation.world import Footage, Goal
from k4d_world_model.scene_objects import SceneObject

Array = NDArray[np.float64]

# How far from where it is said to be the object may be seen at first, and how near it the robot's tool may touch it.
_ABOUT, _TOUCHES = 0.04, 0.05
# How much higher or lower than where it would be the top of an object that stands may be seen: enough to tell it from
# one that hangs, too much to tell it from one that fell over.
_STANDS = 0.03
# How far from where it stood a thing that nobody moved may be seen.
_STAYS = 0.025
# How much a thing must look like another to be taken for it, at least: what has lost its colour looks like none.
_ANOTHER = 0.5


@dataclass(frozen=True)
class Verdict:
    """A judgement and its reasons. Metres; NaN where the object was not seen.

    seen: whether the object was seen at last. distance: from its middle to the target's at last, seen
    from above. displacement: how far it came, seen from above. lift: by how much it was raised at most, seen at the
    tool. contact: how near the tool came to what is seen of it, NaN where it never came near. standing, released:
    whether it stands on the target's surface at last, and the tool is away from it. ``reason`` says it in words.
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

    The object is what stands there in the first frame, if it is seen. Later it is what stands where nothing else stood,
    of several things the one that is most like it in height and hue: pictures may be predicted worse than points. What
    is more like another thing that no longer stands where it stood is that thing, pushed aside. The object must be seen
    in the last frame within the goal's tolerance of the target, at the height at which it would stand there, the tool
    away from it. What the camera does not see then counts as not done.
    """
    views = list(_views(footage, robot))
    tools = tool_path(robot.robot, robot.tool_link, footage.joints.positions).T_base_tool[:, :3, 3]
    at_first = find_things(views[0])
    first = _nearest(at_first, goal)
    colour = None if first is None else _colour(views[0], first)
    others = [_Other(thing.centre[:2], _colour(views[0], thing)) for thing in at_first if thing is not first]
    last = first if len(views) == 1 else _thing_again(views[-1], others, colour, goal)
    at_tool = [_at_tool(view, tool, colour, goal) for view, tool in zip(views, tools, strict=True)]
    if last is None:
        return _unseen(at_tool)
    start = np.array(goal.object_base) if first is None else first.centre
    return _conclude(start, last, goal, tools[-1], at_tool)


def _unseen(at_tool: list["_AtTool"]) -> Verdict:
    """The verdict on an object that stands nowhere at last as far as the camera sees."""
    nan, lift = float("nan"), at_tool[-1].lift
    at_it = f"; something of its colour is at the tool, {lift:.3f} m higher than it stood" if lift > _STANDS else ""
    reason = f"the object is not seen to stand at last{at_it}"
    return Verdict(False, False, nan, nan, _highest(at_tool), _nearest_contact(at_tool), False, False, reason)


def _conclude(start: Array, last: SceneObject, goal: Goal, tool: Array, at_tool: list["_AtTool"]) -> Verdict:
    """The verdict on an object that was seen at last; ``start`` (3,) is where it stood, ``tool`` (3,) ends."""
    distance = float(np.linalg.norm(last.centre[:2] - np.array(goal.target_base[:2])))
    height = float(last.centre[2] + last.height / 2 - goal.height - goal.target_base[2])
    away = float(np.linalg.norm(last.centre - tool))
    standing, released = abs(height) <= _STANDS, away > _TOUCHES
    reasons = []
    if distance > goal.tolerance:
        reasons.append(f"object from the target's middle: {distance:.3f} m, at most {goal.tolerance:.3f} m is valid")
    if not standing:
        reasons.append(f"the object's top is {height:+.3f} m from where it would be")
    elif not released:
        reasons.append(f"the tool is {away:.3f} m from the object's middle, more than {_TOUCHES:.3f} m is valid")
    displacement = float(np.linalg.norm(last.centre[:2] - start[:2]))
    lift, contact, reason = _highest(at_tool), _nearest_contact(at_tool), "; ".join(reasons) or "done"
    return Verdict(not reasons, True, distance, displacement, lift, contact, standing, released, reason)


def _views(footage: Footage, robot: ConfiguredRobot) -> Iterator[TableView]:
    renderer = Renderer(robot.surface, footage.camera)
    for rgb, points, positions in zip(footage.rgb, footage.points_cam, footage.joints.positions, strict=True):
        mask = robot_pixels(renderer, robot.robot, positions, footage.T_cam_base)
        yield view_table(rgb, points, footage.T_cam_base, mask)


def _nearest(things: list[SceneObject], goal: Goal) -> SceneObject | None:
    """What stands nearest to where the goal says that its object is, within _ABOUT; None where nothing does."""
    middle = np.array(goal.object_base)
    by_distance = [(float(np.linalg.norm(thing.centre - middle)), thing) for thing in things]
    apart, thing = min(by_distance, key=lambda pair: pair[0], default=(np.inf, None))
    return thing if apart < _ABOUT else None


class _Other(NamedTuple):
    """A thing of the first frame that is not the object: where it stood (2,), and its colour (3,)."""

    place: Array
    colour: Array


def _colour(view: TableView, thing: SceneObject) -> Array:
    return np.asarray(np.median(view.rgb[thing.pixels], axis=0))


def _thing_again(view: TableView, others: list[_Other], colour: Array | None, goal: Goal) -> SceneObject | None:
    """The object in a later frame: what stands where none of the ``others`` stood, and is none of them; or None."""

    def likeness(thing: SceneObject, to: Array | None) -> float:
        return 0.0 if to is None else float(hue_likeness(view.rgb[thing.pixels], to).mean())

    def resemblance(thing: SceneObject) -> float:
        higher = thing.centre[2] + thing.height / 2 - view.table - goal.height
        return (0.3 + likeness(thing, colour)) * float(np.exp(-np.square(higher / _STANDS)))

    def is_at(thing: SceneObject, other: _Other) -> bool:
        return bool(np.linalg.norm(thing.centre[:2] - other.place) <= _STAYS)

    seen = find_things(view)
    gone = [other.colour for other in others if not any(is_at(thing, other) for thing in seen)]
    new = [
        thing
        for thing in seen
        if not any(is_at(thing, other) for other in others)
        and all(likeness(thing, other) <= max(likeness(thing, colour), _ANOTHER) for other in gone)
    ]
    return max(new, key=resemblance, default=None)


class _AtTool(NamedTuple):
    """What of the object is seen about the tool: how much higher its top is than where it stood, how near it is."""

    lift: float
    distance: float


def _highest(at_tool: list[_AtTool]) -> float:
    return max(part.lift for part in at_tool)


def _nearest_contact(at_tool: list[_AtTool]) -> float:
    return min((part.distance for part in at_tool if not np.isnan(part.distance)), default=float("nan"))


def _at_tool(view: TableView, tool: Array, colour: Array | None, goal: Goal) -> _AtTool:
    points = np.zeros((0, 3)) if colour is None else points_near(view, colour, tool, goal.radius + _TOUCHES)
    if not len(points):
        return _AtTool(0.0, float("nan"))
    lift = float(points[:, 2].max()) - view.table - goal.height
    return _AtTool(max(0.0, lift), float(np.linalg.norm(points - tool, axis=-1).min()))
