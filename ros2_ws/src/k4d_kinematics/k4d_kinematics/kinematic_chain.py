"""The movable joints between two links, as inverse kinematics needs them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.errors import RobotModelError
from k4d_kinematics.kinematic_tree import FIXED, KinematicTree


@dataclass(frozen=True, eq=False)
class KinematicChain:
    """The n movable joints between a base and a tip link, fixed transforms folded in.

    ``T_base_tip`` is the product over joints k of ``T_parent_joint[k]`` and the motion of joint k by
    ``positions[joint_indices[k]]``, times ``T_joint_tip``; ``T_parent_joint[0]`` starts at the base link.
    """

    base_link: str
    tip_link: str
    joint_names: tuple[str, ...]
    joint_indices: NDArray[np.int64]  # (n,) into the robot's J joints
    T_parent_joint: se3.Array  # (n, 4, 4)
    axes: se3.Array  # (n, 3)
    is_revolute: NDArray[np.bool_]  # (n,)
    lower: se3.Array  # (n,)
    upper: se3.Array  # (n,)
    T_joint_tip: se3.Array  # (4, 4)

    def __post_init__(self) -> None:
        n = len(self.joint_names)
        arrays = (self.joint_indices, self.T_parent_joint, self.axes, self.is_revolute, self.lower, self.upper)
        shapes = [a.shape for a in (*arrays, self.T_joint_tip)]
        if shapes != [(n,), (n, 4, 4), (n, 3), (n,), (n,), (n,), (4, 4)]:
            raise RobotModelError(
                f"a chain of {n} joints needs arrays of shapes (n,), (n, 4, 4), (n, 3), (n,), (n,), (n,) and (4, 4), "
                f"got {shapes}"
            )


def extract_chain(tree: KinematicTree, tip: str, base: str) -> KinematicChain:
    """The chain of movable joints from ``base`` down to ``tip``.

    Raises RobotModelError for unknown links, where ``base`` is not above ``tip``, where nothing between them moves,
    and for mimic joints between them, since those do not move on their own.
    """
    links = _links_between(tree, tree.link_index(tip), tree.link_index(base))
    if tree.is_mimic[links].any():
        mimics = [tree.link_names[i] for i in links if tree.is_mimic[i]]
        raise RobotModelError(f"a chain must not hold mimic joints; those above links {', '.join(mimics)} are")
    moving, T_before, T = [], [], np.eye(4)
    for i in links:
        T = T @ tree.T_parent_joint[i]
        if tree.motion[i] != FIXED:
            moving.append(i)
            T_before.append(T)
            T = np.eye(4)
    if not moving:
        raise RobotModelError(f"a chain needs a movable joint, there is none between {base!r} and {tip!r}")
    joints = tree.joint_index[moving]
    return KinematicChain(
        base_link=base,
        tip_link=tip,
        joint_names=tuple(tree.joint_names[k] for k in joints),
        joint_indices=joints,
        T_parent_joint=np.stack(T_before),
        axes=tree.axis[moving],
        is_revolute=tree.is_revolute[joints],
        lower=tree.lower[joints],
        upper=tree.upper[joints],
        T_joint_tip=T,
    )


def _links_between(tree: KinematicTree, tip: int, base: int) -> list[int]:
    """Links below ``base`` down to ``tip``, the tip last."""
    links, i = [], tip
    while i != base:
        if i < 0:
            raise RobotModelError(
                f"a chain runs downwards: {tree.link_names[base]!r} is not above {tree.link_names[tip]!r}"
            )
        links.append(i)
        i = int(tree.parent[i])
    return links[::-1]
