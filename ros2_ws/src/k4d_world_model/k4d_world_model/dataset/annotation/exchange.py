"""The folders through which a tool is handed an episode and hands back what it found.

The tool reads the input folder::

    rgb/00000.png ...       the T pictures, 8-bit RGB, H rows x W columns
    episode.json            {"version": 1, "episode_id", "frames": T, "height": H, "width": W, "times": [s, ...],
                            "intrinsics": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] or null, "robot", "task", "caption"}

and writes into the output folder, which is there and empty, one or more of::

    points.safetensors      tensor "points", float32 (T, H, W, 3), in the camera's optical frame (x right, y down,
                            z forward), NaN where there is none; metadata {"scale": "metric"} for metres on the rays of
                            the intrinsics, or {"scale": "affine"} when scale and offset of each axis are unknown
    masks/00000.png ...     T pictures of one channel, 1 or 8 bit: 0, or 255 where the robot is seen; or instead
    masks.safetensors       tensor "robot_mask", bool or uint8 (0 and 1), (T, H, W)
    captions.json           {"caption": "...", "scene_caption": "..."}, either may be left out

Pixel centres lie at whole (u, v). Nothing else may lie there, links neither; nothing of it is executed.
"""

import json
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open

from k4d_kinematics.pictures import write_png
from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

VERSION = 1

Scale = Literal["metric", "affine"]

_POINTS, _MASKS, _MASK_FOLDER, _CAPTIONS = "points.safetensors", "masks.safetensors", "masks", "captions.json"
_MOST_CAPTION_BYTES = 1_000_000
_IMAGE_DAMAGE = (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)


def write_input(folder: Path, episode: Episode) -> None:
    """Writes what a tool reads into ``folder``, which must exist."""
    (folder / "rgb").mkdir()
    for index, picture in enumerate(episode.rgb):
        write_png(folder / "rgb" / _picture_name(index), picture)
    frames, height, width = episode.rgb.shape[:3]
    content = {
        "version": VERSION,
        "episode_id": episode.info.episode_id,
        "frames": frames,
        "height": height,
        "width": width,
        "times": episode.times.tolist(),
        "intrinsics": None if episode.camera is None else episode.camera.matrix.tolist(),
        "robot": episode.info.robot,
        "task": episode.info.task,
        "caption": episode.info.caption,
    }
    (folder / "episode.json").write_text(json.dumps(content, indent=1) + "\n")


def read_output(folder: Path, episode: Episode, tool: str) -> Annotations:
    """What a tool wrote into ``folder``. Raises AnnotationError naming the file that is wrong, missing or unknown."""
    names = _names(folder, valid=(_POINTS, _MASKS, _MASK_FOLDER, _CAPTIONS))
    if _MASKS in names and _MASK_FOLDER in names:
        raise AnnotationError(f"masks come as {_MASK_FOLDER}/ or as {_MASKS}, got both")
    shape = cast(tuple[int, int, int], episode.rgb.shape[:3])
    scene_points: NDArray[np.float32] | None = None
    scale: Scale = "affine"
    if _POINTS in names:
        scene_points, scale = _read_points(folder / _POINTS, shape)
    robot_mask = None
    if _MASKS in names:
        robot_mask = _read_mask_tensor(folder / _MASKS, shape)
    elif _MASK_FOLDER in names:
        robot_mask = _read_mask_pictures(folder / _MASK_FOLDER, shape)
    captions = _read_captions(folder / _CAPTIONS) if _CAPTIONS in names else {}
    return Annotations(tool, scene_points, scale, robot_mask, captions.get("caption"), captions.get("scene_caption"))


def _picture_name(index: int) -> str:
    return f"{index:05d}.png"


def _names(folder: Path, valid: tuple[str, ...]) -> set[str]:
    names = set()
    for path in folder.iterdir():
        is_folder = path.name == _MASK_FOLDER
        if path.is_symlink() or path.name not in valid or not (path.is_dir() if is_folder else path.is_file()):
            shown = ", ".join(valid[:5]) + ", ..." * (len(valid) > 5)
            raise AnnotationError(f"the tool may write {shown}, no links and nothing else, got {path.name!r}")
        names.add(path.name)
    return names


def _read_points(path: Path, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], Scale]:
    points, metadata = _read_tensor(path, "points", ("F32",), (*shape, 3))
    scale = metadata.get("scale")
    if scale not in ("metric", "affine"):
        raise AnnotationError(f"{path.name}: its metadata must say scale 'metric' or 'affine', got {scale!r}")
    return points, cast(Scale, scale)


def _read_mask_tensor(path: Path, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask, _ = _read_tensor(path, "robot_mask", ("BOOL", "U8"), shape)
    if mask.dtype != np.bool_ and mask.max() > 1:
        raise AnnotationError(f"{path.name}: robot_mask must hold 0 and 1, got {mask.max()}")
    return mask.astype(np.bool_)


def _read_tensor(
    path: Path, name: str, dtypes: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[NDArray[Any], dict[str, str]]:
    """The one tensor of a file and its metadata; type and shape are checked before it is loaded."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if names != [name]:
                raise AnnotationError(f"{path.name}: must hold the tensor {name!r} alone, got {names}")
            part = file.get_slice(name)
            found = (part.get_dtype(), tuple(part.get_shape()))
            if found[0] not in dtypes or found[1] != shape:
                raise AnnotationError(
                    f"{path.name}: {name} must be {' or '.join(dtypes)} of shape {shape}, got {found[0]} {found[1]}"
                )
            return file.get_tensor(name), dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise AnnotationError(f"{path.name}: not a readable safetensors file: {error}") from error


def _read_mask_pictures(folder: Path, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    frames, height, width = shape
    expected = tuple(_picture_name(index) for index in range(frames))
    missing = [name for name in expected if name not in _names(folder, valid=expected)]
    if missing:
        raise AnnotationError(f"{folder.name}/ must hold {frames} pictures, {missing[0]} is missing")
    mask = np.empty(shape, np.bool_)
    for index, name in enumerate(expected):
        try:
            with Image.open(folder / name, formats=("PNG",)) as picture:
                if picture.mode not in ("1", "L") or picture.size != (width, height):
                    raise AnnotationError(
                        f"{folder.name}/{name}: must have one channel of {height} rows x {width} columns, got "
                        f"{picture.mode} of {picture.height} x {picture.width}"
                    )
                values = np.asarray(picture.convert("L"))
        except AnnotationError:
            raise
        except _IMAGE_DAMAGE as error:
            raise AnnotationError(f"{folder.name}/{name}: not a readable PNG: {error}") from error
        if not np.isin(values, (0, 255)).all():
            raise AnnotationError(f"{folder.name}/{name}: must hold 0 and 255, got {np.unique(values)[:5].tolist()}")
        mask[index] = values == 255
    return mask


def _read_captions(path: Path) -> dict[str, str]:
    valid = ("caption", "scene_caption")
    if path.stat().st_size > _MOST_CAPTION_BYTES:
        raise AnnotationError(f"{path.name}: may have at most {_MOST_CAPTION_BYTES} bytes, got {path.stat().st_size}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path.name}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not all(
        key in valid and isinstance(text, str) for key, text in content.items()
    ):
        raise AnnotationError(f"{path.name}: must hold texts of {' and '.join(valid)}, got {str(content)[:200]}")
    return content
