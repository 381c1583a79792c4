"""What inverse kinematics is asked for, checked: tool poses, and the joint positions that a search starts from."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import chain_kernels, se3
from k4d_kinematics.errors import InverseKinematicsError, TransformError
from k4d_kinematics.kinematic_chain import KinematicChain

Array = NDArray[np.float64]


def checked_poses(T_base_tool: ArrayLike, *, stacked: bool) -> Array:
    """A copy of poses (T, 4, 4) where ``stacked``, else of one (4, 4). Raises InverseKinematicsError unless rigid."""
    try:
        # A copy of fixed type and layout: the kernels would be compiled anew for read-only or transposed arrays.
        T = np.array(T_base_tool, np.float64, order="C")
        # Exact poses pass at once; se3 decides on the others and says what is wrong with them.
        if T.shape != (4, 4) or not chain_kernels.is_exactly_rigid(T):
            se3.check_transform(T, "T_base_tool")
    except (TransformError, TypeError, ValueError) as error:
        raise InverseKinematicsError(str(error)) from error
    if T.ndim != (3 if stacked else 2):
        raise InverseKinematicsError(f"T_base_tool must be {'(T, 4, 4)' if stacked else '(4, 4)'}, got {T.shape}")
    return T


def checked_seed(joint_names: tuple[str, ...], chain: KinematicChain, q: ArrayLike) -> Array:
    """Joint positions (J,) of the whole robot, those of the chain within limits. Raises InverseKinematicsError."""
    positions = np.asarray(q, np.float64)
    if positions.shape != (len(joint_names),) or not np.isfinite(positions).all():
        raise InverseKinematicsError(f"joint positions must be {len(joint_names)} finite numbers, got {q!r}")
    q_chain = positions[chain.joint_indices]
    outside = (q_chain < chain.lower) | (q_chain > chain.upper)
    if outside.any():
        k = int(np.argmax(outside))
        raise InverseKinematicsError(
            f"joint {chain.joint_names[k]!r} is at {q_chain[k]}, outside its limits "
            f"[{chain.lower[k]}, {chain.upper[k]}]"
        )
    return positions
