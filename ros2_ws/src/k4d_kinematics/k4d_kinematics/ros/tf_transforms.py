"""Transforms from a tf2 buffer behind the core's TransformSource seam."""

import yaml
from rclpy.time import Time
from tf2_ros import Buffer, TransformException

from k4d_kinematics import se3
from k4d_kinematics.errors import TransformError
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.conversions import transform_from_message


class TfSnapshot:
    """The transforms of a tf2 buffer from any frame to a robot's link at one stamp, whatever time is asked.

    A live frame is placed at its own stamp. A plan's frames lie in the future, of which tf2 knows nothing: what does
    not ride on the robot stays where it was at the plan's stamp. Stamp 0 means the newest transforms.
    """

    def __init__(self, buffer: Buffer, stamp_ns: int, frame_prefix: str = "") -> None:
        """``frame_prefix`` is what robot_state_publisher puts before link names."""
        self._buffer = buffer
        self._stamp = Time(nanoseconds=stamp_ns)
        self._frame_prefix = frame_prefix

    def lookup(self, target: str, source: str, time: float) -> se3.Array:
        """``T_target_source`` (4, 4); ``target`` is a link's name. Never waits; raises TransformError as tf2 says."""
        try:
            found = self._buffer.lookup_transform(self._frame_prefix + target, source, self._stamp)
        except TransformException as error:
            raise TransformError(f"no transform from {source!r} to {target!r}: {error}") from error
        return transform_from_message(found.transform)


def mount_link(buffer: Buffer, robot: Robot, camera_frame: str, frame_prefix: str = "") -> str:
    """The robot link that a camera rides on: the nearest ancestor of its frame in the tf tree, else the root link.

    Raises TransformError when tf2 does not know the camera's frame yet, or its frames turn in a circle.
    """
    parents = {frame: entry["parent"] for frame, entry in (yaml.safe_load(buffer.all_frames_as_yaml()) or {}).items()}
    if camera_frame not in parents:
        raise TransformError(f"tf2 does not know the parent of the camera's frame {camera_frame!r}")
    links = {frame_prefix + name: name for name in robot.link_names}
    frame, way = camera_frame, [camera_frame]
    while frame not in links and frame in parents:
        frame = parents[frame]
        if frame in way:
            raise TransformError(f"the frames that tf2 knows turn in a circle: {' -> '.join([*way, frame])}")
        way.append(frame)
    return links.get(frame, robot.link_names[0])
