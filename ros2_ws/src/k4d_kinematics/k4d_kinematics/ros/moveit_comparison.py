"""Whether MoveIt and this package mean the same robot: the poses of all links, compared at many states."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from k4d_kinematics import se3
from k4d_kinematics.errors import ModelMismatchError
from k4d_kinematics.robot import Robot

# Largest displacement in metres between the two models' points.
TOLERANCE = 1e-4
_REACH = 1.0


@dataclass(frozen=True)
class Disagreement:
    """The largest distance in metres between points of one link in the two models, and which link it is."""

    link: str
    distance: float


def check_link_poses(
    robot: Robot, link_poses: Callable[[se3.Array], dict[str, se3.Array]], *, states: int = 20, seed: int = 0
) -> Disagreement:
    """The worst link over ``states`` random joint positions within limits, drawn from ``seed``.

    ``link_poses`` gives MoveIt's ``T_base_link`` (4, 4) by name. Compared are each link's origin and the points one
    metre along its axes, so that a wrong rotation shows. Raises ModelMismatchError naming the worst link where the
    models are apart by more than 0.1 mm.
    """
    generator = np.random.default_rng(seed)
    lower, upper = np.maximum(robot.lower, -np.pi), np.minimum(robot.upper, np.pi)
    worst = np.zeros(len(robot.link_names))
    for q in generator.uniform(lower, upper, (states, len(lower))):
        theirs = link_poses(q)
        T_base_link = np.stack([theirs[name] for name in robot.link_names])
        apart = _points(T_base_link) - _points(robot.forward_kinematics(q))  # (L, 4, 3)
        worst = np.maximum(worst, np.linalg.norm(apart, axis=-1).max(axis=-1))
    link = int(np.argmax(worst))
    found = Disagreement(robot.link_names[link], float(worst[link]))
    if not found.distance <= TOLERANCE:
        raise ModelMismatchError(
            f"MoveIt's model of the robot is another one: points within {_REACH:.0f} m of link {found.link!r} are up "
            f"to {found.distance * 1e3:.3g} mm apart, valid are {TOLERANCE * 1e3:.1f} mm; give both the same URDF"
        )
    return found


def _points(T_base_link: se3.Array) -> se3.Array:
    """The origins (L, 4, 3) of links and the points along their axes."""
    corners = np.vstack([np.zeros(3), _REACH * np.eye(3)])
    return se3.transform_points(T_base_link, np.broadcast_to(corners, (len(T_base_link), 4, 3)))
