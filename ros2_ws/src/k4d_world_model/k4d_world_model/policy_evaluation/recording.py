"""What the simulator's scripted expert commands in a scene, spoilt or not, as joint targets to play back."""

import mujoco
import numpy as np

from k4d_kinematics import JointTrajectory
from k4d_simulation import Perturbation, Scene
from k4d_simulation.control import ToolController
from k4d_simulation.experts import plan_actions
from k4d_simulation.perturbation import SEGMENTS, perturb
from k4d_world_model.policy_evaluation.commands import PERIOD


def recorded_targets(scene: Scene, sigma: float) -> JointTrajectory:
    """The targets of the expert, which knows where things are, every PERIOD; the first one PERIOD after the start.

    With ``sigma`` above 0, noise of that deviation in action units on the third of its actions that the scene's seed
    chooses, as the paper makes failures. Raises ExpertError and SimulationError on a sigma that is no number.
    """
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.initial_qpos
    controller = ToolController(scene, data)
    actions = plan_actions(scene, controller.T_world_goal)
    if sigma > 0:
        segment = scene.seed % SEGMENTS
        actions = perturb(actions, Perturbation(segment, sigma), np.random.default_rng([scene.seed, 3, segment]))
    targets = []
    for action in actions:
        controller.lead(action)
        targets.append(data.ctrl[scene.servos].copy())
    times = PERIOD * np.arange(1.0, len(targets) + 1.0)
    return JointTrajectory(scene.robot.robot.joint_names, times, np.array(targets, np.float64))
