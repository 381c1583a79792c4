"""Frames of a predicted or recorded future as files that anybody can open: one NPZ and one PLY a frame."""

import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout

# What reading a damaged archive raises: numpy's and zip's own errors, and Python's where a damaged size is used.
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, MemoryError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
_VERTEX = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures and points of one camera at T moments.

    rgb: (T, H, W, 3) uint8.
    points: (T, H, W, 3) float32 metres in the camera's optical frame, NaN where not ``valid``.
    valid: (T, H, W) bool; all False where nobody measured points.

    Raises RolloutError when shapes or types do not fit each other.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def __post_init__(self) -> None:
        size = self.rgb.shape[:3]
        expected: tuple[tuple[str, NDArray[np.generic], tuple[int, ...], type[np.generic]], ...] = (
            ("rgb", self.rgb, (*size, 3), np.uint8),
            ("points", self.points, (*size, 3), np.float32),
            ("valid", self.valid, size, np.bool_),
        )
        for name, array, shape, dtype in expected:
            if array.ndim != len(shape) or array.shape != shape or array.dtype != dtype or not array.size:
                raise RolloutError(f"{name} must be {dtype.__name__} of shape {shape}, got {array.dtype} {array.shape}")
        if not np.array_equal(np.isfinite(self.points).all(axis=-1), self.valid):
            raise RolloutError("points must be finite exactly where valid is True")

    @classmethod
    def of_rollout(cls, rollout: Rollout) -> "Frames":
        """The predicted frames."""
        return cls(rollout.rgb, rollout.points, rollout.valid)

    @classmethod
    def of_episode(cls, episode: Episode) -> "Frames":
        """The recorded frames; an episode without scene points gives none."""
        points = episode.scene_points
        if points is None:
            points = np.full(episode.rgb.shape, np.nan, np.float32)
        return cls(episode.rgb, points, np.asarray(np.isfinite(points).all(axis=-1)))


def write_frames(folder: Path, frames: Frames, frame_id: str) -> None:
    """Writes frame k as ``000k.npz`` (rgb, points_cam, valid) and as ``000k.ply`` into a new folder.

    Points are in ``frame_id``, the camera's optical frame, which each PLY names in a comment.
    """
    folder.mkdir()
    for k, (rgb, points, valid) in enumerate(zip(frames.rgb, frames.points, frames.valid, strict=True)):
        np.savez(_npz(folder, k), rgb=rgb, points_cam=points, valid=valid)
        write_ply(_npz(folder, k).with_suffix(".ply"), points[valid], rgb[valid], frame_id)


def read_frames(folder: Path, count: int) -> Frames:
    """The ``count`` frames of a folder, as they were written. Raises RolloutError naming the file that is unusable."""
    if count < 1:
        raise RolloutError(f"{folder}: a future has at least one frame, got {count}")
    parts = [_read_frame(_npz(folder, k)) for k in range(count)]
    for k, part in enumerate(parts):
        if part.rgb.shape != parts[0].rgb.shape:
            raise RolloutError(f"{_npz(folder, k)}: must be of {parts[0].rgb.shape[1:3]} pixels as the first frame is")
    return Frames(
        np.concatenate([part.rgb for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.valid for part in parts]),
    )


def write_ply(path: Path, points: NDArray[np.float32], rgb: NDArray[np.uint8], frame_id: str) -> None:
    """Writes points (n, 3) with colours (n, 3) as a binary little-endian PLY that names its frame in a comment."""
    vertices = np.empty(len(points), _VERTEX)
    for k, (axis, colour) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        vertices[axis], vertices[colour] = points[:, k], rgb[:, k]
    kinds = {"<f4": "float", "|u1": "uchar"}
    properties = [f"property {kinds[_VERTEX[name].str]} {name}" for name in _VERTEX.names or ()]
    lines = [
        "ply", "format binary_little_endian 1.0", f"comment metres in {frame_id!r}",
        f"element vertex {len(vertices)}", *properties, "end_header",
    ]  # fmt: skip
    path.write_bytes(("\n".join(lines) + "\n").encode("ascii", "backslashreplace") + vertices.tobytes())


def _npz(folder: Path, k: int) -> Path:
    return folder / f"{k:04d}.npz"


def _read_frame(path: Path) -> Frames:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = [np.asarray(archive[name])[None] for name in ("rgb", "points_cam", "valid")]
        return Frames(*arrays)
    except RolloutError as error:
        raise RolloutError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise RolloutError(f"{path}: cannot be read: {error}") from error
