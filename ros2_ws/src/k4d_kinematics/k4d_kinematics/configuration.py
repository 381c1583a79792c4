"""Configuration: one frozen dataclass per component is the only schema; YAML files are read into it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import dacite
import numpy as np
import yaml

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import ConfigurationError, KinematicsError
from k4d_kinematics.transforms import StaticEdge, StaticTransforms

T = TypeVar("T")

# What reading YAML raises: its own errors, and Python's where a malformed number, date or depth of nesting is used.
_YAML_DAMAGE = (OSError, yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True)
class RobotConfig:
    """A robot: where its description is, which link is its tool, and a comfortable posture.

    ``urdf`` is a path (relative to the configuration file), ``file://`` or ``package://`` of a URDF or xacro file.
    ``home`` maps joint names to radians or metres. ``geometry`` is "visual" or "collision".
    ``triangle_fraction`` in (0, 1] keeps that part of the triangles; 1 renders the full meshes.
    """

    name: str
    urdf: str
    tool_link: str
    home: dict[str, float]
    geometry: Literal["visual", "collision"] = "visual"
    triangle_fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.triangle_fraction <= 1.0:
            raise ConfigurationError(f"triangle_fraction must be in (0, 1], got {self.triangle_fraction}")


@dataclass(frozen=True)
class CameraConfig:
    """A camera: its intrinsics as in sensor_msgs/CameraInfo, and where its optical frame sits.

    ``K`` is row-major (9 numbers, pixels). ``xyz`` (metres) and ``quaternion_xyzw`` are the pose of ``frame_id`` in
    ``parent_frame``: T_parent_cam. A parent that is a moving link makes a camera that rides on the robot.
    """

    name: str
    frame_id: str
    parent_frame: str
    xyz: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]
    height: int
    width: int
    K: tuple[float, ...]
    distortion_model: str = "plumb_bob"
    D: tuple[float, ...] = field(default=())

    def camera(self) -> Camera:
        """The camera model, whose rectified image keeps K. Raises CameraError when the intrinsics are not usable."""
        if len(self.K) != 9:
            raise ConfigurationError(f"K must hold 9 numbers row by row, got {len(self.K)}: {self.K}")
        K = np.array(self.K).reshape(3, 3)
        P = np.hstack([K, np.zeros((3, 1))])
        return Camera(self.height, self.width, K, self.D, self.distortion_model, P=P, frame_id=self.frame_id)

    def T_parent_cam(self) -> se3.Array:
        """Pose (4, 4) of the optical frame in ``parent_frame``. Raises TransformError when it is not a rigid pose."""
        return se3.from_xyzw(self.xyz, self.quaternion_xyzw)

    def transforms(self) -> StaticTransforms:
        """The camera's place as a source of transforms. Raises TransformError when it is not a rigid pose."""
        return StaticTransforms([StaticEdge(self.parent_frame, self.frame_id, self.T_parent_cam())])


def read_configuration(path: Path, schema: type[T]) -> T:
    """The YAML file at ``path`` as ``schema``. Raises ConfigurationError naming the file and what is wrong in it."""
    try:
        content = yaml.safe_load(path.read_text())
    except _YAML_DAMAGE as error:
        raise ConfigurationError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path}: expected a mapping of {', '.join(_names(schema))}, got {content!r}")
    try:
        return from_mapping(content, schema)
    except KinematicsError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def from_mapping(content: Mapping[str, Any], schema: type[T]) -> T:
    """``content`` as the dataclass ``schema``. Raises ConfigurationError on unknown, missing or wrongly typed keys."""
    for key in content:
        if key not in _names(schema):
            closest = difflib.get_close_matches(str(key), _names(schema), n=1)
            hint = f"; did you mean {closest[0]!r}?" if closest else ""
            raise ConfigurationError(f"unknown key {key!r}{hint} Valid keys: {', '.join(_names(schema))}")
    try:
        values = {key: _as_tuples(value) for key, value in content.items()}
        return dacite.from_dict(schema, values, dacite.Config(strict=True, type_hooks={float: _number}))
    except dacite.WrongTypeError as error:
        raise ConfigurationError(_wrong_type(error, content)) from error
    except (dacite.DaciteError, TypeError, ValueError) as error:
        if isinstance(error, KinematicsError):
            raise
        raise ConfigurationError(str(error)) from error


def _wrong_type(error: dacite.WrongTypeError, content: Mapping[str, Any]) -> str:
    """What the value named by ``error`` must be, and what it is in ``content``."""
    expected, parts = error.field_type, get_args(error.field_type)
    if get_origin(expected) is Literal:
        valid = f"one of {', '.join(map(repr, parts))}"
    elif get_origin(expected) is tuple and set(parts) <= {float, ...}:
        valid = "numbers" if ... in parts else f"{len(parts)} numbers"
    else:
        return str(error)
    return f"{error.field_path} must be {valid}, got {content.get(str(error.field_path), error.value)!r}"


def _as_tuples(value: Any) -> Any:
    """YAML's lists as tuples, at any depth."""
    if isinstance(value, list):
        return tuple(_as_tuples(item) for item in value)
    return {key: _as_tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def _number(value: Any) -> Any:
    """Whole numbers as floats; anything else is left to the type check, which would take true for 1."""
    if isinstance(value, bool):
        raise ConfigurationError(f"true and false are no numbers, got {value} where one is expected")
    return float(value) if isinstance(value, int) else value


def _names(schema: type) -> list[str]:
    return [item.name for item in fields(schema)]
