"""Where a robot's tool is while it moves, and how far its gripper is open."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import se3
from k4d_kinematics.errors import TrajectoryError
from k4d_kinematics.kinematic_tree import FIXED
from k4d_kinematics.robot import Robot


@dataclass(frozen=True, eq=False)
class ToolPath:
    """A tool at T moments.

    T_base_tool: (T, 4, 4) its pose in the robot's base frame; a gripper's fingers open along its y axis and reach along
        z. opening: (T,) metres that they are apart, 0 without a gripper.

    Raises TrajectoryError when shapes do not fit each other or a number is not finite.
    """

    T_base_tool: se3.Array
    opening: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.opening)
        if self.T_base_tool.shape != (count, 4, 4) or self.opening.shape != (count,):
            raise TrajectoryError(
                "a tool's path must be T_base_tool (T, 4, 4) and opening (T,), got "
                f"{self.T_base_tool.shape} and {self.opening.shape}"
            )
        if not (np.isfinite(self.T_base_tool).all() and np.isfinite(self.opening).all()):
            raise TrajectoryError("a tool's path must be finite")


def tool_path(robot: Robot, tool_link: str, positions: ArrayLike) -> ToolPath:
    """The path of ``tool_link`` at joint positions (T, J) in the order of ``robot.joint_names``.

    The gripper is what moves beyond the last joint that carries the tool: it is open by as much as its farthest links
    are farther apart than when it is closed, at one end of its joints. Raises JointStateError for the positions and
    RobotModelError for the link.
    """
    T_base_link = robot.forward_kinematics(np.atleast_2d(positions))
    tool = robot.link_index(tool_link)
    fingers = _fingers(robot, tool)
    closed = min(float(_spread(robot.forward_kinematics(end)[None], fingers)[0]) for end in _ends(robot))
    opening = np.maximum(_spread(T_base_link, fingers) - closed, 0.0)
    return ToolPath(T_base_link[:, tool], opening)


def _fingers(robot: Robot, tool: int) -> list[int]:
    """Links that move, below the last link of the tool's chain that does."""
    tree = robot.tree
    hand = tool
    while hand > 0 and tree.motion[hand] == FIXED:
        hand = int(tree.parent[hand])
    below = {hand}
    for link in range(hand + 1, len(tree.link_names)):  # parents come before children
        if tree.parent[link] in below:
            below.add(link)
    return [link for link in sorted(below - {hand}) if tree.motion[link] != FIXED]


def _ends(robot: Robot) -> list[se3.Array]:
    """Positions (J,) with every joint at its lower and at its upper limit, 0 where it has none."""
    return [np.where(np.isfinite(limit), limit, 0.0) for limit in (robot.lower, robot.upper)]


def _spread(T_base_link: se3.Array, links: list[int]) -> NDArray[np.float64]:
    """The largest distance (T,) between any two of the links' origins, 0 for fewer than two."""
    origins = T_base_link[:, links][..., :3, 3]  # (T, n, 3)
    if len(links) < 2:
        return np.zeros(len(T_base_link))
    return np.asarray(np.linalg.norm(origins[:, :, None] - origins[:, None], axis=-1).max(axis=(1, 2)))
