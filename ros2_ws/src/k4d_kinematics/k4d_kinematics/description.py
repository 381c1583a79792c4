"""A robot as its description states it: links, joints, shapes and materials. Metres, radians."""

from dataclasses import dataclass

from k4d_kinematics import se3


@dataclass(frozen=True)
class Box:
    """A box centred at its origin with edge lengths ``size`` in metres."""

    size: tuple[float, float, float]


@dataclass(frozen=True)
class Cylinder:
    """A cylinder along z, centred at its origin."""

    radius: float
    length: float


@dataclass(frozen=True)
class Sphere:
    """A sphere centred at its origin."""

    radius: float


@dataclass(frozen=True)
class Capsule:
    """A cylinder of ``length`` along z, centred at its origin, with a half sphere on either end."""

    radius: float
    length: float


@dataclass(frozen=True)
class MeshFile:
    """A mesh file; ``scale`` multiplies its coordinates, a negative factor mirrors it."""

    uri: str
    scale: tuple[float, float, float]


Shape = Box | Cylinder | Sphere | Capsule | MeshFile


@dataclass(frozen=True)
class Material:
    """A colour in 0..1 and a texture's URI, either of which may be absent."""

    rgba: tuple[float, float, float, float] | None
    texture_uri: str | None


@dataclass(frozen=True, eq=False)
class LinkGeometry:
    """One visual or collision shape of a link, placed by ``T_link_geometry`` (4, 4)."""

    link_name: str
    shape: Shape
    T_link_geometry: se3.Array
    material: Material | None


@dataclass(frozen=True)
class Mimic:
    """A joint that follows another: position = multiplier * position of ``joint_name`` + offset."""

    joint_name: str
    multiplier: float
    offset: float


@dataclass(frozen=True, eq=False)
class Joint:
    """A joint as the file states it: unit ``axis`` (3,) in the joint frame, infinite limits where it has none."""

    name: str
    joint_type: str
    parent: str
    child: str
    T_parent_joint: se3.Array
    axis: se3.Array
    lower: float
    upper: float
    velocity_limit: float
    mimic: Mimic | None


@dataclass(frozen=True, eq=False)
class Description:
    """What a URDF says, each element checked by itself; how links and joints connect is not checked here."""

    name: str
    link_names: tuple[str, ...]
    joints: tuple[Joint, ...]
    visuals: tuple[LinkGeometry, ...]
    collisions: tuple[LinkGeometry, ...]
