"""One episode in a scene: what the expert did, noisy or not, and whether that did the task."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory
from k4d_simulation.control import RATE_HZ, ToolController
from k4d_simulation.experts import plan_actions
from k4d_simulation.perturbation import Perturbation, perturb
from k4d_simulation.scene import Scene
from k4d_simulation.success import Outcome, check_success

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """The states of one episode at N times, RATE_HZ apart.

    times: (N,) seconds from 0.
    qpos: (N, nq) of the scene's model; mimic joints exactly where their leaders put them.
    joints: the robot's joints at the same times.
    actions: (N - 1, 7) as they were applied, noise included.
    outcome: the checker's verdict on the last state and its reasons.
    perturbation, near_miss: how the expert's actions were spoilt, if they were.
    """

    times: Array
    qpos: Array
    joints: JointTrajectory
    actions: Array
    outcome: Outcome
    perturbation: Perturbation | None = None
    near_miss: bool = False

    @property
    def success(self) -> bool:
        """Whether the checker found the task done."""
        return self.outcome.success

    @property
    def variant(self) -> str:
        """How the motion was made, for reports: "expert", "near_miss" or the perturbation's name."""
        if self.perturbation is not None:
            return self.perturbation.name
        return "near_miss" if self.near_miss else "expert"


def simulate(scene: Scene, perturbation: Perturbation | None = None, *, near_miss: bool = False) -> Motion:
    """The motion of the scene's expert; equal scenes and perturbations give equal arrays.

    Raises ExpertError where a near miss is asked of another task than reach.
    """
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.initial_qpos
    controller = ToolController(scene, data)
    actions = plan_actions(scene, controller.T_world_goal, near_miss=near_miss)
    if perturbation is not None:
        actions = perturb(actions, perturbation, _noise(scene, perturbation))
    states = [data.qpos.copy()]
    for action in actions:
        controller.step(action)
        states.append(data.qpos.copy())
    return _motion(scene, np.array(states), actions, check_success(scene, data), perturbation, near_miss=near_miss)


def _noise(scene: Scene, perturbation: Perturbation) -> np.random.Generator:
    sigma = int(np.float64(perturbation.sigma).view(np.uint64))
    return np.random.default_rng([scene.seed, 2, perturbation.segment, sigma])


def _motion(
    scene: Scene,
    states: Array,
    actions: Array,
    outcome: Outcome,
    perturbation: Perturbation | None,
    *,
    near_miss: bool,
) -> Motion:
    positions = scene.positions(states)
    qpos = scene.with_positions(states, positions)
    times = np.arange(len(states)) / RATE_HZ
    joints = JointTrajectory(scene.robot.robot.joint_names, times, positions)
    return Motion(times, qpos, joints, actions, outcome, perturbation, near_miss)
