"""A policy acting in a world model's prediction, which is given the first observation and nothing else of the truth."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, JointTrajectory, Renderer, RenderSettings, tool_path
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.policy_evaluation.commands import PERIOD, PREDICTED_STEP, led
from k4d_world_model.policy_evaluation.policy import ActionChunk, Observation
from k4d_world_model.policy_evaluation.world import Footage
from k4d_world_model.rollout import Rollout
from k4d_world_model.world_model import WorldModel

Array = NDArray[np.float64]

# What each prediction starts from: the run's first observation, with all that was commanded since; or the last
# predicted frame, with the newest commands alone.
Memory = Literal["whole_past", "last_frame"]


class ImaginedWorld:
    """A run in the predictions of ``models``, one world model with several numbers of frames.

    Each is made by the smallest that shows it in steps of at most PREDICTED_STEP commands, else by the largest. The
    robot is taken to be exactly where it is led.
    """

    def __init__(
        self,
        models: tuple[WorldModel, ...],
        robot: ConfiguredRobot,
        first: Observation,
        *,
        seed: int,
        memory: Memory = "whole_past",
    ) -> None:
        """``first`` must be of the models' pixels; ``seed`` is that of every prediction."""
        self._models = sorted(models, key=lambda model: model.frame_shape[0])
        self._robot, self._seed, self._memory = robot, seed, memory
        self._renderer = Renderer(robot.surface, first.camera, RenderSettings(rgb=True))
        self._start = self._now = first
        self._commands = first.positions[None]  # (N + 1, J) since the start of the next prediction
        times = np.array([first.time])
        joints = JointTrajectory(first.joint_names, times, first.positions[None])
        self._footage = Footage(first.rgb[None], first.points_cam[None], joints, first.camera, first.T_cam_base)
        self.predictions = 0

    def observe(self) -> Observation:
        """See ``World``: the last predicted frame, and where the robot is led."""
        return self._now

    def act(self, chunk: ActionChunk) -> None:
        """See ``World``. Raises what predicting raises, too."""
        commands = led(chunk, self._robot.robot, self._commands[-1])
        if self._memory == "last_frame":
            self._start, self._commands = self._now, self._commands[-1:]
        self._commands = np.vstack([self._commands, commands])
        rollout = self._predict()
        self.predictions += 1
        seen = self._seen(rollout)
        self._footage = seen if self._memory == "whole_past" else _joined(self._footage, seen)
        self._now = self._last_frame()

    def footage(self) -> Footage:
        """See ``World``."""
        return self._footage

    def _predict(self) -> Rollout:
        """The future of the start under all commands since."""
        count, start, robot = len(self._commands) - 1, self._start, self._robot
        enough = [model for model in self._models if PREDICTED_STEP * (model.frame_shape[0] - 1) >= count]
        model = enough[0] if enough else self._models[-1]
        steps = np.linspace(0.0, count, model.frame_shape[0])
        commanded = JointTrajectory(robot.robot.joint_names, np.arange(count + 1.0), self._commands).resample(steps)
        joints = replace(commanded, times=PERIOD * steps)
        T_base_link = robot.robot.forward_kinematics(joints.positions)  # (T, L, 4, 4)
        images = self._renderer.render_sequence(start.T_cam_base @ T_base_link)
        conditioning = Conditioning(
            first_frame=start.rgb,
            robot_points=images.points_cam,
            robot_mask=images.mask,
            times=joints.times,
            camera=start.camera,
            T_cam_base=np.tile(start.T_cam_base, (len(joints), 1, 1)),
            robot_rgb=images.rgb,
            first_points=start.points_cam,
            joints=joints,
            robot_sha256=robot.robot.sha256,
            instruction=start.task,
            tool=tool_path(robot.robot, robot.tool_link, joints.positions) if robot.tool_link else None,
        )
        return model.predict(conditioning, seed=self._seed)

    def _seen(self, rollout: Rollout) -> Footage:
        assert rollout.joints is not None
        joints = replace(rollout.joints, times=self._start.time + rollout.times)
        return Footage(rollout.rgb, rollout.points, joints, rollout.camera, self._start.T_cam_base)

    def _last_frame(self) -> Observation:
        footage, robot, positions = self._footage, self._robot, self._commands[-1]
        opening = tool_path(robot.robot, robot.tool_link, positions).opening[0] if robot.tool_link else 0.0
        return replace(
            self._now,
            rgb=footage.rgb[-1],
            points_cam=footage.points_cam[-1],
            positions=positions,
            gripper_opening=float(opening),
            time=float(footage.joints.times[-1]),
        )


def _joined(before: Footage, after: Footage) -> Footage:
    """Both, without the first frame of ``after``, which shows the moment of the last one ``before``."""
    times = np.concatenate([before.joints.times, after.joints.times[1:]])
    positions = np.concatenate([before.joints.positions, after.joints.positions[1:]])
    return replace(
        before,
        rgb=np.concatenate([before.rgb, after.rgb[1:]]),
        points_cam=np.concatenate([before.points_cam, after.points_cam[1:]]),
        joints=JointTrajectory(before.joints.joint_names, times, positions),
    )
