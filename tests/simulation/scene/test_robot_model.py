"""The robot in MuJoCo is the robot of the URDF: same frames, same surface, same masses."""

from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from k4d_kinematics import Robot
from k4d_simulation.errors import SceneError
from k4d_simulation.robot_dynamics import read_dynamics
from k4d_simulation.robot_meshes import TRIANGLES, coloured_meshes
from k4d_simulation.robot_model import PREFIX, add_robot


def _link_poses(scene, qpos):
    data = mujoco.MjData(scene.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(scene.model, data)
    T = np.tile(np.eye(4), (len(scene.robot.robot.link_names), 1, 1))
    for k, name in enumerate(scene.robot.robot.link_names):
        body = data.body(PREFIX + name)
        T[k, :3, :3], T[k, :3, 3] = body.xmat.reshape(3, 3), body.xpos
    return T


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_both_forward_kinematics_agree(build, name):
    scene = build(name, "easy", "reach", 5)
    robot = scene.robot.robot
    lower, upper = np.maximum(robot.lower, -3.0), np.minimum(robot.upper, 3.0)
    for q in np.random.default_rng(4).uniform(lower, upper, (7, len(robot.joint_names))):
        qpos = scene.with_positions(scene.initial_qpos, q)
        np.testing.assert_array_equal(scene.positions(qpos), q)
        expected = scene.T_world_base @ robot.forward_kinematics(q)
        np.testing.assert_allclose(_link_poses(scene, qpos), expected, rtol=0, atol=1e-9)
    assert np.linalg.norm(scene.T_world_base[:3, 3]) > 0.3


def _drawn_triangles(scene):
    """World corners (n, 3, 3) of the robot's visual triangles in the initial state, as MuJoCo holds them."""
    model, data = scene.model, mujoco.MjData(scene.model)
    data.qpos[:] = scene.initial_qpos
    mujoco.mj_kinematics(model, data)
    parts = []
    for geom in np.flatnonzero(scene.robot_geoms):
        mesh = model.geom_dataid[geom]
        v, f = model.mesh_vertadr[mesh], model.mesh_faceadr[mesh]
        vertices = model.mesh_vert[v : v + model.mesh_vertnum[mesh]].astype(np.float64)
        faces = model.mesh_face[f : f + model.mesh_facenum[mesh]]
        parts.append((vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])[faces])
    return np.concatenate(parts)


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_full_meshes_keep_every_triangle_where_it_is(build, name):
    scene = build(name, "easy", "reach", 5, meshes="full")
    surface, robot = scene.robot.surface, scene.robot.robot
    T = scene.T_world_base @ robot.forward_kinematics(scene.positions(scene.initial_qpos))
    corners = surface.parts.corners.T.reshape(-1, 3, 3).astype(np.float64)
    T_triangle = T[surface.triangle_link]
    expected = corners @ T_triangle[:, :3, :3].swapaxes(1, 2) + T_triangle[:, None, :3, 3]
    drawn = _drawn_triangles(scene)
    assert drawn.shape == expected.shape
    order, wanted = (np.lexsort(np.rint(a.mean(axis=1) * 1e4).T) for a in (drawn, expected))
    # Rounded centres order nearly all triangles the same way; sums over all of them leave no doubt of the rest.
    same = np.abs(drawn[order].mean(axis=1) - expected[wanted].mean(axis=1)).max(axis=1) < 2e-5
    assert same.mean() > 0.95
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), expected.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose((drawn**2).mean(axis=(0, 1)), (expected**2).mean(axis=(0, 1)), atol=1e-6)


@pytest.mark.parametrize(("meshes", "most"), [("reduced", 1.2), ("coarse", 1.7)])
def test_reduced_meshes_have_as_many_triangles_as_promised(robots, meshes, most):
    for robot in robots.values():
        count = sum(len(part.triangles) for part in coloured_meshes(robot, meshes))
        assert 0.8 * TRIANGLES[meshes] < count < most * TRIANGLES[meshes]


def test_visual_shapes_are_in_their_group_and_touch_nothing(build):
    model = (scene := build("panda", "easy", "push", 2)).model
    robots_bodies = [i for i in range(model.nbody) if model.body(i).name.startswith(PREFIX)]
    of_robot = np.isin(model.geom_bodyid, robots_bodies)
    assert set(model.geom_group[of_robot]) == {2, 3}
    assert set(model.geom_group[~of_robot]) == {1}
    np.testing.assert_array_equal(scene.robot_geoms, model.geom_group == 2)
    assert not model.geom_contype[scene.robot_geoms].any()
    assert not model.geom_conaffinity[scene.robot_geoms].any()


def test_colours_are_those_of_the_meshes(robots):
    hand = [part.rgb for part in coloured_meshes(robots["panda"], "full") if part.link_name == "panda_hand"]
    assert {tuple(round(255 * c) for c in rgb) for rgb in hand} == {(255, 255, 255), (64, 64, 64), (230, 235, 237)}


@pytest.mark.parametrize("name", ["panda", "ur5"])
def test_masses_and_efforts_come_from_the_urdf(build, name):
    scene = build(name, "easy", "reach", 5)
    root = ElementTree.fromstring(scene.robot.robot.urdf)
    masses = {link.get("name"): float(link.find("inertial/mass").get("value")) for link in root.iter("link")
              if link.find("inertial/mass") is not None}  # fmt: skip
    for link, mass in masses.items():
        assert scene.model.body(PREFIX + link).mass[0] == pytest.approx(mass)
    arm = root.find(f"joint[@name='{scene.robot.robot.joint_names[0]}']/limit")
    assert scene.model.actuator_forcerange[scene.servos[0], 1] == float(arm.get("effort"))
    joint = scene.model.joint(PREFIX + scene.robot.robot.joint_names[2])
    np.testing.assert_allclose(joint.range, [scene.robot.robot.lower[2], scene.robot.robot.upper[2]])


def _urdf(inertial):
    return f"""<robot name="stick"><link name="root"/><link name="tip">{inertial}
      <visual><geometry><box size="0.1 0.2 0.3"/></geometry></visual></link>
      <joint name="hinge" type="continuous"><parent link="root"/><child link="tip"/></joint></robot>"""


def test_an_inertia_is_turned_into_its_links_axes():
    text = _urdf("""<inertial><origin xyz="0.1 0.2 0.3" rpy="0 0 1.5707963267948966"/><mass value="2"/>
      <inertia ixx="1" iyy="2" izz="2.5" ixy="0.1" ixz="0" iyz="0"/></inertial>""")
    inertial = read_dynamics(Robot.from_urdf(text)).inertials["tip"]
    np.testing.assert_allclose(inertial.inertia, [[2, -0.1, 0], [-0.1, 1, 0], [0, 0, 2.5]], atol=1e-12)
    np.testing.assert_allclose(inertial.center, [0.1, 0.2, 0.3])


def test_a_moving_link_without_mass_is_refused(robots):
    from k4d_kinematics.robot_configuration import described_robot

    robot = described_robot(_urdf(""), tool_link="tip", geometry="visual", triangle_fraction=1.0)
    with pytest.raises(SceneError, match=r"'tip'.*mass above 0"):
        add_robot(mujoco.MjSpec(), robot, np.eye(4), "full")


def test_unknown_meshes_are_refused(robots):
    with pytest.raises(SceneError, match=r"one of full, reduced, coarse, got 'half'"):
        coloured_meshes(robots["ur5"], "half")
