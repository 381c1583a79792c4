"""From checked arrays in metres to what a model reads: normalised tensors, the same for training and prediction."""

import re
import zlib

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from k4d_kinematics import JointTrajectory, ToolPath, se3
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.normalization import (
    Normalization,
    normalised_pictures,
    normalised_points,
    normalization_by,
)
from k4d_world_model.errors import ConditioningError, EpisodeError, RobotNotVisibleError
from k4d_world_model.fill import fill_colours, robot_hole
from k4d_world_model.scene_preparation import PreparedScene, no_movers, prepare_scene
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.inputs import Inputs


def prepare(
    conditioning: Conditioning, architecture: Architecture, normalization: Normalization | None = None
) -> tuple[Inputs, Normalization]:
    """The inputs (b = 1) of a conditioning, and what makes metres of normalised points.

    Only what is known before the prediction is read: with ``normalization`` None, "robot" takes the extrema of the
    robot's points, "scene" those of the robot's and the first frame's points together, "fixed" takes none. Training on
    data that is normalised by its whole scene gives that one.

    Raises ConditioningError when the conditioning lacks what the architecture reads or is of another size, and
    RobotNotVisibleError when no frame shows the robot.
    """
    _check(conditioning, architecture)
    normalization = normalization or _normalization(conditioning, architecture)
    robot_rgb = conditioning.pictures if architecture.condition == "pictures" else conditioning.robot_rgb
    if robot_rgb is None:
        robot_rgb = np.zeros((*conditioning.robot_mask.shape, 3), np.uint8)
    robot_points, mask = normalised_points(conditioning.robot_points, normalization)
    inputs = Inputs(
        first_rgb=_batch(_picture(conditioning.first_frame)),
        robot_rgb=_batch(normalised_pictures(robot_rgb)),
        robot_points=_batch(robot_points),
        robot_mask=_batch(mask),
        rays=_batch(_rays(conditioning)),
        scale=_batch(normalization.scale),
        offset=_batch(normalization.offset),
        actions=_batch(_actions(conditioning, architecture)),
        **{name: _batch(part) for name, part in _scene_parts(conditioning, architecture, normalization).items()},
    )
    return inputs, normalization


