"""A reconstructed mesh of a robot, of unknown frame and scale, cut into the links of its URDF (docs/alignment.md)."""

from k4d_kinematics.alignment.alignment import Alignment, align, check_shapes
from k4d_kinematics.alignment.reconstructed_robot import write_reconstructed_robot
from k4d_kinematics.alignment.reconstruction import Reconstruction, read_reconstruction
from k4d_kinematics.alignment.registration import AlignmentLimits, Registration
from k4d_kinematics.alignment.segmentation import LinkResidual, Segmentation
from k4d_kinematics.alignment.similarity import Similarity

__all__ = [
    "Alignment",
    "AlignmentLimits",
    "LinkResidual",
    "Reconstruction",
    "Registration",
    "Segmentation",
    "Similarity",
    "align",
    "check_shapes",
    "read_reconstruction",
    "write_reconstructed_robot",
]
