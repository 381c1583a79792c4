"""Quaternion arithmetic on plain floats: for single lookups several times faster than arrays of four."""

from math import atan2, sin, sqrt

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w


def rotate(q_xyzw: Quaternion, vector: Vector) -> Vector:
    """Return the vector turned by a unit quaternion: v + 2 w (u x v) + 2 u x (u x v)."""
    qx, qy, qz, qw = q_xyzw
    x, y, z = vector
    cx = 2.0 * (qy * z - qz * y)
    cy = 2.0 * (qz * x - qx * z)
    cz = 2.0 * (qx * y - qy * x)
    return (x + qw * cx + qy * cz - qz * cy, y + qw * cy + qz * cx - qx * cz, z + qw * cz + qx * cy - qy * cx)


def multiply(left_xyzw: Quaternion, right_xyzw: Quaternion) -> Quaternion:
    """Return the Hamilton product, the rotation `right` followed by `left`."""
    ax, ay, az, aw = left_xyzw
    bx, by, bz, bw = right_xyzw
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by + ay * bw + az * bx - ax * bz,
        aw * bz + az * bw + ax * by - ay * bx,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def slerp(start_xyzw: Quaternion, end_xyzw: Quaternion, ratio: float) -> Quaternion:
    """Return the rotation at `ratio` (0 to 1) of the shorter arc between two unit quaternions.

    Source: Shoemake, Animating rotation with quaternion curves, 1985. The angle comes from the chord, which stays exact
    for small arcs.
    """
    ax, ay, az, aw = start_xyzw
    bx, by, bz, bw = end_xyzw
    if ax * bx + ay * by + az * bz + aw * bw < 0.0:
        bx, by, bz, bw = -bx, -by, -bz, -bw
    chord = sqrt((ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2 + (aw - bw) ** 2)
    if chord == 0.0:
        return start_xyzw
    far = sqrt((ax + bx) ** 2 + (ay + by) ** 2 + (az + bz) ** 2 + (aw + bw) ** 2)
    angle = 2.0 * atan2(chord, far)
    a = sin((1.0 - ratio) * angle) / sin(angle)
    b = sin(ratio * angle) / sin(angle)
    return (a * ax + b * bx, a * ay + b * by, a * az + b * bz, a * aw + b * bw)
