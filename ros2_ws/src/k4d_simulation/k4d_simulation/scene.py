"""One tabletop with a robot, a task and a camera: everything that a seed decides."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, se3
from k4d_simulation.arm_ik import ArmIk
from k4d_simulation.errors import SceneError
from k4d_simulation.layout import Layout, draw_layout
from k4d_simulation.robot_meshes import Meshes
from k4d_simulation.robot_model import PREFIX, ROBOT_GROUP, add_robot, mimic_joints, quaternion_wxyz, tune_servos
from k4d_simulation.scene_config import SceneConfig
from k4d_simulation.tabletop import OBJECT, add_room, add_things
from k4d_simulation.tasks import Task, arm_joint_names, check_task, gripper_joint_names

Array = NDArray[np.float64]

CAMERA_NAME = "front"
TIMESTEP = 0.002  # s

_BASE_X = -0.52  # where the robot stands, behind the middle of the workspace
_SERVO_FREQUENCY = 45.0  # rad/s, so that the arm lags by about 40 ms
_LARGEST_IMAGE = 4096


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled scene in the world frame: origin in the middle of the workspace on the table, z up, x to the viewer.

    ``T_world_cam`` (4, 4) is the pose of the optical frame of the camera "front" and ``fovy`` its vertical field of
    view; ``T_world_base`` (4, 4) that of the robot's root link. ``initial_qpos`` (nq,) is where an episode starts.
    ``joint_addresses`` and ``servos`` (J,) are where ``robot.robot.joint_names`` lie in qpos and ctrl. ``robot_geoms``
    (ngeom,) tells the robot's visual shapes. Geom groups: 1 world, 2 robot as it looks, 3 robot as it touches.
    """

    model: mujoco.MjModel
    robot: ConfiguredRobot
    config: SceneConfig
    task: Task
    seed: int
    layout: Layout
    T_world_cam: Array
    fovy: float
    T_world_base: Array
    initial_qpos: Array
    joint_addresses: NDArray[np.intp]
    servos: NDArray[np.intp]
    robot_geoms: NDArray[np.bool_]

    @property
    def object_body(self) -> int | None:
        """The body of the task's object; None for reach."""
        return None if self.layout.object is None else int(self.model.body(OBJECT).id)

    @property
    def distractor_bodies(self) -> tuple[int, ...]:
        """The bodies of the distractors."""
        return tuple(int(self.model.body(f"distractor{k}").id) for k in range(len(self.layout.distractors)))

    @property
    def target(self) -> Array:
        """The target's centre (3,): of the disc on the table, or of the ball to reach."""
        return np.array(self.layout.target)

    @property
    def caption(self) -> str:
        """What the robot is to do, in one sentence."""
        return _describe(self)

    def camera(self, height: int, width: int) -> Camera:
        """The camera as a pinhole of square pixels whose optical axis meets the middle of the image.

        Raises SceneError for a size that is not within 1..4096 pixels.
        """
        for name, size in (("height", height), ("width", width)):
            if not 1 <= size <= _LARGEST_IMAGE:
                raise SceneError(f"{name} must be within 1..{_LARGEST_IMAGE} pixels, got {size}")
        f = height / 2.0 / np.tan(self.fovy / 2.0)
        return Camera.pinhole(height, width, f, f, (width - 1) / 2.0, (height - 1) / 2.0)

    def positions(self, qpos: Array) -> Array:
        """Positions (..., J) of the robot's joints in its own order, from (..., nq)."""
        return np.asarray(qpos[..., self.joint_addresses])

    def with_positions(self, qpos: Array, positions: Array) -> Array:
        """``qpos`` (..., nq) with the robot's joints at ``positions`` (..., J) and mimic joints where those lead."""
        result = np.array(qpos)
        result[..., self.joint_addresses] = positions
        for name, leader, multiplier, offset in mimic_joints(self.robot.robot):
            at, lead = (self.model.joint(joint).qposadr[0] for joint in (name, leader))
            result[..., at] = multiplier * result[..., lead] + offset
        return result


