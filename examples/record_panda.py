"""Records examples/panda_pick: a Panda that reaches down, grasps and lifts, seen by two calibrated cameras.

    .venv/bin/python examples/record_panda.py --out examples/panda_pick

The motion is planned, nothing is random, so the same bag comes out each time. It holds joint states at 50 Hz, the
cameras' calibrations at 10 Hz, their fixed transforms, and the plan of a second motion that starts after the first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_kinematics import se3
from k4d_kinematics.configuration import CameraConfig, RobotConfig, read_configuration
from k4d_kinematics.planning import InterpolationPlanner, JointGoal, PlanningSettings
from k4d_kinematics.robot import Robot

STORE = get_typestore(Stores.ROS2_KILTED)
TYPES = STORE.types
START_NS = 1_760_000_000_000_000_000
CAMERA_PERIOD_NS = 100_000_000
JOINT_RATE_HZ = 50.0
NEVER = QosTime(2147483647, 4294967295)
LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
    NEVER, NEVER, QosLiveliness.AUTOMATIC, NEVER, False,
)  # fmt: skip


@dataclass(frozen=True)
class Motion:
    """Joint positions (T, J) at JOINT_RATE_HZ, and the plan (T', J) at the same rate that follows them."""

    positions: NDArray[np.float64]
    planned: NDArray[np.float64]
    planned_velocities: NDArray[np.float64]


def pick(robot: Robot, config: RobotConfig) -> Motion:
    """Down to the table, close the fingers, up and aside; then a plan back to where it began."""
    settings = PlanningSettings(rate_hz=JOINT_RATE_HZ, velocity_scale=0.5, tool_speed=0.35)
    planner = InterpolationPlanner(robot, config.tool_link, settings=settings)
    home = robot.order_positions(tuple(config.home), tuple(config.home.values()))
    finger = robot.joint_names.index("panda_finger_joint1")  # the other finger mimics it
    R_down = np.diag([1.0, -1.0, -1.0])  # the tool's z axis points at the table
    above, grasp = (se3.from_rotation_translation(R_down, p) for p in ([0.5, 0.1, 0.35], [0.5, 0.1, 0.03]))
    aside = se3.from_rotation_translation(R_down, [0.45, -0.3, 0.3])

    approach = planner.plan_tool_path(home, np.stack([above, grasp])).positions
    closed = approach[-1].copy()
    closed[finger] = 0.02
    closing = planner.plan(approach[-1], JointGoal(closed)).positions
    lift = planner.plan_tool_path(closed, np.stack([above, aside])).positions
    back = planner.plan(lift[-1], JointGoal(home))
    assert back.velocities is not None
    still = np.tile(lift[-1], (round(JOINT_RATE_HZ / 2), 1))
    return Motion(np.concatenate([approach, closing[1:], lift[1:], still]), back.positions, back.velocities)


class Recording:
    """A rosbag2 recording under way: typed messages in, serialised ones out."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connections: dict[str, Connection] = {}

    def write(self, topic: str, stamp_ns: int, message: Any, qos: tuple[Qos, ...] = ()) -> None:
        """Adds one message to a topic."""
        kind = message.__msgtype__
        if topic not in self._connections:
            added = self._writer.add_connection(topic, kind, typestore=STORE, offered_qos_profiles=qos)
            self._connections[topic] = added
        self._writer.write(self._connections[topic], stamp_ns, STORE.serialize_cdr(message, kind))


def header(stamp_ns: int, frame_id: str = "") -> Any:
    """A std_msgs/Header."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def fixed_transform(config: CameraConfig) -> Any:
    """The camera's T_parent_cam as a geometry_msgs/TransformStamped without a stamp."""
    translation = TYPES["geometry_msgs/msg/Vector3"](*config.xyz)
    rotation = TYPES["geometry_msgs/msg/Quaternion"](*config.quaternion_xyzw)
    return TYPES["geometry_msgs/msg/TransformStamped"](
        header=header(0, config.parent_frame),
        child_frame_id=config.frame_id,
        transform=TYPES["geometry_msgs/msg/Transform"](translation, rotation),
    )


def camera_info(config: CameraConfig, stamp_ns: int) -> Any:
    """The camera's sensor_msgs/CameraInfo."""
    camera = config.camera()
    whole = TYPES["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns, config.frame_id),
        height=config.height,
        width=config.width,
        distortion_model=config.distortion_model,
        d=np.array(config.D, np.float64),
        k=camera.K.ravel(),
        r=camera.R.ravel(),
        p=camera.P.ravel(),
        binning_x=0,
        binning_y=0,
        roi=whole,
    )


def joint_state(robot: Robot, positions: NDArray[np.float64], stamp_ns: int) -> Any:
    """A sensor_msgs/JointState."""
    empty = np.zeros(0)
    return TYPES["sensor_msgs/msg/JointState"](
        header=header(stamp_ns), name=list(robot.joint_names), position=positions, velocity=empty, effort=empty
    )


def planned_trajectory(robot: Robot, motion: Motion, stamp_ns: int) -> Any:
    """The plan of the arm's joints as a trajectory_msgs/JointTrajectory that starts at its stamp."""
    arm = [k for k, name in enumerate(robot.joint_names) if "finger" not in name]
    points = []
    for index, (positions, velocities) in enumerate(zip(motion.planned, motion.planned_velocities, strict=True)):
        seconds, nanoseconds = divmod(round(index * 1e9 / JOINT_RATE_HZ), 1_000_000_000)
        points.append(
            TYPES["trajectory_msgs/msg/JointTrajectoryPoint"](
                positions=positions[arm],
                velocities=velocities[arm],
                accelerations=np.zeros(0),
                effort=np.zeros(0),
                time_from_start=TYPES["builtin_interfaces/msg/Duration"](sec=seconds, nanosec=nanoseconds),
            )
        )
    names = [robot.joint_names[k] for k in arm]
    kind = TYPES["trajectory_msgs/msg/JointTrajectory"]
    return kind(header=header(stamp_ns), joint_names=names, points=points)


def record(out: Path, config_folder: Path = Path("config")) -> None:
    """Plans the motion and writes the bag.

    Args:
        out: Folder of the recording; it must not exist.
        config_folder: Where robots/ and cameras/ lie.
    """
    config = read_configuration(config_folder / "robots/panda.yaml", RobotConfig)
    cameras = [read_configuration(config_folder / f"cameras/{name}.yaml", CameraConfig) for name in ("front", "wrist")]
    robot = Robot.from_file(config.urdf)
    motion = pick(robot, config)
    end_ns = START_NS + round((len(motion.positions) - 1) * 1e9 / JOINT_RATE_HZ)
    with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        recording = Recording(writer)
        transforms = TYPES["tf2_msgs/msg/TFMessage"](transforms=[fixed_transform(camera) for camera in cameras])
        recording.write("/tf_static", START_NS, transforms, (LATCHED,))
        for index, positions in enumerate(motion.positions):
            stamp_ns = START_NS + round(index * 1e9 / JOINT_RATE_HZ)
            recording.write("/joint_states", stamp_ns, joint_state(robot, positions, stamp_ns))
            if (stamp_ns - START_NS) % CAMERA_PERIOD_NS == 0:
                for camera in cameras:
                    recording.write(f"/{camera.name}/camera_info", stamp_ns, camera_info(camera, stamp_ns))
        recording.write("/planned_trajectory", end_ns, planned_trajectory(robot, motion, end_ns))


if __name__ == "__main__":
    tyro.cli(record)
