"""Where everything stands on the table. The world's origin is the middle of the workspace, z up, x to the viewer."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from k4d_simulation.errors import SceneError
from k4d_simulation.objects import COLOURS, SHAPES, Shape, TableObject, draw_half_extents, draw_pattern
from k4d_simulation.scene_config import Range, SceneConfig
from k4d_simulation.tasks import Task

Array = NDArray[np.float64]

TARGET_RADIUS = 0.07  # of the disc that an object is brought to
MARKER_RADIUS = 0.018  # of the ball that the tool reaches for
PLATE_HEIGHT = 0.004  # of the disc in pick_place

# Where the task's object and target may be, and where anything may: x, then y.
_TASK_AREA = ((-0.11, 0.11), (-0.21, 0.21))
_TABLE_AREA = ((-0.24, 0.28), (-0.42, 0.42))
_WAY = (0.17, 0.3)  # from the object, or the tool's start, to the target
_RUN_UP = 0.14  # behind an object that is pushed
_POINT, _LOW_POINT = (0.09, 0.3), (0.05, 0.08)  # heights to reach for; an occluder hides low ones only
_TOOL_RADIUS = 0.045  # of what moves along the table behind or beside an object
_HAND_REACH = 0.12  # of a gripper's body, which only low objects fit below
_LOW = 0.052
_BETWEEN = 0.008  # free space between any two distractors

_RESTARTS, _TRIES = 60, 60


@dataclass(frozen=True)
class Layout:
    """The things of one scene, in the world frame.

    ``object`` is what the task moves, None for reach. ``target`` (3,) is the middle of the disc on the table, or the
    point to reach; ``target_colour`` its colour. ``tool_start`` (3,) is where the tool begins.
    """

    object: TableObject | None
    target: tuple[float, float, float]
    target_colour: str
    tool_start: tuple[float, float, float]
    distractors: tuple[TableObject, ...]

    @property
    def origin(self) -> tuple[float, float]:
        """Where the way to the target begins: the object, or below the tool's start."""
        return self.object.xy if self.object is not None else self.tool_start[:2]


def draw_layout(config: SceneConfig, task: Task, eye: Array, generator: np.random.Generator) -> Layout:
    """A layout that a task can be done in, for a camera at ``eye`` (3,).

    Raises SceneError where the objects that ``config`` asks for find no room.
    """
    wanted = int(generator.integers(config.distractors[0], config.distractors[1], endpoint=True))
    for _ in range(_RESTARTS):
        layout = _draw_task(config, task, generator)
        distractors = _draw_distractors(config, task, layout, wanted, eye, generator)
        if distractors is not None:
            return replace(layout, distractors=distractors)
    raise SceneError(
        f"no room for {wanted} distractors of radius {config.distractor_radius} m with {config.object_gap} m around "
        f"the object and {config.path_clearance} m beside its way, in {_RESTARTS} layouts; ask for fewer or smaller"
    )


def _draw_task(config: SceneConfig, task: Task, generator: np.random.Generator) -> Layout:
    """The object, the target and the tool's start, without distractors."""
    first, second = generator.permutation(len(COLOURS))[:2]
    names = list(COLOURS)
    start = generator.uniform((-0.12, -0.12, 0.26), (0.0, 0.12, 0.36))
    while True:
        origin = start[:2] if task == "reach" else _draw_point(_TASK_AREA, generator)
        goal = _draw_point(_TASK_AREA, generator)
        if _WAY[0] <= np.linalg.norm(goal - origin) <= _WAY[1]:
            break
    height = float(generator.uniform(*(_LOW_POINT if config.occluders else _POINT))) if task == "reach" else 0.0
    thing = None if task == "reach" else _draw_object(config, origin, names[first], generator)
    x, y, z = start.tolist()
    return Layout(thing, (float(goal[0]), float(goal[1]), height), names[second], (x, y, z), ())


def _draw_object(config: SceneConfig, xy: Array, colour: str, generator: np.random.Generator) -> TableObject:
    """A box or a cylinder that fits between a gripper's fingers."""
    shape: Shape = "box" if generator.random() < 0.6 else "cylinder"
    x, y = generator.uniform(0.018, 0.026, 2)
    half = (float(x), float(x if shape == "cylinder" else y), float(generator.uniform(0.02, 0.03)))
    yaw = float(generator.uniform(-config.object_yaw, config.object_yaw))
    return TableObject(shape, half, (float(xy[0]), float(xy[1])), yaw, colour, draw_pattern(generator))


def _draw_point(area: tuple[Range, Range], generator: np.random.Generator) -> Array:
    (x0, x1), (y0, y1) = area
    return generator.uniform((x0, y0), (x1, y1))


def _draw_distractors(
    config: SceneConfig, task: Task, layout: Layout, count: int, eye: Array, generator: np.random.Generator
) -> tuple[TableObject, ...] | None:
    """``count`` distractors, the posts of gates first, then the occluders; None where one finds no room."""
    placed: list[TableObject] = []
    free = _FreeSpace(config, task, layout)
    posts = 2 * config.gates
    while len(placed) < count:
        for _ in range(_TRIES):
            if len(placed) < posts:
                candidate = _draw_post(config, free, placed[-1] if len(placed) % 2 else None, generator)
            elif len(placed) < posts + config.occluders:
                candidate = _draw_occluder(config, free, eye, generator)
            else:
                candidate = _draw_bystander(config, free, generator)
            if free.fits(candidate, placed):
                placed.append(candidate)
                break
        else:
            return None
    return tuple(placed)


