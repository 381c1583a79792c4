"""A small conditioning in which everything is known: a wall, a nearer box, a robot plate that moves before both."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import Camera, JointTrajectory
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize

FRAMES, HEIGHT, WIDTH = 9, 16, 32


def plate(camera: Camera, depth: float, rows: slice, columns: slice) -> np.ndarray:
    """Points (H, W, 3) of a plate square to the camera, NaN elsewhere."""
    points = np.full((camera.height, camera.width, 3), np.nan, np.float32)
    rays = np.concatenate([camera.rays(), np.ones((camera.height, camera.width, 1))], axis=-1)
    points[rows, columns] = (depth * rays)[rows, columns]
    return points


@pytest.fixture
def conditioning() -> Conditioning:
    generator = np.random.default_rng(3)
    camera = Camera.pinhole(HEIGHT, WIDTH, 40.0, 41.0, 15.0, 8.5, frame_id="lens")
    first_points = plate(camera, 2.0, slice(None), slice(None))
    box = (slice(4, 12), slice(20, 26))
    first_points[box] = plate(camera, 1.2, *box)[box]
    robot_points = np.stack([plate(camera, 1.5, slice(3, 10), slice(4 + 2 * t, 9 + 2 * t)) for t in range(FRAMES)])
    robot_mask = np.isfinite(robot_points[..., 2])
    first_points[robot_mask[0]] = robot_points[0][robot_mask[0]]
    return Conditioning(
        first_frame=generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        robot_points=robot_points,
        robot_mask=robot_mask,
        times=np.arange(FRAMES) * 0.1,
        camera=camera,
        T_cam_base=np.tile(np.eye(4), (FRAMES, 1, 1)),
        robot_rgb=np.where(robot_mask[..., None], np.uint8(200), np.uint8(0)).repeat(3, axis=-1),
        first_points=first_points,
    )


@pytest.fixture
def architecture() -> Architecture:
    return Architecture(
        FRAMES, HEIGHT, WIDTH, first_frame_geometry="measured", normalization="robot", normalization_margin=2.0,
        robot_pictures="rendered", prior="frozen_world", head="motion", pointmap_latent_mean=0.0,
        pointmap_latent_std=1.0, codec=CodecSize("pixels", 8, 4, 3 * 4 * 64),
        transformer=TransformerSize((1, 2, 2), 2, 12, 48, 2, 16, 0), robot_tokens=RobotTokenSize(2, (3, 1, 2)),
    )  # fmt: skip


@pytest.fixture
def published(architecture: Architecture) -> Architecture:
    """The same sizes with what the published model reads."""
    return replace(
        architecture, first_frame_geometry="ramp", normalization="scene", normalization_margin=1.0, prior="first_frame",
        head="velocity", pointmap_latent_mean=-0.17, pointmap_latent_std=1.36,
    )  # fmt: skip


@pytest.fixture
def told(architecture: Architecture) -> Architecture:
    """As config/training/ablation.yaml: a still prior, and nothing but the condition tells of the robot."""
    return replace(
        architecture, condition="robot_pointmap", robot_in_both_halves=True, first_frame_geometry="ramp",
        normalization="fixed", normalization_margin=1.5, prior="still", head="blend", reads_noise=False,
    )  # fmt: skip


@pytest.fixture
def everything(conditioning: Conditioning) -> Conditioning:
    """The conditioning with joints, instruction and pictures besides."""
    generator = np.random.default_rng(8)
    return replace(
        conditioning,
        joints=JointTrajectory(("a", "b", "c"), conditioning.times, generator.normal(size=(9, 3))),
        instruction="The robot picks up the red box.",
        pictures=generator.integers(0, 256, (*conditioning.robot_mask.shape, 3), np.uint8),
    )
