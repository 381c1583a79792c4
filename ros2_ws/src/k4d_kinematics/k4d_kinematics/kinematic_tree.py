"""How a description's links and joints connect: one tree, as arrays for the FK kernel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.description import Description, Joint
from k4d_kinematics.errors import RobotModelError

FIXED, REVOLUTE, PRISMATIC = 0, 1, 2
_MOTION = {"fixed": FIXED, "revolute": REVOLUTE, "continuous": REVOLUTE, "prismatic": PRISMATIC}


@dataclass(frozen=True, eq=False)
class KinematicTree:
    """A tree of L links in topological order, link 0 the root, moved by J independent joints.

    Link i hangs on link ``parent[i]`` < i through the fixed ``T_parent_joint[i]`` and then a motion of kind
    ``motion[i]`` about or along ``axis[i]`` by ``multiplier[i] * positions[joint_index[i]] + offset[i]``; the
    multiplier and offset are 1 and 0 unless the joint mimics another.
    """

    link_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    parent: NDArray[np.int64]  # (L,), -1 for the root
    T_parent_joint: se3.Array  # (L, 4, 4)
    axis: se3.Array  # (L, 3)
    motion: NDArray[np.int64]  # (L,), FIXED, REVOLUTE or PRISMATIC
    joint_index: NDArray[np.int64]  # (L,), -1 where fixed
    multiplier: se3.Array  # (L,)
    offset: se3.Array  # (L,)
    is_mimic: NDArray[np.bool_]  # (L,)
    lower: se3.Array  # (J,)
    upper: se3.Array  # (J,)
    velocity_limits: se3.Array  # (J,)
    is_revolute: NDArray[np.bool_]  # (J,)

    def __post_init__(self) -> None:
        L, J = len(self.link_names), len(self.joint_names)
        per_link = (self.parent, self.T_parent_joint, self.axis, self.motion, self.joint_index, self.multiplier)
        per_joint = (self.lower, self.upper, self.velocity_limits, self.is_revolute)
        sizes = [len(a) for a in (*per_link, self.offset, self.is_mimic)], [len(a) for a in per_joint]
        if sizes != ([L] * 8, [J] * 4):
            raise RobotModelError(f"a tree of {L} links and {J} joints needs arrays of these lengths, got {sizes}")
        if (self.parent >= np.arange(L)).any() or not ((self.joint_index >= 0) == (self.motion != FIXED)).all():
            raise RobotModelError(
                f"links must follow their parents and moving ones name a joint, got parents {self.parent.tolist()} and "
                f"joints {self.joint_index.tolist()}"
            )

    def link_index(self, name: str) -> int:
        """The index of a link. Raises RobotModelError naming the valid links."""
        if name not in self.link_names:
            raise RobotModelError(f"unknown link {name!r}, links are: {', '.join(self.link_names)}")
        return self.link_names.index(name)


def build_tree(description: Description) -> KinematicTree:
    """The kinematic tree of a description.

    A floating joint is accepted where it carries the whole robot: its child becomes the root link, whose pose is
    given to forward kinematics, and the link above it is dropped. Raises RobotModelError for unknown links, several
    or no roots, cycles, mimics that lead nowhere, and floating or planar joints elsewhere.
    """
    parent_joint = _joints_by_child(description)
    root, parent_joint = _find_root(description, parent_joint)
    order = _topological_order(root, parent_joint)
    _check_reached(description, order, parent_joint)
    joints = [parent_joint[name] for name in order[1:]]
    _check_joint_types(joints)
    by_name = {joint.name: joint for joint in joints}
    free = [joint for joint in joints if joint.joint_type != "fixed" and joint.mimic is None]
    index = {joint.name: k for k, joint in enumerate(free)}
    link_index = {name: i for i, name in enumerate(order)}
    drives = [_resolve_mimic(joint, by_name) for joint in joints]
    return KinematicTree(
        link_names=tuple(order),
        joint_names=tuple(joint.name for joint in free),
        parent=np.array([-1, *(link_index[joint.parent] for joint in joints)], np.int64),
        T_parent_joint=np.stack([np.eye(4), *(joint.T_parent_joint for joint in joints)]),
        axis=np.stack([np.array([1.0, 0.0, 0.0]), *(joint.axis for joint in joints)]),
        motion=np.array([FIXED, *(_MOTION[joint.joint_type] for joint in joints)], np.int64),
        joint_index=np.array([-1, *(index.get(leader, -1) for leader, _, _ in drives)], np.int64),
        multiplier=np.array([1.0, *(multiplier for _, multiplier, _ in drives)]),
        offset=np.array([0.0, *(offset for _, _, offset in drives)]),
        is_mimic=np.array([False, *(joint.mimic is not None for joint in joints)]),
        lower=np.array([joint.lower for joint in free]),
        upper=np.array([joint.upper for joint in free]),
        velocity_limits=np.array([joint.velocity_limit for joint in free]),
        is_revolute=np.array([joint.joint_type != "prismatic" for joint in free], bool),
    )


def _joints_by_child(description: Description) -> dict[str, Joint]:
    known = set(description.link_names)
    parent_joint: dict[str, Joint] = {}
    for joint in description.joints:
        for role, link in (("parent", joint.parent), ("child", joint.child)):
            if link not in known:
                raise RobotModelError(
                    f"joint {joint.name!r} names the unknown {role} link {link!r}, links are: "
                    f"{', '.join(description.link_names)}"
                )
        if joint.child in parent_joint:
            raise RobotModelError(
                f"link {joint.child!r} must be the child of one joint, is the child of "
                f"{parent_joint[joint.child].name!r} and {joint.name!r}"
            )
        parent_joint[joint.child] = joint
    return parent_joint


def _find_root(description: Description, parent_joint: dict[str, Joint]) -> tuple[str, dict[str, Joint]]:
    """The root link and the joints below it, a floating joint at the root taken away with the link above it."""
    roots = [name for name in description.link_names if name not in parent_joint]
    if not roots:
        cycle = ": every link is some joint's child, so the joints form a cycle" if description.link_names else ""
        raise RobotModelError(f"a robot must have exactly one root link, got []{cycle}")
    if len(roots) > 1:
        raise RobotModelError(f"a robot must have exactly one root link, got {roots}, none of them any joint's child")
    below = [joint for joint in description.joints if joint.parent == roots[0]]
    if len(below) != 1 or below[0].joint_type != "floating":
        return roots[0], parent_joint
    if any(geometry.link_name == roots[0] for geometry in (*description.visuals, *description.collisions)):
        raise RobotModelError(
            f"link {roots[0]!r} above the floating joint {below[0].name!r} must have no visual or collision shape"
        )
    return below[0].child, {child: joint for child, joint in parent_joint.items() if joint is not below[0]}


def _topological_order(root: str, parent_joint: dict[str, Joint]) -> list[str]:
    """Links depth first from the root, children in the order of the file."""
    children: dict[str, list[str]] = {}
    for child, joint in parent_joint.items():
        children.setdefault(joint.parent, []).append(child)
    order, stack = [], [root]
    while stack:
        order.append(stack.pop())
        stack.extend(reversed(children.get(order[-1], [])))
    return order


def _check_reached(description: Description, order: list[str], parent_joint: dict[str, Joint]) -> None:
    unreached = sorted(set(parent_joint) - set(order))
    if unreached:
        raise RobotModelError(
            f"joints must form a tree below {order[0]!r}; these links of {description.name!r} form a cycle apart "
            f"from it: {', '.join(unreached)}"
        )


def _check_joint_types(joints: list[Joint]) -> None:
    for joint in joints:
        if joint.joint_type not in _MOTION:
            raise RobotModelError(
                f"joint {joint.name!r} is {joint.joint_type}; supported are {', '.join(_MOTION)} and one floating "
                "joint that alone connects the root link to the rest of the robot"
            )


def _resolve_mimic(joint: Joint, by_name: dict[str, Joint]) -> tuple[str, float, float]:
    """The independent joint that drives ``joint``, with multiplier and offset composed over mimics of mimics."""
    multiplier, offset, seen = 1.0, 0.0, {joint.name: None}
    while joint.mimic is not None:
        leader = by_name.get(joint.mimic.joint_name)
        if leader is None or leader.joint_type == "fixed":
            movable = [name for name, other in by_name.items() if other.joint_type != "fixed"]
            raise RobotModelError(
                f"joint {joint.name!r} must mimic a movable joint, got {joint.mimic.joint_name!r}, movable are: "
                f"{', '.join(movable)}"
            )
        if leader.name in seen:
            raise RobotModelError(f"mimic joints must not form a cycle, got {' -> '.join([*seen, leader.name])}")
        offset += multiplier * joint.mimic.offset
        multiplier *= joint.mimic.multiplier
        seen[leader.name] = None
        joint = leader
    return joint.name, multiplier, offset
