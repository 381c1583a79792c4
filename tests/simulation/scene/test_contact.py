"""What contact alone says of things that the expert moves, against MuJoCo's dynamics."""

import mujoco
import numpy as np
import pytest

from k4d_kinematics import se3, tool_path
from k4d_kinematics.tool_contact import carried
from k4d_simulation import simulate

FRAMES = 49


@pytest.mark.parametrize(("task", "preset"), [("pick_place", "easy"), ("pick_place", "hard"), ("push", "easy")])
@pytest.mark.parametrize("seed", [3, 11])
def test_things_go_where_dynamics_put_them(build, task, preset, seed):
    scene = build("panda", preset, task, seed)
    motion = simulate(scene)
    chosen = np.linspace(0, len(motion.times) - 1, FRAMES).round().astype(int)
    data = mujoco.MjData(scene.model)
    places = []
    for index in chosen:
        data.qpos[:] = motion.qpos[index]
        mujoco.mj_kinematics(scene.model, data)
        places.append(data.xpos[scene.object_body].copy())
    way = np.array(places) - places[0]
    robot, thing = scene.robot, scene.layout.object
    tool = tool_path(robot.robot, robot.tool_link, motion.joints.positions[chosen])
    centre = se3.transform_points(se3.inverse(scene.T_world_base), places[0][None])
    nobody = [np.zeros((0, 3))] * FRAMES
    radius = sum(thing.half_extents[:2]) / 2
    got = carried(tool, nobody, centre, np.array([radius]), np.array([thing.height])).offsets[0]
    assert np.linalg.norm(way[-1]) > 0.1
    assert np.linalg.norm(got - way, axis=-1).max() < 0.015
    assert np.sqrt((np.linalg.norm(got - way, axis=-1) ** 2).mean()) < 0.1 * np.sqrt((way**2).sum(axis=-1).mean())
