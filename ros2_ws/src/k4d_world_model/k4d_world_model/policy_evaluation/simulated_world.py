"""The truth that a prediction is held against: a policy acting in the simulator."""

from types import TracebackType

import mujoco
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import JointTrajectory, se3, tool_path
from k4d_simulation.control import RATE_HZ, SUBSTEPS
from k4d_simulation.layout import PLATE_HEIGHT
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.scene import Scene
from k4d_simulation.success import INSIDE, Outcome, check_success
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.commands import FOOTAGE_STEP, PERIOD, led
from k4d_world_model.policy_evaluation.policy import ActionChunk, Observation
from k4d_world_model.policy_evaluation.world import Footage, Goal

Array = NDArray[np.float64]

assert PERIOD * RATE_HZ == 1.0


class SimulatedStage:
    """One scene and what draws it, for any number of runs; a context manager, for it owns an OpenGL context."""

    def __init__(self, scene: Scene, height: int, width: int, settings: RenderingSettings | None = None) -> None:
        """Raises RenderingError as SceneRenderer does."""
        self.scene = scene
        self.T_cam_base = se3.inverse(scene.T_world_cam) @ scene.T_world_base
        self._renderer = SceneRenderer(scene, height, width, settings)
        self.camera = self._renderer.camera

    def __enter__(self) -> "SimulatedStage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renderer.close()

    def look(self, qpos: Array) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Picture (H, W, 3) and points (H, W, 3) in the optical frame of a state (nq,)."""
        image = self._renderer.render(qpos)
        return image.rgb, self._renderer.points_cam(image.depth)

    def goal(self) -> Goal:
        """What the scene's task is to bring about. Raises PolicyError for a task that moves no object."""
        scene, thing = self.scene, self.scene.layout.object
        if thing is None:
            raise PolicyError(f"the judge looks for a moved object; valid tasks are pick_place, push, got {scene.task}")
        T_base_world = se3.inverse(scene.T_world_base)
        points = np.array([[*thing.xy, thing.height / 2.0], scene.target])
        middle, target = se3.transform_points(T_base_world, points).tolist()
        if scene.task == "pick_place":
            target[2] += PLATE_HEIGHT
        return Goal(tuple(middle), thing.radius, thing.height, tuple(target), INSIDE)


class SimulatedWorld:
    """A run in the simulator. Its own state is not to be seen by a policy, which gets what ``observe`` returns."""

    def __init__(self, stage: SimulatedStage) -> None:
        self._stage, scene = stage, stage.scene
        self._data = mujoco.MjData(scene.model)
        self._data.qpos[:] = scene.initial_qpos
        self._led = scene.positions(scene.initial_qpos)
        self._data.ctrl[scene.servos] = self._led
        self._states = [self._data.qpos.copy()]

    @property
    def outcome(self) -> Outcome:
        """What the task's checker says now."""
        judged = mujoco.MjData(self._stage.scene.model)
        judged.qpos[:] = self._data.qpos
        return check_success(self._stage.scene, judged)

    def observe(self) -> Observation:
        """See ``World``."""
        stage, scene = self._stage, self._stage.scene
        rgb, points = stage.look(self._shown(self._states[-1]))
        positions = scene.positions(self._states[-1])
        robot = scene.robot
        opening = tool_path(robot.robot, robot.tool_link, positions).opening[0]
        time = (len(self._states) - 1) * PERIOD
        return Observation(
            rgb, points, stage.camera, stage.T_cam_base, robot.robot.joint_names, positions, float(opening), time,
            scene.caption,
        )  # fmt: skip

    def act(self, chunk: ActionChunk) -> None:
        """See ``World``."""
        scene = self._stage.scene
        for positions in led(chunk, scene.robot.robot, self._led):
            self._data.ctrl[scene.servos] = self._led = positions
            mujoco.mj_step(scene.model, self._data, SUBSTEPS)
            self._states.append(self._data.qpos.copy())

    def footage(self) -> Footage:
        """See ``World``; every FOOTAGE_STEP-th state and the last."""
        scene = self._stage.scene
        chosen = np.unique(np.append(np.arange(0, len(self._states), FOOTAGE_STEP), len(self._states) - 1))
        states = np.array(self._states)[chosen]
        seen = [self._stage.look(self._shown(state)) for state in states]
        joints = JointTrajectory(scene.robot.robot.joint_names, chosen * PERIOD, scene.positions(states))
        rgb, points = (np.stack(part) for part in zip(*seen, strict=True))
        return Footage(rgb, points, joints, self._stage.camera, self._stage.T_cam_base)

    def _shown(self, qpos: Array) -> Array:
        """The state with mimic joints exactly where those that lead them put them."""
        return self._stage.scene.with_positions(qpos, self._stage.scene.positions(qpos))