def _draw_post(
    config: SceneConfig, free: "_FreeSpace", other: TableObject | None, generator: np.random.Generator
) -> TableObject:
    """A post of a gate that just leaves the way free; the second stands opposite the ``other``."""
    post = _draw_thing(config, free, SHAPES, generator)
    along = free.goal - free.start
    share = (0.5 if other is None else _project(other.xy, free.start, free.goal)) + generator.uniform(-0.04, 0.04)
    side = np.array([-along[1], along[0]]) / np.linalg.norm(along) * (1.0 if other is None else -1.0)
    return _stand(post, free.start + share * along + side * (free.half_width + post.radius + 0.001))


def _draw_occluder(config: SceneConfig, free: "_FreeSpace", eye: Array, generator: np.random.Generator) -> TableObject:
    """A box or cylinder before the camera, as high as it takes to hide the lower half of what is behind it."""
    thing = _draw_thing(config, free, ("box", "cylinder"), generator)
    to_eye = (eye[:2] - free.centre) / np.linalg.norm(eye[:2] - free.centre)
    aside = np.array([-to_eye[1], to_eye[0]]) * generator.choice((-1.0, 1.0)) * generator.uniform(0.4, 1.0)
    distance = free.around_object + thing.radius + generator.uniform(0.0, _HAND_REACH)
    sight = free.height + (eye[2] - free.height) * distance / np.linalg.norm(eye[:2] - free.centre)
    x, y, _ = thing.half_extents
    tall = replace(thing, half_extents=(x, y, float(sight) / 2.0))
    return _stand(tall, free.centre + to_eye * distance + aside * thing.radius)


def _draw_bystander(config: SceneConfig, free: "_FreeSpace", generator: np.random.Generator) -> TableObject:
    """A distractor anywhere around the object."""
    angle, distance = generator.uniform(-np.pi, np.pi), generator.uniform(*config.distractor_distance)
    thing = _draw_thing(config, free, SHAPES, generator)
    return _stand(thing, free.centre + distance * np.array([np.cos(angle), np.sin(angle)]))


def _draw_thing(
    config: SceneConfig, free: "_FreeSpace", shapes: tuple[Shape, ...], generator: np.random.Generator
) -> TableObject:
    """A distractor that has no place yet, of another colour than what the task is about."""
    shape = shapes[generator.integers(len(shapes))]
    radius, height = generator.uniform(*config.distractor_radius), generator.uniform(*config.distractor_height)
    half = draw_half_extents(shape, float(radius), float(height), generator)
    colour = free.colours[generator.integers(len(free.colours))]
    yaw = float(generator.uniform(-np.pi, np.pi))
    return TableObject(shape, half, (0.0, 0.0), yaw, colour, draw_pattern(generator))


def _stand(thing: TableObject, xy: Array) -> TableObject:
    return replace(thing, xy=(float(xy[0]), float(xy[1])))


def _project(point: tuple[float, float], start: Array, goal: Array) -> float:
    """Where the foot of ``point`` lies between ``start`` (0) and ``goal`` (1)."""
    along = goal - start
    return float((np.asarray(point) - start) @ along / (along @ along))


class _FreeSpace:
    """What must stay free: around the object and the target, and along the way between them."""

    def __init__(self, config: SceneConfig, task: Task, layout: Layout) -> None:
        self.task = task
        told = {layout.target_colour, layout.object.colour if layout.object is not None else ""}
        self.colours = [name for name in COLOURS if name not in told]
        self.start, self.goal = np.array(layout.origin), np.array(layout.target[:2])
        # Distractors crowd around what is grasped, pushed or reached for.
        if layout.object is not None:
            self.centre, self.height, radius = self.start, layout.object.height / 2.0, layout.object.radius
        else:
            self.centre, self.height, radius = self.goal, layout.target[2], MARKER_RADIUS
        self.around_object = radius + config.object_gap
        self.half_width = max(radius, _TOOL_RADIUS) + config.path_clearance
        back = (self.start - self.goal) / np.linalg.norm(self.start - self.goal)
        self.way_start = self.start + back * _RUN_UP if task == "push" else self.start

    def fits(self, candidate: TableObject, placed: list[TableObject]) -> bool:
        """Whether ``candidate`` stands on the table, apart from the others, and leaves what must stay free."""
        xy, r = np.array(candidate.xy), candidate.radius
        (x0, x1), (y0, y1) = _TABLE_AREA
        if not (x0 + r <= xy[0] <= x1 - r and y0 + r <= xy[1] <= y1 - r):
            return False
        if any(np.linalg.norm(xy - other.xy) < r + other.radius + _BETWEEN for other in placed):
            return False
        hand = _HAND_REACH if candidate.height > _LOW else 0.0
        around_target = max(TARGET_RADIUS + 0.01, self.around_object, hand)
        if np.linalg.norm(xy - self.centre) < self.around_object + r:
            return False
        if self.task != "reach" and np.linalg.norm(xy - self.goal) < around_target + r:
            return False
        share = np.clip(_project(candidate.xy, self.way_start, self.goal), 0.0, 1.0)
        foot = self.way_start + share * (self.goal - self.way_start)
        beside = max(self.half_width, hand) if self.task == "push" else self.half_width
        return bool(np.linalg.norm(xy - foot) >= beside + r)
