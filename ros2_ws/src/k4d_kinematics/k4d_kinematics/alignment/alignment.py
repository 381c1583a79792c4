"""A reconstruction of a robot brought to its URDF: aligned, cut into links, and judged link by link."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from k4d_kinematics import se3
from k4d_kinematics.alignment.outside import sample_outside
from k4d_kinematics.alignment.reconstruction import Reconstruction
from k4d_kinematics.alignment.registration import AlignmentLimits, Registration, register
from k4d_kinematics.alignment.segmentation import LinkResidual, Segmentation, measure_links, segment
from k4d_kinematics.errors import AlignmentError
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import RobotSurface


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a reconstruction lies to its robot, which link each of its faces is, and how well each link was met.

    ``T_base_link`` (L, 4, 4) is the posture in which the robot was reconstructed.
    """

    registration: Registration
    segmentation: Segmentation
    links: tuple[LinkResidual, ...]
    T_base_link: se3.Array

    @property
    def links_without_faces(self) -> tuple[str, ...]:
        """Links with a surface of which the reconstruction shows nothing."""
        return tuple(link.link_name for link in self.links if link.faces == 0)


def check_shapes(robot: Robot, geometry: str) -> None:
    """Raises AlignmentError where the robot has no shape of that kind: kinematics alone give ICP nothing to hold on."""
    shapes = {"visual": robot.visuals, "collision": robot.collisions}
    if not shapes[geometry]:
        others = [kind for kind, found in shapes.items() if found] or ["none"]
        raise AlignmentError(
            f"robot {robot.name!r} has no {geometry} shapes; an alignment needs the surfaces of the URDF's links, its "
            f"kinematics alone are not enough. Kinds of shapes that it has: {', '.join(others)}"
        )


def align(
    reconstruction: Reconstruction,
    robot: Robot,
    surface: RobotSurface,
    positions: ArrayLike,
    *,
    limits: AlignmentLimits,
    rng: np.random.Generator,
) -> Alignment:
    """The alignment of a reconstruction made with the joints at ``positions`` (J,).

    Raises PoorAlignmentError, AmbiguousAlignmentError, JointStateError for positions that do not fit the robot, and
    AlignmentError where open3d is not installed.
    """
    T_base_link = robot.forward_kinematics(positions)
    outside = sample_outside(surface, T_base_link)
    registration = register(outside, reconstruction, limits, rng)
    points_base = registration.similarity.to_base(reconstruction.vertices_recon)
    segmentation = segment(points_base, reconstruction.triangles, surface, T_base_link, farthest=limits.inlier_distance)
    middles_base = points_base[reconstruction.triangles].mean(axis=1)
    links = measure_links(segmentation, middles_base, outside, robot.link_names, limits.inlier_distance)
    return Alignment(registration, segmentation, links, T_base_link)
