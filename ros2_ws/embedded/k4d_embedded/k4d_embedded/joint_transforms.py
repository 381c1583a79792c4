"""The transforms that a robot description's joints stand for: fixed ones once, moving ones at positions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from k4d_kinematics import se3
from k4d_kinematics.description import Joint
from k4d_kinematics.kinematic_tree import build_tree
from k4d_kinematics.urdf import parse_urdf

_MOVING_TYPES = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True, eq=False)
class LinkTransforms:
    """N transforms between neighbouring links: `T_parent_child` (N, 4, 4) takes points of `children` to `parents`."""

    parents: tuple[str, ...]
    children: tuple[str, ...]
    T_parent_child: se3.Array

    def __post_init__(self) -> None:
        sizes = len(self.parents), len(self.children), len(self.T_parent_child)
        if len(set(sizes)) != 1:
            raise ValueError(f"parents, children and transforms must be equally many, got {sizes}")


@dataclass(frozen=True, eq=False)
class JointModel:
    """A description's joints, the moving ones by name."""

    fixed: tuple[Joint, ...]
    moving: Mapping[str, Joint]

    @classmethod
    def from_urdf(cls, text: str) -> "JointModel":
        """Return the joints of a URDF text; raises k4d_kinematics' RobotModelError where it is not one whole robot.

        A floating joint at the root is left out: somebody else publishes where the robot is.
        """
        description = parse_urdf(text)
        build_tree(description)
        return cls(
            fixed=tuple(joint for joint in description.joints if joint.joint_type == "fixed"),
            moving={joint.name: joint for joint in description.joints if joint.joint_type in _MOVING_TYPES},
        )

    def fixed_transforms(self) -> LinkTransforms:
        """Return the transforms that never change."""
        return _between_links(self.fixed, np.stack([np.eye(4), *(joint.T_parent_joint for joint in self.fixed)])[1:])

    def moving_transforms(self, positions: Mapping[str, float]) -> LinkTransforms:
        """Return the transforms of the joints whose positions (rad or m) are given, and of those that mimic them.

        Other names are ignored. A mimicking joint's own position counts where it is given.
        """
        known = {name: value for name, value in positions.items() if name in self.moving}
        for name, joint in self.moving.items():
            if joint.mimic is not None and name not in known and joint.mimic.joint_name in positions:
                known[name] = positions[joint.mimic.joint_name] * joint.mimic.multiplier + joint.mimic.offset
        joints = [self.moving[name] for name in known]
        if not joints:
            return LinkTransforms((), (), np.empty((0, 4, 4)))
        travel = np.stack([joint.axis for joint in joints]) * np.array(list(known.values()))[:, None]  # (N, 3)
        slides = np.array([joint.joint_type == "prismatic" for joint in joints])[:, None]  # (N, 1)
        T_joint_child = np.tile(np.eye(4), (len(joints), 1, 1))  # (N, 4, 4)
        T_joint_child[:, :3, :3] = Rotation.from_rotvec(np.where(slides, 0.0, travel)).as_matrix()
        T_joint_child[:, :3, 3] = np.where(slides, travel, 0.0)
        return _between_links(joints, np.stack([joint.T_parent_joint for joint in joints]) @ T_joint_child)


def _between_links(joints: list[Joint] | tuple[Joint, ...], T_parent_child: se3.Array) -> LinkTransforms:
    return LinkTransforms(
        tuple(joint.parent for joint in joints), tuple(joint.child for joint in joints), T_parent_child
    )
