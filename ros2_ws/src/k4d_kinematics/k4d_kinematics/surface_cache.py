"""Prepared surfaces on disk, named by the content they were made from. Nothing is trusted that does not check out."""

import dataclasses
import hashlib
import json
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from k4d_kinematics import resources
from k4d_kinematics.description import LinkGeometry, MeshFile
from k4d_kinematics.errors import MeshError, RobotModelError, SurfaceError
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import Colors, DetailReport, Parts, RobotSurface

# Raise it whenever the same input gives another surface or the file another layout.
FORMAT = 1

_ASSET_SUFFIXES = (b".mtl", b".png", b".jpg", b".jpeg", b".tga", b".bmp", b".tif", b".tiff")
_NAME_DELIMITERS = frozenset(b"<>\"'\t\r\n=")

_logger = logging.getLogger(__name__)


def content_key(robot: Robot, geometries: tuple[LinkGeometry, ...], parameters: str) -> str:
    """The sha256 hex digest of all that a surface depends on: shapes, placements, materials, mesh and texture bytes.

    ``parameters`` states everything else. Raises MeshError where a file does not exist.
    """
    digest = hashlib.sha256(f"{FORMAT} {trimesh.__version__} {parameters} {robot.link_names}".encode())
    files: dict[Path, str] = {}
    for geometry in geometries:
        digest.update(repr((geometry.link_name, geometry.shape, geometry.material)).encode())
        digest.update(np.ascontiguousarray(geometry.T_link_geometry, np.float64).tobytes())
        texture = geometry.material.texture_uri if geometry.material is not None else None
        for uri in (geometry.shape.uri if isinstance(geometry.shape, MeshFile) else None, texture):
            if uri is not None:
                digest.update(_hash_with_assets(_resolve(robot, uri), files).encode())
    return digest.hexdigest()


def load_surface(path: Path) -> RobotSurface | None:
    """The surface in a cache file, None where there is no file or it is not sound; that is logged as a warning."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        stored = arrays.pop("checksum")
        if str(stored) != _checksum(arrays):
            raise SurfaceError("its checksum does not fit its content")
        return _from_arrays(arrays)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, TypeError, LookupError, zipfile.BadZipFile, zlib.error) as error:
        _logger.warning("surface cache %s is not sound and will be rebuilt: %s", path, error)
        return None


def save_surface(path: Path, surface: RobotSurface) -> None:
    """Writes a cache file in one step, so that other readers and writers see either none or all of it."""
    arrays = _to_arrays(surface)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            stored: dict[str, Any] = {"checksum": np.array(_checksum(arrays)), **arrays}
            np.savez(file, **stored)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _to_arrays(surface: RobotSurface) -> dict[str, NDArray[Any]]:
    detail = None if surface.detail is None else dataclasses.asdict(surface.detail)
    return {
        **surface.parts._asdict(),
        **surface.colors._asdict(),
        "link_names": np.array(surface.link_names),
        "detail": np.array(json.dumps(detail)),
    }


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> RobotSurface:
    detail = json.loads(str(arrays["detail"]))
    return RobotSurface(
        link_names=tuple(str(name) for name in arrays["link_names"]),
        parts=Parts(**{name: arrays[name] for name in Parts._fields}),
        colors=Colors(**{name: arrays[name] for name in Colors._fields}),
        detail=None if detail is None else DetailReport(**detail),
    )


def _checksum(arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(str(FORMAT).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _resolve(robot: Robot, uri: str) -> Path:
    try:
        return resources.resolve(uri, robot.base_folder, robot.package_paths)
    except RobotModelError as error:
        raise MeshError(str(error)) from error


def _hash_with_assets(path: Path, known: dict[Path, str]) -> str:
    """The digest of a file and of the material and image files that it names and that exist."""
    if path not in known:
        known[path] = ""  # A file that names itself ends here.
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MeshError(f"cannot read {path}: {error}") from error
        assets = sorted({path.parent / name for name in _asset_names(data)})
        digests = [_hash_with_assets(asset, known) for asset in assets if asset.is_file()]
        known[path] = hashlib.sha256(hashlib.sha256(data).digest() + "".join(digests).encode()).hexdigest()
    return known[path]


def _asset_names(data: bytes) -> Iterator[str]:
    """Every stretch of a mesh or material file that reads like the name of a material or image file."""
    if data.startswith((b"\x89PNG", b"\xff\xd8", b"glTF")):
        return
    lowered = data.lower()
    for suffix in _ASSET_SUFFIXES:
        stop = lowered.find(suffix)
        while stop >= 0:
            start = stop
            while start > 0 and stop - start < 255 and data[start - 1] not in _NAME_DELIMITERS:
                start -= 1
            line = data[start : stop + len(suffix)].decode(errors="replace").removeprefix("file://")
            # An OBJ or MTL line is a keyword, options and the name.
            yield from (line.strip(), line.split(maxsplit=1)[-1].strip(), line.split()[-1])
            stop = lowered.find(suffix, stop + 1)
