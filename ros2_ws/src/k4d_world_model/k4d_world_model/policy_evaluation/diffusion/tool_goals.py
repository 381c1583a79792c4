"""The numbers in which a diffusion policy thinks of its tool: where it is or shall be, how turned, how far open."""

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture

Array = NDArray[np.float64]

# Position (3), cosine and sine of the turn about the vertical, gripper from -1 open to 1 closed.
TOOL_NUMBERS = 6


def tool_numbers(architecture: PolicyArchitecture, T_base_tool: Array, opening: float) -> NDArray[np.float32]:
    """The numbers (TOOL_NUMBERS,) of a tool's pose (4, 4) in the base frame whose fingers are ``opening`` m apart."""
    position = (T_base_tool[:3, 3] - architecture.centre) / architecture.scale
    turn = np.arctan2(T_base_tool[1, 0], T_base_tool[0, 0])
    closed = 1.0 - 2.0 * opening / architecture.widest_opening
    return np.array([*position, np.cos(turn), np.sin(turn), closed], np.float32)


def tool_goal(architecture: PolicyArchitecture, numbers: NDArray[np.float32]) -> tuple[Array, float]:
    """The pose (4, 4) in the base frame, the tool pointing down, and the opening in metres that numbers stand for."""
    x, y, z, cosine, sine, closed = np.asarray(numbers, np.float64)
    norm = max(float(np.hypot(cosine, sine)), 1e-6)
    c, s = cosine / norm, sine / norm
    T_base_tool = np.array([[c, s, 0.0, 0.0], [s, -c, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    T_base_tool[:3, 3] = np.array([x, y, z]) * architecture.scale + architecture.centre
    opening = (1.0 - float(np.clip(closed, -1.0, 1.0))) / 2.0 * architecture.widest_opening
    return T_base_tool, opening
