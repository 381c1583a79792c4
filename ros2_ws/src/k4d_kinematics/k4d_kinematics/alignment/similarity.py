"""How a reconstruction of unknown scale lies to the robot's base: a rigid transform and, beside it, a scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from k4d_kinematics import se3
from k4d_kinematics.errors import TransformError


@dataclass(frozen=True, eq=False)
class Similarity:
    """``p_recon = T_recon_base @ (scale * p_base)``: metres of the base frame to units of the reconstruction.

    T_recon_base: (4, 4) rigid, its translation in the reconstruction's units.
    scale: reconstruction units per metre, above zero.
    Raises TransformError for a transform that is not rigid or another scale.
    """

    T_recon_base: se3.Array
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "T_recon_base", se3.check_transform(self.T_recon_base, "T_recon_base"))
        if not 0.0 < self.scale < np.inf:
            raise TransformError(f"scale must be a finite number above 0, got {self.scale}")

    @classmethod
    def from_matrix(cls, S_base_recon: ArrayLike) -> "Similarity":
        """The similarity of a matrix (4, 4) that takes points of the reconstruction to the base frame in metres.

        Raises TransformError where it is no rotation times one scale.
        """
        S = np.asarray(S_base_recon, np.float64)
        metres_per_unit = np.cbrt(np.linalg.det(S[:3, :3]))
        if not metres_per_unit > 0.0:
            raise TransformError(f"S_base_recon must be a rotation times a scale above 0, got {S.tolist()}")
        R_recon_base = S[:3, :3].T / metres_per_unit
        t_recon = -R_recon_base @ S[:3, 3] / metres_per_unit
        return cls(se3.from_rotation_translation(R_recon_base, t_recon), float(1.0 / metres_per_unit))

    @property
    def matrix(self) -> se3.Array:
        """``S_base_recon`` (4, 4): rotation, scale and translation in one, from the reconstruction to metres."""
        S = se3.inverse(self.T_recon_base)
        S[:3] /= self.scale
        return S

    def to_recon(self, points_base: ArrayLike) -> se3.Array:
        """Points (..., N, 3) of the base frame in the reconstruction's frame and units."""
        return se3.transform_points(self.T_recon_base, self.scale * np.asarray(points_base, np.float64))

    def to_base(self, points_recon: ArrayLike) -> se3.Array:
        """Points (..., N, 3) of the reconstruction in the base frame, metres."""
        return se3.transform_points(se3.inverse(self.T_recon_base), points_recon) / self.scale

    def camera(self, T_cam_recon: ArrayLike) -> se3.Array:
        """``T_cam_base`` (4, 4) in metres of a camera whose pose in the reconstruction, in its units, is known.

        Raises TransformError where that pose is not rigid.
        """
        T_cam_base = se3.check_transform(T_cam_recon, "T_cam_recon") @ self.T_recon_base
        T_cam_base[:3, 3] /= self.scale
        return np.asarray(T_cam_base)
