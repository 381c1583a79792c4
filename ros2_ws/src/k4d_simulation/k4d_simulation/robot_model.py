"""A robot as MuJoCo bodies at the frames of its URDF's links, so that both forward kinematics agree."""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from k4d_kinematics import ConfiguredRobot, Robot
from k4d_kinematics.description import Box, LinkGeometry
from k4d_kinematics.kinematic_tree import FIXED, REVOLUTE
from k4d_kinematics.meshes import load_link_meshes
from k4d_simulation.errors import SceneError
from k4d_simulation.robot_dynamics import RobotDynamics, read_dynamics
from k4d_simulation.robot_meshes import Meshes, coloured_meshes
from k4d_simulation.tasks import gripper_joint_names

Array = NDArray[np.float64]

# Keeps a robot's names apart from those of the scene.
PREFIX = "robot/"
TOOL_SITE = PREFIX + "tool"

WORLD_GROUP, ROBOT_GROUP, COLLISION_GROUP = 1, 2, 3
# The robot touches the scene, not itself: its own links overlap where their hulls are rounder than they are.
_CONTYPE, _CONAFFINITY = 2, 0

_ARMATURE = 0.1  # kg m2, the motors' rotors seen through their gears
_FINGER_FORCE = 20.0  # N
# Boxes are fingertips: rubber that holds what it grips, and hard enough not to sink into it by more than 0.3 mm.
_PAD_FRICTION = (1.2, 0.02, 0.0005)
_PAD_SOLREF, _PAD_SOLIMP = (0.008, 1.0), (0.99, 0.999, 0.0005, 0.5, 2.0)


def quaternion_wxyz(R: Array) -> Array:
    """MuJoCo's unit quaternion (w, x, y, z) of a rotation matrix (3, 3)."""
    return np.asarray(Rotation.from_matrix(R).as_quat(scalar_first=True))


def add_robot(spec: mujoco.MjSpec, robot: ConfiguredRobot, T_world_base: Array, meshes: Meshes) -> None:
    """Adds bodies, joints, shapes and servos of ``robot`` to ``spec``, its root link at ``T_world_base`` (4, 4).

    Bodies, joints and actuators are called like the URDF's links and joints behind ``PREFIX``. Raises SceneError where
    a moving link has no mass.
    """
    dynamics = read_dynamics(robot.robot)
    bodies = _add_bodies(spec, robot.robot, dynamics, T_world_base)
    _add_visuals(spec, bodies, robot, meshes)
    _add_collisions(spec, bodies, robot.robot)
    bodies[robot.tool_link].add_site(name=TOOL_SITE, group=5)
    _add_mimics(spec, robot.robot)
    grippers = gripper_joint_names(robot)
    for name in robot.robot.joint_names:
        _add_servo(spec, name, dynamics.efforts[name], grips=name in grippers)


def _add_bodies(
    spec: mujoco.MjSpec, robot: Robot, dynamics: RobotDynamics, T_world_base: Array
) -> dict[str, mujoco.MjsBody]:
    tree = robot.tree
    bodies: dict[str, mujoco.MjsBody] = {}
    for i, name in enumerate(tree.link_names):
        parent = spec.worldbody if i == 0 else bodies[tree.link_names[tree.parent[i]]]
        T = T_world_base if i == 0 else tree.T_parent_joint[i]
        body = parent.add_body(name=PREFIX + name, pos=T[:3, 3], quat=quaternion_wxyz(T[:3, :3]), gravcomp=1.0)
        bodies[name] = body
        inertial = dynamics.inertials.get(name)
        if inertial is not None:
            I = inertial.inertia
            body.mass, body.ipos, body.explicitinertial = inertial.mass, inertial.center, True
            body.fullinertia = [I[0, 0], I[1, 1], I[2, 2], I[0, 1], I[0, 2], I[1, 2]]
        if tree.motion[i] != FIXED:
            if inertial is None:
                raise SceneError(f"link {name!r} of {robot.name!r} moves, so its URDF must give it a mass above 0")
            _add_joint(body, robot, i)
    return bodies


def _add_joint(body: mujoco.MjsBody, robot: Robot, link: int) -> None:
    tree = robot.tree
    turns = tree.motion[link] == REVOLUTE
    leader = tree.joint_index[link]
    ends = tree.multiplier[link] * np.array([tree.lower[leader], tree.upper[leader]]) + tree.offset[link]
    joint = body.add_joint(
        name=_joint_name(robot, link),
        type=mujoco.mjtJoint.mjJNT_HINGE if turns else mujoco.mjtJoint.mjJNT_SLIDE,
        axis=tree.axis[link],
        armature=_ARMATURE,
    )
    if np.isfinite(ends).all():
        joint.limited, joint.range = mujoco.mjtLimited.mjLIMITED_TRUE, np.sort(ends)


