"""Scripted experts: each plans its task's actions from where things are, and follows them without looking."""

import numpy as np
from numpy.typing import NDArray

from k4d_simulation.control import STEP_ANGLE, STEP_LENGTH
from k4d_simulation.errors import ExpertError
from k4d_simulation.layout import PLATE_HEIGHT
from k4d_simulation.objects import TableObject
from k4d_simulation.scene import Scene
from k4d_simulation.tasks import gripper_joint_names

Array = NDArray[np.float64]

OPEN, CLOSED = -1.0, 1.0
NEAR_MISS = (0.04, 0.08)  # m that a near-miss ends beside the point

# Every plan is longer than the 49 frames of an episode; what is done sooner is followed by standing still.
LEAST_ACTIONS = 60
_FAST, _SLOW = 0.4, 0.2  # shares of the largest step
_TURN = 0.17
_CARRY_HEIGHT = 0.17
_PUSH_HEIGHT = 0.022
_PUSH_OPENING = 0.4  # of the gripper: two fingers side by side push without turning the object
_BEHIND = 0.05  # free space between tool and object before a push
_LOW_POINT = 0.2


class _Plan:
    """Actions that lead the tool's goal along straight lines, one after the other."""

    def __init__(self, T_world_tool: Array) -> None:
        self.position, self.actions = T_world_tool[:3, 3].copy(), list[Array]()

    def move(self, goal: Array, gripper: float, speed: float = _FAST, turn: float = 0.0) -> None:
        """To ``goal`` (3,) in equal steps while turning about the vertical by ``turn``."""
        way = goal - self.position
        count = max(
            int(np.ceil(np.linalg.norm(way) / (speed * STEP_LENGTH))), int(np.ceil(abs(turn) / (_TURN * STEP_ANGLE)))
        )
        if count:
            step = np.concatenate([way / STEP_LENGTH, [0.0, 0.0, turn / STEP_ANGLE]]) / count
            self.actions += [np.append(step, gripper)] * count
        self.position = goal.copy()

    def hold(self, count: int, gripper: float) -> None:
        """To stand still for ``count`` actions."""
        self.actions += [np.append(np.zeros(6), gripper)] * count


def plan_actions(scene: Scene, T_world_tool: Array, *, near_miss: bool = False) -> Array:
    """Actions (N, 7) in [-1, 1] that do the scene's task from the tool's pose (4, 4) in the initial state.

    With ``near_miss`` those for reach end NEAR_MISS beside the point, by a draw from the scene's seed. Raises
    ExpertError where another task is asked to miss.
    """
    if near_miss and scene.task != "reach":
        raise ExpertError(f"a near miss is scripted for 'reach' only, got task {scene.task!r}")
    plan = _Plan(T_world_tool)
    if scene.layout.object is None:
        _plan_reach(plan, scene, near_miss=near_miss)
    elif scene.task == "push":
        _plan_push(plan, scene, scene.layout.object, T_world_tool)
    else:
        _plan_pick_place(plan, scene, scene.layout.object, T_world_tool)
    gripper = plan.actions[-1][-1]
    plan.hold(LEAST_ACTIONS - len(plan.actions), gripper)
    return np.array(plan.actions)


def _plan_pick_place(plan: _Plan, scene: Scene, thing: TableObject, T_world_tool: Array) -> None:
    grasp = np.array([*thing.xy, thing.height / 2.0])
    place = scene.target + [0.0, 0.0, grasp[2] + PLATE_HEIGHT + 0.002]
    high = np.array([0.0, 0.0, max(_CARRY_HEIGHT, _tallest(scene) + thing.height + 0.05)])
    turn = _grasp_turn(scene, thing, T_world_tool)
    flat = np.array([1.0, 1.0, 0.0])
    plan.move(grasp * flat + high, OPEN, turn=turn)
    plan.move(grasp, OPEN, _SLOW)
    plan.hold(3, OPEN)
    plan.hold(8, CLOSED)
    plan.move(grasp * flat + high, CLOSED, _SLOW)
    plan.move(place * flat + high, CLOSED)
    plan.move(place, CLOSED, _SLOW)
    plan.hold(3, CLOSED)
    plan.hold(6, OPEN)
    plan.move(place * flat + high, OPEN)
    plan.hold(2, OPEN)


