"""Videos in memory: lossless RGB as H.264, 16-bit codes as FFV1, pictures to look at. Equal input, equal bytes."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import av.video
import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import EpisodeError, SampleError

VIEWING_RATE_HZ = 24
"""What players are told; the frames' times are in the sample's meta file."""

# Containers that hold their own pictures; a playlist would name other files, which may lie anywhere.
CONTAINERS = {"format_whitelist": "mp4,matroska"}

_FFV1 = {"level": "3", "slicecrc": "1", "g": "1"}
# Without arithmetic coding a clip is 13 % larger and, where there is noise, three times faster to read.
_LOSSLESS = {"qp": "0", "preset": "veryfast", "coder": "0"}
_BITEXACT = {"fflags": "+bitexact"}


def encode_rgb(pictures: NDArray[np.uint8]) -> bytes:
    """Pictures (T, H, W, 3) as lossless H.264 in RGB (Matroska)."""
    return _encode(pictures, "libx264rgb", "rgb24", "rgb24", _LOSSLESS)


def encode_codes(codes: NDArray[np.uint16]) -> bytes:
    """Codes (T, H, W) as 16-bit grey FFV1, or (T, H, W, 3) as 16-bit RGB (Matroska)."""
    pixel_format = "gray16le" if codes.ndim == 3 else "gbrp16le"
    slices = "4" if min(codes.shape[1:3]) > 1 else "1"
    return _encode(codes, "ffv1", pixel_format, pixel_format, _FFV1 | {"slices": slices})


def encode_mp4(pictures: NDArray[np.uint8], crf: int | None) -> bytes:
    """Pictures (T, H, W, 3) as H.264 (MP4): 4:2:0 of quality ``crf`` (0 to 51, less is better), None for lossless RGB.

    Raises EpisodeError on another ``crf``, and on an odd height or width, which 4:2:0 does not have.
    """
    if crf is None:
        return _encode(pictures, "libx264rgb", "rgb24", "rgb24", _LOSSLESS, "mp4")
    if not 0 <= crf <= 51:
        raise EpisodeError(f"crf must be from 0 to 51, or None for lossless, got {crf}")
    if pictures.shape[1] % 2 or pictures.shape[2] % 2:
        raise EpisodeError(f"4:2:0 needs an even height and width, got {pictures.shape[1:3]}; crf None takes odd ones")
    return _encode(pictures, "libx264", "yuv420p", "rgb24", {"crf": str(crf), "preset": "veryfast"}, "mp4")


def decode_pictures(data: bytes, name: str) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3) of an MP4 or Matroska video of any codec.

    Raises SampleError naming ``name`` when it is damaged or empty.
    """
    try:
        with av.open(io.BytesIO(data), "r", container_options=CONTAINERS) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError, UnicodeDecodeError) as error:
        raise SampleError(f"{name}: cannot be decoded as a video: {error}") from error
    if not pictures or any(picture.shape != pictures[0].shape for picture in pictures):
        raise SampleError(f"{name}: must hold pictures of one size, got {sorted({p.shape for p in pictures})}")
    return np.stack(pictures).astype(np.uint8, copy=False)


def decode_rgb(data: bytes, name: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3) of a lossless video; ``shape`` is (T, H, W).

    Raises SampleError naming ``name`` when it is damaged or has another size or number of frames.
    """

    def unpack(frame: av.VideoFrame, out: NDArray[np.uint8]) -> None:
        out[:] = frame.to_ndarray(format="rgb24")

    return _decode(data, name, shape, "gbrp", np.uint8, unpack)


def decode_points(
    data: bytes,
    name: str,
    shape: tuple[int, int, int],
    unpack_codes: Callable[[NDArray[np.uint16], NDArray[np.float32]], None],
    *,
    axes: int,
) -> NDArray[np.float32]:
    """Points (T, H, W, 3) of a video of codes, each frame filled by ``unpack_codes(codes, points)``.

    Codes are (H, W) where ``axes`` is 1 and (H, W, 3) where it is 3. Raises SampleError naming ``name`` when the video
    is damaged or has another size, format or number of frames.
    """
    pixel_format = "gray16le" if axes == 1 else "gbrp16le"

    def unpack(frame: av.VideoFrame, out: NDArray[np.float32]) -> None:
        codes: Any = frame.to_ndarray(format=pixel_format)
        unpack_codes(codes, out)

    return _decode(data, name, shape, pixel_format, np.float32, unpack)


def _encode(
    frames: NDArray[Any],
    codec: str,
    pixel_format: str,
    array_format: str,
    options: dict[str, str],
    container_format: str = "matroska",
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container_format, options=_BITEXACT) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(VIEWING_RATE_HZ), options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixel_format
        stream.codec_context.thread_count = 2
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=array_format)))
        container.mux(stream.encode(None))
    return file.getvalue()


def _decode(
    data: bytes,
    name: str,
    shape: tuple[int, int, int],
    pixel_format: str,
    dtype: Any,
    unpack: Callable[[av.VideoFrame, NDArray[Any]], None],
) -> NDArray[Any]:
    count = 0
    try:
        with av.open(io.BytesIO(data), "r", container_options=CONTAINERS) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise SampleError(f"{name}: is of an unknown codec")
            stream.codec_context.thread_count = 1
            found = (stream.height, stream.width, stream.pix_fmt)
            if found != (*shape[1:], pixel_format):
                raise SampleError(f"{name}: expected {shape[1]} x {shape[2]} pixels of {pixel_format}, got {found}")
            arrays = np.empty((*shape, 3), dtype)
            for frame in container.decode(stream):
                if count < shape[0]:
                    unpack(frame, arrays[count])
                count += 1
    except (av.FFmpegError, IndexError, UnicodeDecodeError, MemoryError) as error:
        raise SampleError(f"{name}: cannot be decoded as a video after frame {count}: {error}") from error
    if count != shape[0]:
        raise SampleError(f"{name}: holds {count} frames, expected {shape[0]}")
    return arrays