def prepare_target(
    rgb: NDArray[np.uint8], points: NDArray[np.float32], normalization: Normalization
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (3, T, H, W), points (3, T, H, W) and where there are any (T, H, W) of the truth."""
    planes, valid = normalised_points(points, normalization)
    return torch.from_numpy(normalised_pictures(rgb)), torch.from_numpy(planes), torch.from_numpy(valid)


def conditioning_of(
    episode: Episode, robot_rgb: NDArray[np.uint8] | None = None, tool: ToolPath | None = None
) -> Conditioning:
    """What the episode's start would have given a prediction: first frame, first points, robot pointmaps.

    ``robot_rgb`` (T, H, W, 3) is the rendered robot; without it the recorded pictures are masked. ``tool`` is the path
    of its tool. Raises EpisodeError where the episode has no camera, robot pointmaps, or poses.
    """
    needed = ("camera", "robot_points", "robot_mask", "T_world_cam", "T_world_base")
    missing = [name for name in needed if getattr(episode, name) is None]
    if missing:
        raise EpisodeError(f"episode {episode.info.episode_id} gives no conditioning: it has no {', '.join(missing)}")
    assert episode.camera is not None
    assert episode.robot_points is not None
    assert episode.robot_mask is not None
    assert episode.T_world_cam is not None
    assert episode.T_world_base is not None
    times = episode.times - episode.times[0]
    joints = episode.joints
    if robot_rgb is None:
        robot_rgb = np.where(episode.robot_mask[..., None], episode.rgb, np.uint8(0))
    return Conditioning(
        first_frame=episode.rgb[0],
        robot_points=episode.robot_points,
        robot_mask=episode.robot_mask,
        times=times,
        camera=episode.camera,
        T_cam_base=se3.inverse(episode.T_world_cam) @ episode.T_world_base,
        robot_rgb=robot_rgb,
        first_points=None if episode.scene_points is None else episode.scene_points[0],
        joints=None if joints is None else JointTrajectory(joints.joint_names, times, joints.positions),
        tool=tool,
        instruction=episode.info.caption,
    )


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """The published uniform pointmap (3, H, W) in [-1, 1]: x to the right, y down, z from 1 at the top to 0."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (2 * np.stack([x, y, 1 - y]) - 1).astype(np.float32)


def _check(conditioning: Conditioning, architecture: Architecture) -> None:
    shape = (conditioning.frame_count, *conditioning.first_frame.shape[:2])
    expected = (architecture.frames, architecture.height, architecture.width)
    if shape != expected:
        raise ConditioningError(f"the model predicts (frames, height, width) {expected}, got a conditioning of {shape}")
    if not conditioning.robot_mask.any():
        raise RobotNotVisibleError(f"the robot is in none of the {shape[0]} frames of {shape[1]} x {shape[2]} pixels")
    if architecture.first_frame_geometry == "measured":
        if conditioning.first_points is None:
            raise ConditioningError("this model reads the first frame's points: give a depth image with the picture")
        if not np.isfinite(conditioning.first_points).any():
            raise ConditioningError("first_points hold no measurement at all; the depth image must have some")
    if architecture.condition in ("robot_rgb_and_pointmap", "robot_rgb") and conditioning.robot_rgb is None:
        raise ConditioningError("this model reads the robot's picture: render the pointmaps with colours")
    if architecture.moves_objects and conditioning.tool is None:
        raise ConditioningError("this model follows what the tool carries: name the robot's tool_link")
    if architecture.condition == "actions" and conditioning.joints is None:
        raise ConditioningError("this model reads joint positions, and the conditioning has none")
    if architecture.condition == "text" and not conditioning.instruction.split():
        raise ConditioningError("this model reads an instruction, and the conditioning has none")
    if architecture.condition == "pictures" and conditioning.pictures is None:
        raise ConditioningError("this model reconstructs points from the clip's pictures: give them")


def _normalization(conditioning: Conditioning, architecture: Architecture) -> Normalization:
    points, margin = conditioning.robot_points, np.float32(architecture.normalization_margin)
    if architecture.normalization == "fixed":
        return Normalization(np.full(3, margin), np.array([0.0, 0.0, margin], np.float32))
    if architecture.normalization == "scene" and conditioning.first_points is not None:
        points = np.concatenate([points, conditioning.first_points[None]])
    by = normalization_by(points, "robot_points")
    if architecture.normalization == "scene":
        return by
    half = np.ptp(points[conditioning.robot_mask], axis=0).max() / 2
    if half == 0:
        raise RobotNotVisibleError("the robot's points span no extent to scale by: a single one is seen")
    return Normalization(np.full(3, half * margin, np.float32), by.offset)


def _actions(conditioning: Conditioning, architecture: Architecture) -> NDArray[np.float32]:
    """(T, action_size) joint positions or words. Raises ConditioningError where the robot has other joints."""
    if architecture.condition == "text":
        words = word_counts(conditioning.instruction, architecture.action_size)
        return np.tile(words, (conditioning.frame_count, 1))
    if architecture.condition != "actions":
        return np.zeros((conditioning.frame_count, 0), np.float32)
    assert conditioning.joints is not None
    positions = conditioning.joints.positions
    if positions.shape[1] != architecture.action_size:
        raise ConditioningError(f"the model reads {architecture.action_size} joints a frame, got {positions.shape[1]}")
    return positions.astype(np.float32)


def word_counts(text: str, size: int) -> NDArray[np.float32]:
    """How often each word of ``text`` comes in it, (size,): words in lower case, hashed to one of ``size`` numbers."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return np.bincount([zlib.crc32(word.encode()) % size for word in words], minlength=size).astype(np.float32)


def _scene_parts(
    conditioning: Conditioning, architecture: Architecture, by: Normalization
) -> dict[str, NDArray[np.generic]]:
    """The parts of the inputs that tell of the scene, by name."""
    if architecture.first_frame_geometry == "ramp" or conditioning.first_points is None:
        shown = ramp(architecture.height, architecture.width)
        hole = robot_hole(conditioning.robot_points[0], conditioning.robot_mask[0], conditioning.first_points)
        background = _picture(fill_colours(conditioning.first_frame, hole))
        parts = dict.fromkeys(("first_points", "background_points", "behind_points"), shown)
        return parts | dict.fromkeys(("background_rgb", "behind_rgb"), background) | _hints(None, architecture, by)
    scene = prepare_scene(conditioning, architecture)
    return {
        "first_points": _points(scene.first_points, by),
        "background_rgb": _picture(scene.background.rgb),
        "background_points": _points(scene.background.points, by),
        "behind_rgb": _picture(scene.behind.rgb),
        "behind_points": _points(scene.behind.points, by),
    } | _hints(scene, architecture, by)


def _hints(
    scene: PreparedScene | None, architecture: Architecture, by: Normalization
) -> dict[str, NDArray[np.generic]]:
    frames, height, width = architecture.frames, architecture.height, architecture.width
    surfaces = np.zeros((0, height, width), np.float32)
    shadows = np.zeros((0, frames, height // 2, width // 2), np.bool_)
    movers = no_movers(frames, height, width)
    if scene is not None:
        shadows = shadows if scene.shadows is None else scene.shadows
        movers = scene.movers or movers
        if scene.surfaces is not None:
            depths = (scene.surfaces.depths - by.offset[2]) / by.scale[2]
            surfaces = np.concatenate([depths, scene.surfaces.reached]).astype(np.float32)
    return {
        "shadows": shadows,
        "surfaces": surfaces,
        "mover_pixels": movers.pixels,
        "mover_path": movers.path,
        "mover_evidence": movers.evidence,
    }


def _picture(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(normalised_pictures(rgb[None])[:, 0])


def _points(points: NDArray[np.float32], by: Normalization) -> NDArray[np.float32]:
    return np.asarray(normalised_points(points[None], by)[0][:, 0])


def _rays(conditioning: Conditioning) -> NDArray[np.float32]:
    rays = conditioning.camera.rays()
    rays = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1)
    return np.asarray(rearrange(rays, "h w c -> c h w"), np.float32)


def _batch(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)[None])