def _plan_push(plan: _Plan, scene: Scene, thing: TableObject, T_world_tool: Array) -> None:
    start, goal = np.array([*thing.xy, _PUSH_HEIGHT]), np.array([*scene.target[:2], _PUSH_HEIGHT])
    direction = (goal - start) / np.linalg.norm(goal - start)
    contact = thing.radius + _tool_depth(scene)
    behind, end = start - direction * (contact + _BEHIND), goal - direction * _contact_distance(scene, thing)
    across = np.array([-direction[1], direction[0], 0.0])
    turn = _turn_to(_finger_axis(scene, T_world_tool), across)
    above = np.array([0.0, 0.0, max(_CARRY_HEIGHT, _tallest(scene) + 0.06) - _PUSH_HEIGHT])
    plan.move(behind + above, _PUSH_OPENING, turn=turn)
    plan.move(behind, _PUSH_OPENING, _SLOW)
    plan.move(end, _PUSH_OPENING, _SLOW)
    plan.hold(4, _PUSH_OPENING)
    plan.move(end - direction * 0.04, _PUSH_OPENING)
    plan.move(end - direction * 0.04 + above, _PUSH_OPENING)


def _plan_reach(plan: _Plan, scene: Scene, *, near_miss: bool) -> None:
    goal = scene.target
    if near_miss:
        generator = np.random.default_rng([scene.seed, 1])
        angle, distance = generator.uniform(-np.pi, np.pi), generator.uniform(*NEAR_MISS)
        goal = goal + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
    plan.move(np.array([*goal[:2], max(goal[2], _LOW_POINT)]), OPEN, _SLOW)
    plan.move(goal, OPEN, _SLOW)
    plan.hold(6, OPEN)


def _tallest(scene: Scene) -> float:
    return max((thing.height for thing in scene.layout.distractors), default=0.0)


def _has_gripper(scene: Scene) -> bool:
    return bool(gripper_joint_names(scene.robot))


def _tool_depth(scene: Scene) -> float:
    """How far the tool reaches from its axis towards what it pushes: half a finger, or a flange's radius."""
    return 0.011 if _has_gripper(scene) else 0.038


def _contact_distance(scene: Scene, thing: TableObject) -> float:
    """From the tool's axis to the centre of an object that it pushes; a box meets it with a side."""
    x, y, _ = thing.half_extents
    return _tool_depth(scene) + (x + y) / 2.0


def _finger_axis(scene: Scene, T_world_tool: Array) -> Array:
    """The direction (3,) in which the gripper opens, by URDF convention the tool's y axis."""
    return np.asarray(T_world_tool[:3, 1])


def _grasp_turn(scene: Scene, thing: TableObject, T_world_tool: Array) -> float:
    """The smallest turn after which the fingers close on two sides of the object; round ones need none."""
    if thing.shape == "cylinder":
        return 0.0
    axis = _finger_axis(scene, T_world_tool)
    turns = [
        _turn_to(axis, np.array([np.cos(angle), np.sin(angle), 0.0])) for angle in (thing.yaw, thing.yaw + np.pi / 2)
    ]
    return min(turns, key=abs)


def _turn_to(axis: Array, direction: Array) -> float:
    """The turn about the vertical, within a quarter either way, that makes ``axis`` parallel to ``direction``."""
    angle = np.arctan2(direction[1], direction[0]) - np.arctan2(axis[1], axis[0])
    return float((angle + np.pi / 2) % np.pi - np.pi / 2)
