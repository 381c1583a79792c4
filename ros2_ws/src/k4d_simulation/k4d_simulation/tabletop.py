"""Table, room, lights and objects as MuJoCo bodies, their looks drawn from one generator."""

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from k4d_simulation.layout import MARKER_RADIUS, PLATE_HEIGHT, TARGET_RADIUS, Layout
from k4d_simulation.objects import COLOURS, TableObject, draw_pattern
from k4d_simulation.robot_model import WORLD_GROUP, quaternion_wxyz
from k4d_simulation.tasks import Task
from k4d_simulation.textures import Pattern, draw_texture

Array = NDArray[np.float64]

OBJECT = "object"
TARGET = "target"

_TABLE_EDGE = -0.36  # x of the edge towards the robot
_THICKNESS = 0.04
_TABLE_HEIGHT = 0.75  # of its top above the floor
_TEXELS, _OBJECT_TEXELS = 128, 32
_DENSITY = 500.0  # kg/m3, about that of wood
# Sliding, spinning, rolling: graspable objects hold, pushed ones slide.
_GRASP_FRICTION, _PUSH_FRICTION = (1.0, 0.01, 0.0005), (0.4, 0.005, 0.0005)
_SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}


def add_room(spec: mujoco.MjSpec, T_world_base: Array, task: Task, generator: np.random.Generator) -> None:
    """Adds a table of random size and look with its top at z = 0, the robot's pedestal, floor, wall and lights."""
    half_x, half_y = generator.uniform((0.34, 0.48), (0.44, 0.7))
    friction = _PUSH_FRICTION if task == "push" else _GRASP_FRICTION
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half_x, half_y, _THICKNESS / 2],
        pos=[_TABLE_EDGE + half_x, 0.0, -_THICKNESS / 2],
        material=_add_surface(spec, "table", generator, repeat=float(generator.uniform(1, 4))),
        friction=friction,
        conaffinity=3,
        group=WORLD_GROUP,
    )
    x, y, z = T_world_base[:3, 3]
    spec.worldbody.add_geom(
        name="pedestal",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[0.11, (_TABLE_HEIGHT + z) / 2, 0],
        pos=[x, y, (z - _TABLE_HEIGHT) / 2],
        rgba=[*generator.uniform(0.2, 0.5, 3), 1.0],
        contype=0,
        conaffinity=0,
        group=WORLD_GROUP,
    )
    wall_x = x - float(generator.uniform(0.5, 1.0))
    _add_plane(spec, "floor", (0.0, 0.0, -_TABLE_HEIGHT), (0.0, 0.0, 1.0), generator)
    _add_plane(spec, "wall", (wall_x, 0.0, 0.0), (1.0, 0.0, 0.0), generator)
    _add_lights(spec, generator)


def _add_plane(
    spec: mujoco.MjSpec, name: str, position: ArrayLike, normal: ArrayLike, generator: np.random.Generator
) -> None:
    rotation, _ = Rotation.align_vectors([normal], [[0.0, 0.0, 1.0]])
    spec.worldbody.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[8.0, 8.0, 0.1],
        pos=position,
        quat=quaternion_wxyz(rotation.as_matrix()),
        material=_add_surface(spec, name, generator, repeat=float(generator.uniform(4, 12))),
        contype=1,
        conaffinity=1,
        group=WORLD_GROUP,
    )


def _add_surface(spec: mujoco.MjSpec, name: str, generator: np.random.Generator, repeat: float) -> str:
    """A material of two kindred colours in a random pattern; returns its name."""
    first = np.clip(generator.uniform(0.25, 0.9) + generator.uniform(-0.15, 0.15, 3), 0.05, 1.0)
    second = np.clip(first * generator.uniform(0.6, 0.9) + generator.uniform(-0.06, 0.06, 3), 0.0, 1.0)
    texture = draw_texture(draw_pattern(generator), first, second, _TEXELS, generator)
    _add_texture(spec, name, mujoco.mjtTexture.mjTEXTURE_2D, texture)
    return _add_material(spec, name, repeat=repeat)


def _add_texture(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtTexture, texels: NDArray[np.uint8]) -> None:
    texture = spec.add_texture(name=name, type=kind, height=texels.shape[0], width=texels.shape[1], nchannel=3)
    texture.data = texels.tobytes()