def build_scene(
    robot: ConfiguredRobot, config: SceneConfig, task: str, seed: int, *, meshes: Meshes = "reduced"
) -> Scene:
    """The scene of a seed: with ``meshes`` "full" every triangle of the robot, "reduced" about 34,000.

    Raises SceneError where the robot cannot do the task, has no home posture, or the objects find no room.
    """
    checked = check_task(robot, task)
    if robot.home is None:
        raise SceneError(f"robot {robot.robot.name!r} needs a home posture to start from, got none; use a robot's YAML")
    if seed < 0:
        raise SceneError(f"seed must be at least 0, got {seed}")
    places, looks, views = np.random.default_rng(seed).spawn(3)
    T_world_cam, fovy = _draw_camera(config, views)
    layout = draw_layout(config, checked, T_world_cam[:3, 3], places)
    T_world_base = se3.from_xyz_rpy((_BASE_X, 0.0, 0.0), (0.0, 0.0, 0.0))
    spec = _empty_spec()
    add_robot(spec, robot, T_world_base, meshes)
    add_room(spec, T_world_base, checked, looks)
    add_things(spec, layout, checked, looks)
    _add_camera(spec, T_world_cam, fovy)
    model = _compile(spec)
    qpos = _start(model, robot, layout, T_world_base)
    names = [PREFIX + name for name in robot.robot.joint_names]
    return Scene(
        model=model,
        robot=robot,
        config=config,
        task=checked,
        seed=seed,
        layout=layout,
        T_world_cam=T_world_cam,
        fovy=fovy,
        T_world_base=T_world_base,
        initial_qpos=qpos,
        joint_addresses=np.array([model.joint(name).qposadr[0] for name in names], np.intp),
        servos=np.array([model.actuator(name).id for name in names], np.intp),
        robot_geoms=np.asarray(model.geom_group == ROBOT_GROUP),
    )


def _empty_spec() -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.stat.extent, spec.stat.center = 1.0, [0.0, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = 0.05, 30.0
    spec.visual.global_.offwidth = spec.visual.global_.offheight = _LARGEST_IMAGE
    spec.visual.quality.shadowsize = 1024
    return spec


def _draw_camera(config: SceneConfig, generator: np.random.Generator) -> tuple[Array, float]:
    """``T_world_cam`` (4, 4) of the optical frame, and the vertical field of view."""
    azimuth, elevation = generator.uniform(*config.camera_azimuth), generator.uniform(*config.camera_elevation)
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    middle = np.array([-0.15, 0.0, 0.16]) + generator.uniform(-0.04, 0.04, 3)
    eye = middle + generator.uniform(*config.camera_distance) * direction
    return se3.inverse(se3.look_at(eye, middle)), float(generator.uniform(*config.camera_fovy))


def _add_camera(spec: mujoco.MjSpec, T_world_cam: Array, fovy: float) -> None:
    # MuJoCo's cameras look along -z with y up, optical frames along z with y down.
    R = T_world_cam[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    spec.worldbody.add_camera(
        name=CAMERA_NAME, pos=T_world_cam[:3, 3], quat=quaternion_wxyz(R), fovy=float(np.rad2deg(fovy))
    )


def _compile(spec: mujoco.MjSpec) -> mujoco.MjModel:
    try:
        return spec.compile()
    except ValueError as error:
        raise SceneError(f"MuJoCo cannot build this scene: {error}") from error


def _start(model: mujoco.MjModel, robot: ConfiguredRobot, layout: Layout, T_world_base: Array) -> Array:
    """The first qpos (nq,): objects as placed, gripper open, the tool pointing down at the layout's start.

    Tunes the arm's servos for that posture.
    """
    assert robot.home is not None
    names, arm = robot.robot.joint_names, arm_joint_names(robot)
    data = mujoco.MjData(model)
    for name, position in zip(names, robot.home, strict=True):
        data.qpos[model.joint(PREFIX + name).qposadr[0]] = position
    for name in gripper_joint_names(robot):
        data.qpos[model.joint(PREFIX + name).qposadr[0]] = robot.robot.upper[names.index(name)]
    for name, leader, multiplier, offset in mimic_joints(robot.robot):
        data.qpos[model.joint(name).qposadr[0]] = multiplier * data.joint(leader).qpos[0] + offset
    rest = np.array([robot.home[names.index(name)] for name in arm])
    ik = ArmIk(model, arm, rest)
    T_world_tool = _point_down(T_world_base @ robot.robot.forward_kinematics(robot.home)[_tool_index(robot)])
    T_world_tool[:3, 3] = layout.tool_start
    data.qpos[ik.addresses] = ik.solve(T_world_tool, rest, iterations=100)
    tune_servos(model, data, arm, _SERVO_FREQUENCY)
    return np.array(data.qpos)


def _tool_index(robot: ConfiguredRobot) -> int:
    return robot.robot.link_index(robot.tool_link)


def _point_down(T_world_tool: Array) -> Array:
    """A pose with the tool's z axis straight down, turned about it as the given one is."""
    x = np.array([*T_world_tool[:2, 0], 0.0]) / np.linalg.norm(T_world_tool[:2, 0])
    z = np.array([0.0, 0.0, -1.0])
    return se3.from_rotation_translation(np.stack([x, np.cross(z, x), z], axis=-1), T_world_tool[:3, 3])


def _describe(scene: Scene) -> str:
    target, thing = scene.layout.target_colour, scene.layout.object
    name = f"{scene.robot.robot.name} robot"
    if thing is None:
        return f"The {name} reaches for the {target} ball."
    what = f"the {thing.colour} {thing.shape}"
    if scene.task == "push":
        return f"The {name} pushes {what} onto the {target} disc."
    return f"The {name} picks up {what} and puts it on the {target} disc."
