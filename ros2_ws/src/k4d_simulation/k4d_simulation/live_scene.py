"""A scene that runs along a clock: its physics, where its robot is led, and whether its task is done."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np

from k4d_kinematics import JointTrajectory
from k4d_kinematics.se3 import Array
from k4d_simulation.control import RATE_HZ, SUBSTEPS, ToolController
from k4d_simulation.errors import SimulationError
from k4d_simulation.experts import plan_actions
from k4d_simulation.joint_commands import Course, follow
from k4d_simulation.scene import Scene
from k4d_simulation.success import check_success

# Seconds that physics may be behind the clock, or ahead of it.
LARGEST_LAG = 0.25

_UNSTABLE = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


@dataclass(frozen=True, eq=False)
class Moment:
    """A state of the scene at ``stamp_ns``: ``qpos`` (nq,), and positions and velocities (J,) of the robot's joints."""

    stamp_ns: int
    qpos: Array
    positions: Array
    velocities: Array
    success: bool


class LiveScene:
    """Steps a scene's physics so that it keeps up with a clock, whose moments are integer nanoseconds.

    ``lost_ns`` is how much time physics has not kept up with in total; the scene stood still meanwhile.
    """

    def __init__(self, scene: Scene, now_ns: int) -> None:
        self.scene = scene
        self.lost_ns = 0
        self._step_ns = round(scene.model.opt.timestep * 1e9)
        self._data, self._judged = mujoco.MjData(scene.model), mujoco.MjData(scene.model)
        self._dofs = scene.model.jnt_dofadr[[scene.model.actuator_trnid[servo, 0] for servo in scene.servos]]
        self._stamp_ns = now_ns
        self._course = Course.hold(scene.robot.robot, scene.positions(scene.initial_qpos), now_ns)
        self._expert: _Expert | None = None
        self.reset()

    @property
    def stamp_ns(self) -> int:
        """The moment of the present state."""
        return self._stamp_ns

    def reset(self) -> None:
        """Puts everything back to where it started, the robot at rest; the clock runs on."""
        mujoco.mj_resetData(self.scene.model, self._data)
        self._data.qpos[:] = self.scene.initial_qpos
        self._data.ctrl[self.scene.servos] = self.scene.positions(self.scene.initial_qpos)
        self.stop()

    def follow(self, command: JointTrajectory, start_ns: int) -> None:
        """Leads the robot along a trajectory from now on; see ``follow``, whose CommandError changes nothing."""
        self._course = follow(command, start_ns, self.scene.robot.robot, self._targets, self._stamp_ns)
        self._expert = None

    def stop(self) -> None:
        """Keeps the robot where it is being led at this moment, so that a gripper keeps its grip."""
        self._course = Course.hold(self.scene.robot.robot, self._targets, self._stamp_ns)
        self._expert = None

    def run_expert(self) -> float:
        """Resets the scene and lets its task's scripted expert act in it; returns for how many seconds it will."""
        self.reset()
        expert = self._expert = _Expert(self.scene, self._data)
        return expert.duration

    def advance(self, now_ns: int) -> bool:
        """Brings physics up to ``now_ns``; whether it moved on at all.

        Of what it is behind, only LARGEST_LAG is caught up with; a clock that jumped back by more is followed.
        Raises SimulationError when physics became unstable, after a reset.
        """
        lag_ns, most_ns = now_ns - self._stamp_ns, round(LARGEST_LAG * 1e9)
        if lag_ns > most_ns:
            self._skip(lag_ns - most_ns)
        elif lag_ns < -most_ns:
            self._skip(lag_ns)
        count = (now_ns - self._stamp_ns) // self._step_ns
        for _ in range(count):
            self._lead()
            mujoco.mj_step(self.scene.model, self._data)
            self._stamp_ns += self._step_ns
        if any(self._data.warning[kind].number for kind in _UNSTABLE):
            self.reset()
            raise SimulationError("physics became unstable; the scene was reset")
        return bool(count > 0)

    def moment(self) -> Moment:
        """The present state, mimic joints exactly where the joints that lead them put them."""
        positions = self.scene.positions(self._data.qpos)
        qpos = self.scene.with_positions(self._data.qpos, positions)
        self._judged.qpos[:] = self._data.qpos
        done = check_success(self.scene, self._judged).success
        return Moment(self._stamp_ns, qpos, positions, self._data.qvel[self._dofs], done)

    @property
    def _targets(self) -> Array:
        return np.array(self._data.ctrl[self.scene.servos])

    def _lead(self) -> None:
        if self._expert is not None and not self._expert.lead():
            self.stop()
        if self._expert is None:
            (self._data.ctrl[self.scene.servos],) = self._course.at([self._stamp_ns])

    def _skip(self, lag_ns: int) -> None:
        """Moves the present state to where the clock is, and what the robot is being led along with it."""
        self.lost_ns += max(0, lag_ns)
        self._stamp_ns += lag_ns
        self._course = replace(self._course, start_ns=self._course.start_ns + lag_ns)


class _Expert:
    """The scripted expert of a scene's task, acting on its simulator from the initial state on."""

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        self._controller = ToolController(scene, data)
        actions = plan_actions(scene, self._controller.T_world_goal)
        self.duration = len(actions) / RATE_HZ
        self._actions = iter(actions)
        self._steps_left = 0

    def lead(self) -> bool:
        """Sets the servos' targets for the next step of physics; False when the expert is done."""
        if self._steps_left == 0:
            action = next(self._actions, None)
            if action is None:
                return False
            self._controller.lead(action)
            self._steps_left = SUBSTEPS
        self._steps_left -= 1
        return True
