"""The kinematics half in one function: trajectory, robot, camera and transforms in, robot pointmaps out."""

import numpy as np

from k4d_kinematics import se3
from k4d_kinematics.pointmap import PointmapSequence
from k4d_kinematics.rendering import Renderer
from k4d_kinematics.robot import Robot
from k4d_kinematics.tool_path import tool_path
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.transforms import TransformSource


def render_trajectory(
    robot: Robot,
    trajectory: JointTrajectory,
    renderer: Renderer,
    transforms: TransformSource,
    *,
    mount_link: str | None = None,
    tool_link: str = "",
    workers: int = 1,
) -> PointmapSequence:
    """The robot pointmaps of ``trajectory`` as ``renderer``'s camera sees them, rendered by ``workers`` threads.

    The camera's place comes from ``transforms`` at each time of the trajectory relative to ``mount_link``, the link
    that the camera rides on, or the root link (default) for one that does not. The path of ``tool_link`` goes with them
    where it is given. Raises JointStateError when the trajectory lacks a joint, RobotModelError on an unknown link and
    TransformError when the camera's place is not known.
    """
    positions = robot.order_positions(trajectory.joint_names, trajectory.positions)  # (T, J)
    T_base_link = robot.forward_kinematics(positions)  # (T, L, 4, 4)
    T_cam_base = camera_transforms(
        robot, T_base_link, trajectory.times, renderer.camera.frame_id, transforms, mount_link
    )
    images = renderer.render_sequence(T_cam_base[:, None] @ T_base_link, workers=workers)
    return PointmapSequence(
        points_cam=images.points_cam,
        mask=images.mask,
        times=trajectory.times,
        T_cam_base=T_cam_base,
        positions=positions,
        joint_names=robot.joint_names,
        camera=renderer.camera,
        link_ids=images.link_ids,
        rgb=images.rgb,
        tool=tool_path(robot, tool_link, positions) if tool_link else None,
    )


def camera_transforms(
    robot: Robot,
    T_base_link: se3.Array,
    times: se3.Array,
    camera_frame: str,
    transforms: TransformSource,
    mount_link: str | None = None,
) -> se3.Array:
    """``T_cam_base`` (T, 4, 4) of a camera that ``transforms`` knows relative to ``mount_link`` (default root link)."""
    link = mount_link or robot.link_names[0]
    T_link_cam = np.stack([transforms.lookup(link, camera_frame, float(time)) for time in times])  # (T, 4, 4)
    return se3.inverse(T_base_link[:, robot.link_index(link)] @ T_link_cam)
