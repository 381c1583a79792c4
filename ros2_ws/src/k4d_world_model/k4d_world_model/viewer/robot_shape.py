"""The robot as meshes that a browser moves: one a link, and where each is over time."""

from dataclasses import dataclass

import numpy as np
import trimesh
from einops import rearrange

from k4d_kinematics import ConfiguredRobot, JointTrajectory, RobotSurface, se3


@dataclass(frozen=True, eq=False)
class RobotShape:
    """M links that have a shape: their names, meshes in the link's frame, and poses T_base_link (T, M, 4, 4)."""

    link_names: tuple[str, ...]
    meshes: tuple[trimesh.Trimesh, ...]
    T_base_link: se3.Array


def robot_shape(configured: ConfiguredRobot, joints: JointTrajectory) -> RobotShape:
    """The robot at the positions of ``joints``. Raises JointStateError when one of its joints is not among them."""
    robot, surface = configured.robot, configured.surface
    positions = robot.order_positions(joints.joint_names, joints.positions)  # (T, J)
    shaped = np.unique(surface.parts.link)
    return RobotShape(
        tuple(surface.link_names[link] for link in shaped),
        tuple(_mesh(surface, int(link)) for link in shaped),
        robot.forward_kinematics(positions)[:, shaped],
    )


def _mesh(surface: RobotSurface, link: int) -> trimesh.Trimesh:
    """A link's triangles with its colours at their corners; corners of one place and colour are one vertex."""
    parts = surface.parts
    of_part = [np.arange(parts.start[k], parts.start[k + 1]) for k in np.flatnonzero(parts.link == link)]
    chosen = np.concatenate(of_part)
    corners = rearrange(parts.corners[:, chosen], "(corner xyz) n -> (n corner) xyz", xyz=3)
    colours = rearrange(surface.colors.corner_rgb[chosen], "n corner rgb -> (n corner) rgb")
    joined, vertex_of_corner = np.unique(np.hstack([corners, colours]), axis=0, return_inverse=True)
    triangles = rearrange(vertex_of_corner, "(n corner) -> n corner", corner=3)
    return trimesh.Trimesh(joined[:, :3], triangles, vertex_colors=joined[:, 3:].astype(np.uint8), process=False)
