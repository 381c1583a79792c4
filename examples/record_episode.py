"""Records examples/panda_pick_place: a simulated Panda puts a box on a disc, seen by a standing camera with depth.

    .venv/bin/python examples/record_episode.py --out examples/panda_pick_place

One seed decides everything. README.md beside this file says what the recording holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from backports import zstd
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

from k4d_kinematics import (
    CameraConfig,
    InterpolationPlanner,
    JointGoal,
    JointTrajectory,
    PlanningSettings,
    configured_robot,
    read_configuration,
)
from k4d_simulation import Scene, SceneConfig, build_scene
from k4d_simulation.episode import Motion, simulate
from k4d_simulation.errors import SimulationError
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_world_model.dataset import bag_messages
from k4d_world_model.dataset.bag_writer import Stamped, write_messages

SEED = 9
FRAMES, HEIGHT, WIDTH = 49, 480, 720
START_NS = 1_760_000_000_000_000_000
PLAN_RATE_HZ = 50.0
CHUNK_BYTES = 24 * 2**20
# Depths are rounded to this, below what the pointmaps are good for, so that less noise has to be stored.
DEPTH_STEP = 2.0**-15
LATCHED_TOPICS = ("/tf_static", "/seed", "/success")


class LargeChunks(McapWriter):
    """An MCAP file whose chunks hold several pictures, so that what stands still in them is stored once a chunk."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(path, compression)
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {
            parameter.compression_level: 19,
            parameter.window_log: (2 * CHUNK_BYTES).bit_length(),
            parameter.enable_long_distance_matching: 1,
        }
        self.compressor = partial(zstd.compress, options=options)
        self._is_closing = False

    def close_chunk(self) -> None:
        """Ends a chunk once it is large, or at the end of the file."""
        if self._is_closing or self.chunk.bio.tell() > CHUNK_BYTES:
            super().close_chunk()

    def close(self, version: int, metadata: str) -> None:
        """Writes what is left, and the index."""
        self._is_closing = True
        super().close(version, metadata)


class EpisodeWriter(Writer):
    """A rosbag2 writer of MCAP files with large chunks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self.STORAGE_PLUGINS = {StoragePlugin.MCAP: LargeChunks}
        self.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)


@dataclass(frozen=True)
class Arguments:
    """Records a simulated episode as a bag."""

    out: Path
    """Folder of the recording; it must not exist."""
    seed: int = SEED
    """Decides everything that is random."""
    config: Path = Path("config")
    """Folder with robots/, scenes/ and cameras/."""


def main(arguments: Arguments) -> None:
    """Simulates the episode and writes the bag. Raises SimulationError when the expert fails at this seed."""
    robot = configured_robot(arguments.config / "robots/panda.yaml")
    config = read_configuration(arguments.config / "scenes/medium.yaml", SceneConfig)
    wrist = read_configuration(arguments.config / "cameras/wrist.yaml", CameraConfig)
    scene = build_scene(robot, config, "pick_place", arguments.seed, meshes="full")
    motion = simulate(scene)
    if not motion.success:
        raise SimulationError(f"seed {arguments.seed} fails ({motion.outcome.reason}); another one may succeed")
    content = [*joint_states(motion), *still_messages(scene, motion, wrist)]
    with EpisodeWriter(arguments.out) as writer:
        write_messages(writer, content, frames(scene, motion, wrist), LATCHED_TOPICS)


def stamps(times: NDArray[np.float64]) -> list[int]:
    """Stamps in nanoseconds of seconds since the episode's start."""
    return [START_NS + round(time * 1e9) for time in times.tolist()]


def still_messages(scene: Scene, motion: Motion, wrist: CameraConfig) -> Iterator[Stamped]:
    """Fixed transforms and the seed at the start; at the end the outcome, and a plan to the arm's home."""
    start_ns, end_ns = stamps(motion.times)[0], stamps(motion.times)[-1]
    edges = [
        ("world", scene.robot.robot.link_names[0], scene.T_world_base),
        ("world", "front_camera_optical_frame", scene.T_world_cam),
        (wrist.parent_frame, wrist.frame_id, wrist.T_parent_cam()),
    ]
    yield "/tf_static", start_ns, bag_messages.transforms(edges, start_ns)
    yield "/seed", start_ns, bag_messages.value("UInt64", scene.seed)
    yield "/success", end_ns, bag_messages.value("Bool", motion.success)
    yield "/planned_trajectory", end_ns, bag_messages.planned_trajectory(plan_home(scene, motion), end_ns)


def plan_home(scene: Scene, motion: Motion) -> JointTrajectory:
    """A plan of the arm's joints from the motion's end to the robot's home posture."""
    robot = scene.robot.robot
    settings = PlanningSettings(rate_hz=PLAN_RATE_HZ, velocity_scale=0.2)
    planner = InterpolationPlanner(robot, scene.robot.tool_link, settings=settings)
    assert scene.robot.home is not None
    plan = planner.plan(motion.joints.positions[-1], JointGoal(scene.robot.home))
    return plan.reorder(robot.chain(scene.robot.tool_link).joint_names)


def joint_states(motion: Motion) -> Iterator[Stamped]:
    """All joints at the rate of the simulated controller."""
    for positions, stamp_ns in zip(motion.joints.positions, stamps(motion.times), strict=True):
        yield "/joint_states", stamp_ns, bag_messages.joint_state(motion.joints.joint_names, positions, stamp_ns)


def frames(scene: Scene, motion: Motion, wrist: CameraConfig) -> Iterator[Stamped]:
    """What the front camera sees, and the calibration of both cameras, evenly spread over the motion."""
    chosen = np.round(np.linspace(0, len(motion.times) - 1, FRAMES)).astype(int)
    frame_id = "front_camera_optical_frame"
    with SceneRenderer(scene, HEIGHT, WIDTH, RenderingSettings()) as renderer:
        for qpos, stamp_ns in zip(motion.qpos[chosen], stamps(motion.times[chosen]), strict=True):
            picture = renderer.render(qpos)
            depth = (np.round(picture.depth / DEPTH_STEP) * DEPTH_STEP).astype(np.float32)
            yield "/front/image_raw", stamp_ns, bag_messages.image(picture.rgb, stamp_ns, frame_id)
            yield "/front/depth", stamp_ns, bag_messages.image(depth, stamp_ns, frame_id)
            yield "/front/camera_info", stamp_ns, bag_messages.camera_info(renderer.camera, stamp_ns, frame_id)
            yield "/wrist/camera_info", stamp_ns, distorted_camera_info(wrist, stamp_ns)


def distorted_camera_info(config: CameraConfig, stamp_ns: int) -> Any:
    """A sensor_msgs/CameraInfo of a camera with a lens."""
    plain = bag_messages.camera_info(config.camera(), stamp_ns, config.frame_id)
    return replace(plain, distortion_model=config.distortion_model, d=np.array(config.D))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