def _joint_name(robot: Robot, link: int) -> str:
    """The name of the joint that moves a link; one that mimics another is called after its link."""
    tree = robot.tree
    name = tree.link_names[link] + "/mimic" if tree.is_mimic[link] else tree.joint_names[tree.joint_index[link]]
    return PREFIX + name


def mimic_joints(robot: Robot) -> tuple[tuple[str, str, float, float], ...]:
    """Name, leader's name, multiplier and offset of every MuJoCo joint that mimics another."""
    tree = robot.tree
    return tuple(
        (
            _joint_name(robot, link),
            PREFIX + tree.joint_names[tree.joint_index[link]],
            float(tree.multiplier[link]),
            float(tree.offset[link]),
        )
        for link in np.flatnonzero(tree.is_mimic).tolist()
    )


def _add_mimics(spec: mujoco.MjSpec, robot: Robot) -> None:
    for name, leader, multiplier, offset in mimic_joints(robot):
        spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            name1=name,
            name2=leader,
            data=[offset, multiplier, *[0.0] * (mujoco.mjNEQDATA - 2)],
            solref=[0.004, 1.0],
            solimp=[0.99, 0.9999, 1e-4, 0.5, 2.0],
        )


def _add_servo(spec: mujoco.MjSpec, joint: str, effort: float, *, grips: bool) -> None:
    """A position servo; ``tune_servos`` gives arms their gains once the model's inertia is known."""
    servo = spec.add_actuator(name=PREFIX + joint, target=PREFIX + joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=3000.0 if grips else 1.0, kv=60.0 if grips else 1.0)
    force = min(effort, _FINGER_FORCE) if grips else effort
    if math.isfinite(force) and force > 0.0:
        servo.forcelimited, servo.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-force, force]


def _add_visuals(
    spec: mujoco.MjSpec, bodies: dict[str, mujoco.MjsBody], robot: ConfiguredRobot, meshes: Meshes
) -> None:
    for k, part in enumerate(coloured_meshes(robot, meshes)):
        mesh = spec.add_mesh(
            name=f"{PREFIX}visual{k}",
            uservert=part.vertices.ravel(),
            userface=part.triangles.ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
        bodies[part.link_name].add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=mesh.name,
            name=mesh.name,
            rgba=[*part.rgb, 1.0],
            group=ROBOT_GROUP,
            contype=0,
            conaffinity=0,
            mass=0.0,
        )


def _add_collisions(spec: mujoco.MjSpec, bodies: dict[str, mujoco.MjsBody], robot: Robot) -> None:
    """Boxes as boxes, which grasp well; every other shape as the convex hull of its mesh."""
    for geometry in robot.collisions:
        if isinstance(geometry.shape, Box):
            _add_collision_box(bodies[geometry.link_name], geometry, geometry.shape)
    for k, part in enumerate(load_link_meshes(robot, "collision")):
        if part.source.startswith("Box("):
            continue
        name = f"{PREFIX}collision{k}"
        spec.add_mesh(
            name=name,
            uservert=part.vertices.astype(np.float32).ravel(),
            userface=part.triangles.ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
            maxhullvert=64,
        )
        bodies[part.link_name].add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            name=name,
            group=COLLISION_GROUP,
            contype=_CONTYPE,
            conaffinity=_CONAFFINITY,
            mass=0.0,
        )


def _add_collision_box(body: mujoco.MjsBody, geometry: LinkGeometry, box: Box) -> None:
    T = geometry.T_link_geometry
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=np.array(box.size) / 2.0,
        pos=T[:3, 3],
        quat=quaternion_wxyz(T[:3, :3]),
        group=COLLISION_GROUP,
        contype=_CONTYPE,
        conaffinity=_CONAFFINITY,
        priority=1,
        friction=_PAD_FRICTION,
        condim=4,
        solref=_PAD_SOLREF,
        solimp=_PAD_SOLIMP,
        mass=0.0,
    )


def tune_servos(model: mujoco.MjModel, data: mujoco.MjData, joints: tuple[str, ...], frequency: float) -> None:
    """Makes the servos of ``joints`` critically damped at ``frequency`` (rad/s) for the inertia in ``data``'s pose."""
    mujoco.mj_forward(model, data)
    M = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, M)
    for name in joints:
        servo, dof = model.actuator(PREFIX + name).id, model.joint(PREFIX + name).dofadr[0]
        kp, kv = M[dof, dof] * frequency**2, 2.0 * M[dof, dof] * frequency
        model.actuator_gainprm[servo, 0] = kp
        model.actuator_biasprm[servo, 1:3] = -kp, -kv
