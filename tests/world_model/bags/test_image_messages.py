"""Every encoding against arrays that were put in by hand, or that OpenCV encoded."""

import struct
from typing import Any

import cv2
import numpy as np
import pytest

from k4d_world_model.dataset.sources.image_messages import depth_image, picture
from k4d_world_model.errors import RejectedEpisodeError, SourceError

HEIGHT, WIDTH = 4, 6


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize(
    ("encoding", "code"),
    [("rgb8", None), ("bgr8", cv2.COLOR_RGB2BGR), ("rgba8", cv2.COLOR_RGB2RGBA), ("bgra8", cv2.COLOR_RGB2BGRA)],
)
@pytest.mark.parametrize("padding", [0, 5])
def test_colour_encodings(messages: Any, rgb: np.ndarray, encoding: str, code: int | None, padding: int) -> None:
    values = rgb if code is None else cv2.cvtColor(rgb, code)
    step = WIDTH * values.shape[2] + padding
    np.testing.assert_array_equal(picture(messages.image(0, values, encoding, step=step)), rgb)


def test_grey_becomes_three_equal_channels(messages: Any, rgb: np.ndarray) -> None:
    grey = np.ascontiguousarray(rgb[..., 1])
    read = picture(messages.image(0, grey, "mono8", step=WIDTH + 3))
    np.testing.assert_array_equal(read, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 3)])
def test_compressed_pictures(messages: Any, suffix: str, tolerance: int) -> None:
    rows, columns = np.mgrid[0:40, 0:56]
    smooth = np.stack([rows * 5, columns * 3, 200 - rows * 2], axis=-1).astype(np.uint8)
    data = cv2.imencode(suffix, cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))[1]
    expected = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    read = picture(messages.compressed(0, data.tobytes(), "rgb8; jpeg compressed bgr8"))
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read.astype(int), expected.astype(int), atol=tolerance)
    assert np.abs(read.astype(int) - smooth.astype(int)).mean() < 4


def test_depth_in_metres_and_millimetres_with_gaps(messages: Any) -> None:
    metres = np.array([[0.5, 1.25, np.nan], [np.inf, -1.0, 0.0]], np.float32)
    expected = np.array([[0.5, 1.25, np.nan], [np.nan, np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(depth_image(messages.image(0, metres, "32FC1")), expected)
    swapped = messages.image(0, metres.byteswap(), "32FC1", big=True)
    np.testing.assert_array_equal(depth_image(swapped), expected)
    millimetres = np.array([[0, 1, 65535], [500, 1234, 0]], np.uint16)
    expected = np.array([[np.nan, 0.001, 65.535], [0.5, 1.234, np.nan]], np.float32)
    np.testing.assert_allclose(depth_image(messages.image(0, millimetres, "16UC1", step=9)), expected, rtol=1e-6)
    swapped = messages.image(0, millimetres.byteswap(), "16UC1", big=True)
    np.testing.assert_allclose(depth_image(swapped), expected, rtol=1e-6)


def test_compressed_depth(messages: Any) -> None:
    millimetres = np.array([[0, 700, 65535], [500, 1234, 0]], np.uint16)
    expected = np.array([[np.nan, 0.7, 65.535], [0.5, 1.234, np.nan]], np.float32)
    png = cv2.imencode(".png", millimetres)[1].tobytes()
    header = struct.pack("<iff", 0, 0.0, 0.0)
    for data, description in ((header + png, "16UC1; compressedDepth png"), (png, "16UC1; png compressed ")):
        np.testing.assert_allclose(depth_image(messages.compressed(0, data, description)), expected, rtol=1e-6)


def test_compressed_depth_in_metres_is_inverse_depth(messages: Any) -> None:
    # compressed_depth_image_transport: a = quantisation * (quantisation + 1), b = 1 - a / max, value = a / depth + b
    a, largest = 100.0 * 101.0, 10.0
    b = 1.0 - a / largest
    metres = np.array([[0.5, 1.25, 4.0], [9.9, 2.0, np.nan]])
    values = np.where(np.isfinite(metres), np.nan_to_num(a / metres + b), 0).astype(np.uint16)
    data = struct.pack("<iff", 0, a, b) + cv2.imencode(".png", values)[1].tobytes()
    read = depth_image(messages.compressed(0, data, "32FC1; compressedDepth png"))
    np.testing.assert_allclose(read, metres, rtol=1e-2)


def test_other_encodings_are_named_with_the_valid_ones(messages: Any, rgb: np.ndarray) -> None:
    with pytest.raises(RejectedEpisodeError, match=r"rgb8, bgr8, rgba8, bgra8, mono8, got 'yuv422'"):
        picture(messages.image(0, rgb, "yuv422"))
    with pytest.raises(RejectedEpisodeError, match="32FC1, 16UC1, got 'mono8'"):
        depth_image(messages.image(0, rgb, "mono8"))
    for description in ("rgb8; png", "16UC1; compressedDepth rvl", "32FC1; png compressed"):
        png = cv2.imencode(".png", np.ones((2, 3), np.uint16))[1].tobytes()
        with pytest.raises(RejectedEpisodeError, match="compresse"):
            depth_image(messages.compressed(0, png, description))


def test_compressed_pictures_of_more_than_eight_bits_are_refused(messages: Any) -> None:
    png = cv2.imencode(".png", np.full((2, 3), 40_000, np.uint16))[1].tobytes()
    with pytest.raises(RejectedEpisodeError, match="mode RGB, RGBA, L, 8 bits each, got I;16"):
        picture(messages.compressed(0, png, "mono16; png compressed"))


def test_damaged_images_are_named(messages: Any, rgb: np.ndarray) -> None:
    cut = messages.image(0, rgb, "rgb8")
    cut.data = cut.data[:-1]
    with pytest.raises(SourceError, match="got a step of 18 and 71 bytes"):
        picture(cut)
    narrow = messages.image(0, rgb, "rgb8")
    narrow.step = 17
    with pytest.raises(SourceError, match="at least 18"):
        picture(narrow)
    png = cv2.imencode(".png", rgb)[1].tobytes()
    for data in (b"", b"GIF89a", png[: len(png) // 2]):
        with pytest.raises(SourceError, match="no readable JPEG or PNG"):
            picture(messages.compressed(0, data, "png"))
    width = struct.pack(">I", 100_000)
    with pytest.raises(SourceError):
        picture(messages.compressed(0, png[:16] + width + width + png[24:], "png"))
