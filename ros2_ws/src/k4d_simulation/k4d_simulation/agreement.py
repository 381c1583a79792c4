"""Whether MuJoCo and the kinematics package see the same robot: two independent paths to one truth."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Renderer, se3
from k4d_simulation.episode import Motion
from k4d_simulation.errors import RenderingError
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.scene import Scene


@dataclass(frozen=True)
class Agreement:
    """Robot-only pointmaps of MuJoCo against those of the kinematics package, over all frames compared.

    mask_iou: smallest intersection over union of the two masks of one frame.
    depth_p50, depth_p99: quantiles in metres of the depth difference over pixels that both call robot.
    points_p99: the same of the distance between the two points.
    pixels: how many pixels both call robot.
    """

    mask_iou: float
    depth_p50: float
    depth_p99: float
    points_p99: float
    pixels: int


def agreement(scene: Scene, motion: Motion, frames: Iterable[int], height: int, width: int) -> Agreement:
    """How far the pointmaps of the robot alone agree at these ``frames`` of a motion, at ``height`` x ``width`` pixels.

    MuJoCo draws the meshes of the scene where its own kinematics puts them; the kinematics package draws the surface of
    ``scene.robot`` where forward kinematics of the motion's joints puts its links. Raises RenderingError where a frame
    shows no robot in either, and as SceneRenderer does.
    """
    ious, depths, distances = [], [], []
    T_cam_base = se3.inverse(scene.T_world_cam) @ scene.T_world_base
    with SceneRenderer(scene, height, width, RenderingSettings(samples=0)) as simulated:
        kinematic = Renderer(scene.robot.surface, simulated.camera)
        for frame in frames:
            points, mask = simulated.render_robot(motion.qpos[frame])
            T_base_link = scene.robot.robot.forward_kinematics(motion.joints.positions[frame])
            other = kinematic.render(T_cam_base @ T_base_link)
            ious.append(_mask_iou(mask, other.mask, frame))
            difference = points[mask & other.mask] - other.points_cam[mask & other.mask]  # (n, 3)
            depths.append(np.abs(difference[:, 2]))
            distances.append(np.linalg.norm(difference, axis=-1))
    depth, distance = np.concatenate(depths), np.concatenate(distances)
    p50, p99 = np.percentile(depth, [50, 99])
    return Agreement(min(ious), float(p50), float(p99), float(np.percentile(distance, 99)), len(depth))


def _mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_], frame: int) -> float:
    if not (a & b).any():
        raise RenderingError(f"frame {frame} has no pixel that both call robot ({a.sum()} and {b.sum()} pixels)")
    return float((a & b).sum() / (a | b).sum())
