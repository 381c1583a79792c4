"""An episode as the files of a native sample, and back."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset import layout
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.storage import depth_codec, video_files
from k4d_world_model.dataset.storage.sample_meta import SampleMeta, StoredPoints, describe, to_bytes
from k4d_world_model.errors import SampleError

Contents = tuple[tuple[str, bytes], ...]
Array = NDArray[Any]

_LARGEST_HEADER = 4096  # bytes before an array in its file
_NO_MASK = (
    OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError,
)  # fmt: skip


def encode(episode: Episode) -> tuple[SampleMeta, Contents]:
    """The meta data of an episode, and the name and content of each file of its sample.

    Raises EpisodeError when metric points with a camera lie off its rays or behind it, when points range too far, are
    missing in part, or when a pose is not finite.
    """
    scene = _encode_points(episode, "scene_points", episode.scene_points)
    robot = _encode_points(episode, "robot_points", episode.robot_points)
    meta = describe(episode, None if scene is None else scene[0], None if robot is None else robot[0])
    contents = [(layout.META, to_bytes(meta)), (layout.RGB, video_files.encode_rgb(episode.rgb))]
    for part, points in (("scene_points", scene), ("robot_points", robot)):
        if points is not None:
            contents.append((str(meta.file_of(part)), points[1]))
    if episode.robot_mask is not None:
        contents.append((layout.ROBOT_MASK, _encode_mask(episode.robot_mask)))
    return meta, tuple(contents)


def decode(meta: SampleMeta, part: str, data: bytes, name: str) -> Array:
    """The array of one of ``PARTS``: pictures or points (T, H, W, 3), or mask (T, H, W).

    Raises SampleError naming the file ``name`` when it is damaged or contradicts ``meta``.
    """
    if part == "rgb":
        return video_files.decode_rgb(data, name, meta.shape)
    if part == "robot_mask":
        return _decode_mask(data, name, meta.shape)
    stored = meta.stored(part)
    assert stored is not None
    if stored.stored_as == "points":
        return video_files.decode_points(data, name, meta.shape, depth_codec.PointDecoder(stored.axes), axes=3)
    camera = meta.calibration
    assert camera is not None
    unproject = depth_codec.DepthDecoder(camera, stored.axes[0])
    return video_files.decode_points(data, name, meta.shape, unproject, axes=1)


def assemble(meta: SampleMeta, parts: Mapping[str, Array]) -> Episode:
    """The episode of decoded ``parts``, among them the pictures; what is not among them is None.

    Raises EpisodeError when they do not fit each other.
    """
    T_world_cam, T_world_base = meta.poses()
    return Episode(
        info=meta.episode,
        rgb=parts["rgb"],
        times=np.array(meta.times),
        scale=meta.scale,
        camera=meta.calibration,
        T_world_cam=T_world_cam,
        T_world_base=T_world_base,
        joints=meta.trajectory,
        scene_points=parts.get("scene_points"),
        robot_points=parts.get("robot_points"),
        robot_mask=parts.get("robot_mask"),
    )


def _encode_points(
    episode: Episode, name: str, points: NDArray[np.float32] | None
) -> tuple[StoredPoints, bytes] | None:
    if points is None:
        return None
    metric = episode.scale == "metric"
    low, high = depth_codec.extrema(name, points)
    if metric and episode.camera is not None:
        depth_codec.check_on_rays(name, points, episode.camera)
        scale = depth_codec.quantisation(f"{name} z", low[2], high[2], metric=True)
        codes = depth_codec.encode(points[..., 2], scale)  # (T, H, W)
        return StoredPoints("depth", [scale]), video_files.encode_codes(codes)
    exact = None if metric else depth_codec.eight_bit(points)
    ranges = [(f"{name} {axis}", low[k], high[k]) for k, axis in enumerate("xyz")]
    scales = [exact or depth_codec.quantisation(*extent, metric=metric) for extent in ranges]
    codes = np.stack([depth_codec.encode(points[..., k], scale) for k, scale in enumerate(scales)], axis=-1)
    return StoredPoints("points", scales), video_files.encode_codes(codes)


def _encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Eight pixels a byte, each frame by itself, row by row, compressed."""
    file = io.BytesIO()
    np.savez_compressed(file, packed=np.packbits(mask.reshape(len(mask), -1), axis=1))
    return file.getvalue()


def _decode_mask(data: bytes, name: str, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    pixels = shape[1] * shape[2]
    expected = (shape[0], -(-pixels // 8))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("packed.npy") as file:
            content = file.read(expected[0] * expected[1] + _LARGEST_HEADER)  # what would unpack to more is damaged
        packed = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except _NO_MASK as error:
        raise SampleError(f"{name}: cannot be read as a packed mask: {error}") from error
    if packed.shape != expected or packed.dtype != np.uint8:
        raise SampleError(f"{name}: must hold uint8 {expected}, got {packed.dtype} {packed.shape}")
    return np.unpackbits(packed, axis=1, count=pixels).reshape(shape).view(np.bool_)
