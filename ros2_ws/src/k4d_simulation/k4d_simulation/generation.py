"""Simulated episodes as plain arrays: what the camera saw of a motion, and where the robot alone would be seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory, Renderer, se3
from k4d_simulation.episode import Motion
from k4d_simulation.errors import RenderingError
from k4d_simulation.perturbation import Perturbation
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.scene import Scene

FRAMES = 49


@dataclass(frozen=True, eq=False)
class SimulatedEpisode:
    """T frames of one simulated motion.

    rgb: (T, H, W, 3) uint8.
    times: (T,) seconds of simulated time, strictly increasing.
    camera: the pinhole of all frames; T_world_cam (4, 4) the pose of its optical frame.
    T_world_base: (4, 4) pose of the robot's root link.
    points_cam: (T, H, W, 3) float32 metres in the optical frame of all that is seen, NaN where nothing is.
    visible_robot_mask: (T, H, W) bool, where the robot is seen.
    robot_points_cam: (T, H, W, 3) float32 metres in the optical frame of the robot alone, NaN elsewhere: the pointmap
        that the kinematics package computes from ``joints``, as it does for a real robot.
    robot_mask: (T, H, W) bool, where robot_points_cam is finite.
    joints: positions of the robot's joints at ``times``.
    success: what the task's checker says of the whole motion's end, and ``verdict`` why.
    variant: how the motion was made, as ``Motion.variant`` says.
    """

    rgb: NDArray[np.uint8]
    times: NDArray[np.float64]
    camera: Camera
    T_world_cam: se3.Array
    T_world_base: se3.Array
    points_cam: NDArray[np.float32]
    visible_robot_mask: NDArray[np.bool_]
    robot_points_cam: NDArray[np.float32]
    robot_mask: NDArray[np.bool_]
    joints: JointTrajectory
    success: bool
    verdict: str
    task: str
    seed: int
    variant: str
    perturbation: Perturbation | None

    def points_world(self) -> NDArray[np.float32]:
        """points_cam (T, H, W, 3) in the world frame."""
        return in_frame(self.T_world_cam, self.points_cam)


def generate_episode(
    scene: Scene,
    motion: Motion,
    height: int,
    width: int,
    settings: RenderingSettings | None = None,
    frames: int | NDArray[np.intp] = FRAMES,
) -> SimulatedEpisode:
    """What the scene's camera sees of a motion at ``height`` x ``width`` pixels.

    ``frames`` is how many, spread evenly with the first and the last among them, or the (T,) increasing indices into
    the motion. Raises RenderingError for frames that the motion does not have, and as SceneRenderer does.
    """
    chosen = _chosen_frames(len(motion.times), frames)
    size = (len(chosen), height, width)
    rgb, points_cam = np.empty((*size, 3), np.uint8), np.empty((*size, 3), np.float32)
    visible = np.empty(size, np.bool_)
    with SceneRenderer(scene, height, width, settings) as renderer:
        for t, index in enumerate(chosen):
            image = renderer.render(motion.qpos[index])
            rgb[t], visible[t] = image.rgb, image.robot_mask
            renderer.points_cam(image.depth, out=points_cam[t])
        camera = renderer.camera
    times = motion.times[chosen]
    joints = JointTrajectory(motion.joints.joint_names, times, motion.joints.positions[chosen])
    T_cam_base = se3.inverse(scene.T_world_cam) @ scene.T_world_base
    T_base_link = scene.robot.robot.forward_kinematics(joints.positions)  # (T, L, 4, 4)
    robot = Renderer(scene.robot.surface, camera).render_sequence(T_cam_base @ T_base_link)
    return SimulatedEpisode(
        rgb, times, camera, scene.T_world_cam, scene.T_world_base, points_cam, visible, robot.points_cam, robot.mask,
        joints, motion.success, motion.outcome.reason, scene.task, scene.seed, motion.variant, motion.perturbation,
    )  # fmt: skip


def in_frame(T_to_from: se3.Array, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (..., 3) float32 moved by a pose (4, 4), NaN staying NaN."""
    T = T_to_from.astype(np.float32)
    return points @ T[:3, :3].T + T[:3, 3]


def _chosen_frames(count: int, frames: int | NDArray[np.intp]) -> NDArray[np.intp]:
    if isinstance(frames, np.ndarray):
        if len(frames) == 0 or frames.min() < 0 or frames.max() >= count or (np.diff(frames) <= 0).any():
            raise RenderingError(f"frames must be increasing indices below {count}, got {frames.tolist()}")
        return frames
    if not 1 <= frames <= count:
        raise RenderingError(f"frames must be from 1 to the motion's {count}, got {frames}")
    return np.round(np.linspace(0, count - 1, frames)).astype(np.intp)