def _add_material(spec: mujoco.MjSpec, name: str, repeat: float) -> str:
    material = spec.add_material(name=name, texrepeat=[repeat, repeat], specular=0.25, shininess=0.3)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    return name


def _add_lights(spec: mujoco.MjSpec, generator: np.random.Generator) -> None:
    """One light that casts shadows, one that fills them, and the ambient light."""
    strength = float(generator.uniform(0.5, 0.8))
    x, y = generator.uniform((-0.1, -0.8), (0.9, 0.8))
    spec.worldbody.add_light(
        name="key",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[x, y, 1.8],
        dir=[-x, -y, -1.8],
        diffuse=strength * generator.uniform(0.9, 1.0, 3),
        castshadow=True,
    )
    spec.worldbody.add_light(
        name="fill",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[1.5, -y, 1.5],
        dir=[-0.7, y, -0.7],
        diffuse=[0.8 - strength] * 3,
        castshadow=False,
    )
    spec.visual.headlight.ambient = [float(generator.uniform(0.2, 0.35))] * 3
    spec.visual.headlight.diffuse = [0.15] * 3


def add_things(spec: mujoco.MjSpec, layout: Layout, task: Task, generator: np.random.Generator) -> None:
    """Adds the task's object, its target and the distractors."""
    friction = _PUSH_FRICTION if task == "push" else _GRASP_FRICTION
    if layout.object is not None:
        _add_object(spec, OBJECT, layout.object, friction, generator)
    for k, thing in enumerate(layout.distractors):
        _add_object(spec, f"distractor{k}", thing, _GRASP_FRICTION, generator)
    x, y, z = layout.target
    disc = task != "reach"
    height = PLATE_HEIGHT if task == "pick_place" else 0.001
    spec.worldbody.add_geom(
        name=TARGET,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER if disc else mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[TARGET_RADIUS, height / 2, 0.0] if disc else [MARKER_RADIUS, 0.0, 0.0],
        pos=[x, y, height / 2 if disc else z],
        rgba=[*COLOURS[layout.target_colour], 1.0],
        contype=1 if task == "pick_place" else 0,
        conaffinity=3 if task == "pick_place" else 0,
        friction=friction,
        group=WORLD_GROUP,
    )


def _add_object(
    spec: mujoco.MjSpec,
    name: str,
    thing: TableObject,
    friction: tuple[float, float, float],
    generator: np.random.Generator,
) -> None:
    R = Rotation.from_euler("z", thing.yaw).as_matrix()
    body = spec.worldbody.add_body(name=name, pos=[*thing.xy, thing.height / 2], quat=quaternion_wxyz(R))
    body.add_freejoint(name=name)
    size = list(thing.half_extents)
    turn = np.eye(3)
    if thing.shape == "cylinder":
        size = [size[0], size[2], 0.0]
    elif thing.shape == "capsule":
        size = [size[2], size[0] - size[2], 0.0]
        turn = Rotation.from_euler("y", np.pi / 2).as_matrix()
    body.add_geom(
        name=name,
        type=_SHAPES[thing.shape],
        size=size,
        quat=quaternion_wxyz(turn),
        material=_add_coat(spec, name, thing.colour, thing.pattern, generator),
        density=_DENSITY,
        friction=friction if thing.shape in ("box", "cylinder") else (friction[0], 0.01, 0.002),
        condim=4 if thing.shape in ("box", "cylinder") else 6,
        contype=1,
        conaffinity=3,
        group=WORLD_GROUP,
    )


def _add_coat(spec: mujoco.MjSpec, name: str, colour: str, pattern: Pattern, generator: np.random.Generator) -> str:
    """A cube texture of the named colour, patterned with a shade of it; returns its material's name."""
    first = np.clip(np.array(COLOURS[colour]) * generator.uniform(0.85, 1.1), 0.0, 1.0)
    second = first * generator.uniform(0.35, 0.75)
    faces = [draw_texture(pattern, first, second, _OBJECT_TEXELS, generator) for _ in range(6)]
    _add_texture(spec, name, mujoco.mjtTexture.mjTEXTURE_CUBE, np.concatenate(faces))
    return _add_material(spec, name, repeat=1.0)
