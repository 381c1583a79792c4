"""An episode to write, and bags of hand-made messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_kinematics import Camera, JointTrajectory, se3
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.sources.rosbag import RosbagConfig

STORE = get_typestore(Stores.ROS2_KILTED)
FRAMES, HEIGHT, WIDTH, JOINTS = 7, 5, 9, 3

Records = list[tuple[str, int, Any]]


class Messages:
    """Makes standard messages from keywords; ``stamp`` and ``frame`` become the header."""

    def __call__(self, kind: str, *, stamp: int | None = None, frame: str = "", **fields: Any) -> Any:
        if stamp is not None:
            time = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
            fields["header"] = STORE.types["std_msgs/msg/Header"](time, frame)
        return STORE.types[kind](**fields)

    def image(
        self, stamp: int, values: np.ndarray, encoding: str, *, step: int | None = None, big: bool = False
    ) -> Any:
        """An Image of whatever bytes ``values`` (H, W, ...) have."""
        height, width = values.shape[:2]
        rows = values.reshape(height, -1).view(np.uint8)
        step = step or rows.shape[1]
        data = np.pad(rows, ((0, 0), (0, step - rows.shape[1])), constant_values=77).reshape(-1)
        return self(
            "sensor_msgs/msg/Image", stamp=stamp, frame="cam", height=height, width=width, encoding=encoding,
            is_bigendian=int(big), step=step, data=data,
        )  # fmt: skip

    def compressed(self, stamp: int, data: bytes, description: str) -> Any:
        buffer = np.frombuffer(data, np.uint8)
        return self("sensor_msgs/msg/CompressedImage", stamp=stamp, frame="cam", format=description, data=buffer)

    def joints(self, stamp: int, **positions: float) -> Any:
        empty = np.zeros(0)
        return self(
            "sensor_msgs/msg/JointState", stamp=stamp, name=list(positions), velocity=empty, effort=empty,
            position=np.array(list(positions.values()), float),
        )  # fmt: skip

    def camera(self, camera: Camera, stamp: int = 0) -> Any:
        roi = camera.roi
        region = self(
            "sensor_msgs/msg/RegionOfInterest", x_offset=roi.x_offset, y_offset=roi.y_offset, height=roi.height,
            width=roi.width, do_rectify=roi.do_rectify,
        )  # fmt: skip
        return self(
            "sensor_msgs/msg/CameraInfo", stamp=stamp, frame=camera.frame_id, height=camera.height, width=camera.width,
            distortion_model=camera.distortion_model, d=np.array(camera.D, float), k=camera.K.ravel(),
            r=camera.R.ravel(), p=camera.P.ravel(), binning_x=camera.binning_x, binning_y=camera.binning_y, roi=region,
        )  # fmt: skip

    def transforms(self, stamp: int, parent: str, child: str, T_parent_child: np.ndarray) -> Any:
        xyz, xyzw = se3.to_xyzw(T_parent_child)
        transform = self(
            "geometry_msgs/msg/Transform",
            translation=self("geometry_msgs/msg/Vector3", **dict(zip("xyz", xyz.tolist(), strict=True))),
            rotation=self("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", xyzw.tolist(), strict=True))),
        )
        kind = "geometry_msgs/msg/TransformStamped"
        stamped = self(kind, stamp=stamp, frame=parent, child_frame_id=child, transform=transform)
        return self("tf2_msgs/msg/TFMessage", transforms=[stamped])


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes (topic, arrival in nanoseconds, message) as a bag and returns its folder."""

    def write(records: Records, name: str = "bags/hand_made") -> Path:
        folder = tmp_path / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            connections = {}
            for topic, arrival, message in records:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
                writer.write(connections[topic], arrival, STORE.serialize_cdr(message, kind))
        return folder

    return write


@pytest.fixture
def config() -> RosbagConfig:
    return RosbagConfig(
        "lab", "/cam/image", "/cam/camera_info", "/cam/depth", "/joint_states",
        "/success", "/seed", "/task", "/caption", world_frame="world", base_frame="base",
    )  # fmt: skip


@pytest.fixture
def episode() -> Episode:
    """Random content with missing points, a moving camera, and wall-clock times."""
    rng = np.random.default_rng(3)
    camera = Camera.pinhole(HEIGHT, WIDTH, 8.0, 8.5, 4.1, 2.2, frame_id="cam")
    depth = rng.uniform(0.5, 3.0, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    depth[:, 1, 2] = np.nan
    rays = np.concatenate([camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1).astype(np.float32)
    times = 1.76e9 + np.cumsum(rng.uniform(0.02, 0.05, FRAMES))
    quaternions = rng.normal(size=(FRAMES, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    return Episode(
        EpisodeInfo("reach_0", "lab", task="push", caption="The arm pushes.", success=False, seed=2**63 + 5),
        rng.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8),
        times,
        camera=camera,
        T_world_cam=se3.from_xyzw(rng.normal(size=(FRAMES, 3)), quaternions),
        T_world_base=se3.from_xyz_rpy([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]),
        joints=JointTrajectory(("a", "b", "c"), times, rng.normal(size=(FRAMES, JOINTS))),
        scene_points=rays * depth[..., None],
    )
