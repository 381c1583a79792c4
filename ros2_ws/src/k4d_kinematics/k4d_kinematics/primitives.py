"""Boxes, cylinders, spheres and capsules as triangles that lie inside the true shape."""

import numpy as np
import trimesh

from k4d_kinematics.description import Box, Capsule, Cylinder, MeshFile, Shape, Sphere
from k4d_kinematics.errors import MeshError
from k4d_kinematics.mesh_files import MeshPart

# A flat facet of angle 2 pi / n lies at most r (1 - cos(pi / n)) below the arc: 0.05 mm at r = 0.1 m for n = 100. On a
# sphere two curvatures add up, so it takes sqrt(2) times as many.
CIRCLE_SECTIONS = 100
SPHERE_SECTIONS = 144


def tessellate(shape: Shape) -> MeshPart:
    """A closed mesh of a primitive, at most 5e-4 of its radius below the true surface; boxes are exact.

    Raises MeshError for a mesh file, which is no primitive.
    """
    if isinstance(shape, MeshFile):
        raise MeshError(f"{shape.uri!r} is a mesh file, primitives are box, cylinder, sphere, capsule")
    if isinstance(shape, Box):
        mesh = trimesh.creation.box(extents=shape.size)
    elif isinstance(shape, Cylinder):
        r, h = shape.radius, shape.length / 2
        mesh = trimesh.creation.revolve([(0, -h), (r, -h), (r, h), (0, h)], sections=CIRCLE_SECTIONS)
    else:
        mesh = trimesh.creation.revolve(_round_profile(shape), sections=SPHERE_SECTIONS)
    return MeshPart(np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int32), None, None, None)


def _round_profile(shape: Sphere | Capsule) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Distance from the axis and height (n, 2) from the lower pole to the upper."""
    h = shape.length / 2 if isinstance(shape, Capsule) else 0.0
    angle = np.linspace(-np.pi / 2, 0.0, SPHERE_SECTIONS // 4 + 1)
    lower = shape.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) - (0.0, h)
    upper = lower[::-1] * (1.0, -1.0)
    return np.concatenate([lower, upper if h > 0 else upper[1:]])
