"""What our nodes rely on in cv_bridge, true of whichever one is installed."""

import array
import sys

import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import Image
from std_msgs.msg import Header

HEIGHT, WIDTH = 5, 7

DTYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
NAMED = {
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
}
ENCODINGS = NAMED | {f"{name}C{n}": (dtype, n) for name, dtype in DTYPES.items() for n in (1, 2, 3, 4)}


def random_image(rng, dtype, channels):
    """An array (5, 7) or (5, 7, C) over the whole range of its type."""
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    if np.issubdtype(dtype, np.floating):
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)


def message(image, encoding, *, padding=0, big_endian=False):
    """An Image written byte by byte."""
    rows = image.astype(image.dtype.newbyteorder(">" if big_endian else "<")).reshape(HEIGHT, -1)
    data = b"".join(row.tobytes() + b"\xa5" * padding for row in rows)
    return Image(
        height=HEIGHT,
        width=WIDTH,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(data) // HEIGHT,
        data=array.array("B", data),
    )


@pytest.fixture
def bridge():
    return CvBridge()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding_items", [0, 1, 3])
def test_images_are_read_with_and_without_padding(bridge, rng, encoding, padding_items):
    dtype, channels = ENCODINGS[encoding]
    image = random_image(rng, dtype, channels)
    padding = padding_items * image.itemsize * channels
    read = bridge.imgmsg_to_cv2(message(image, encoding, padding=padding))
    assert read.dtype == dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC3", "64FC2", "32SC4", "8UC3", "rgb8"])
@pytest.mark.parametrize("padding_items", [0, 2])
def test_big_endian_images_are_read_by_value(bridge, rng, encoding, padding_items):
    dtype, channels = ENCODINGS[encoding]
    image = random_image(rng, dtype, channels)
    padding = padding_items * image.itemsize * channels
    read = bridge.imgmsg_to_cv2(message(image, encoding, padding=padding, big_endian=True))
    np.testing.assert_array_equal(read, image)
    assert read.dtype == dtype


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_are_written_row_after_row_without_padding(bridge, rng, encoding):
    dtype, channels = ENCODINGS[encoding]
    image = random_image(rng, dtype, channels)
    header = Header(frame_id="camera")
    written = bridge.cv2_to_imgmsg(image, encoding, header=header)
    assert (written.height, written.width, written.encoding) == (HEIGHT, WIDTH, encoding)
    assert written.step == WIDTH * image.itemsize * channels
    assert written.header.frame_id == "camera"
    assert not written.is_bigendian or sys.byteorder == "big"
    assert bytes(written.data) == image.tobytes()
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(written), image)


def test_passthrough_names_the_type(bridge, rng):
    for name, dtype in DTYPES.items():
        for channels in (1, 2, 3, 4):
            written = bridge.cv2_to_imgmsg(random_image(rng, dtype, channels))
            assert written.encoding == f"{name}C{channels}"


def test_views_are_written_in_the_order_of_their_pixels(bridge, rng):
    image = rng.integers(0, 255, size=(2 * HEIGHT, 3 * WIDTH, 3), dtype=np.uint8)
    view = image[::-2, ::3, ::-1]
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(view, "bgr8")), view)


def test_a_big_endian_array_is_written_as_it_is_and_says_so(bridge, rng):
    image = random_image(rng, np.uint16, 1)
    written = bridge.cv2_to_imgmsg(image.astype(">u2"), "16UC1")
    assert written.is_bigendian
    assert bytes(written.data) == image.astype(">u2").tobytes()


@pytest.mark.parametrize("source", ["rgb8", "bgr8", "rgba8", "bgra8"])
@pytest.mark.parametrize("wanted", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colours_are_reordered_and_alpha_is_opaque(bridge, rng, source, wanted):
    image = random_image(rng, *NAMED[source])
    channels = {name: image[..., position] for position, name in enumerate(source.removesuffix("8"))}
    channels.setdefault("a", np.full((HEIGHT, WIDTH), 255, np.uint8))
    expected = np.stack([channels[name] for name in wanted.removesuffix("8")], axis=-1)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message(image, source), wanted), expected)


@pytest.mark.parametrize("source", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_grey_weighs_the_colours_as_bt601(bridge, rng, source):
    image = random_image(rng, *NAMED[source])
    channels = {name: image[..., position].astype(float) for position, name in enumerate(source.removesuffix("8"))}
    expected = 0.299 * channels["r"] + 0.587 * channels["g"] + 0.114 * channels["b"]
    grey = bridge.imgmsg_to_cv2(message(image, source), "mono8")
    assert grey.shape == (HEIGHT, WIDTH)
    assert np.abs(grey - expected).max() < 1.0  # fixed-point weights differ between OpenCV's versions


@pytest.mark.parametrize("wanted", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_grey_repeats_in_every_colour(bridge, rng, wanted):
    image = random_image(rng, np.uint8, 1)
    read = bridge.imgmsg_to_cv2(message(image, "mono8"), wanted)
    for channel in range(3):
        np.testing.assert_array_equal(read[..., channel], image)
    assert wanted.endswith("a8") == (read.shape[2] == 4)


def test_types_convert_where_the_channels_agree(bridge, rng):
    depth_mm = random_image(rng, np.uint16, 1)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message(depth_mm, "16UC1"), "32FC1"), depth_mm.astype(float))
    colours = random_image(rng, np.uint8, 3)
    np.testing.assert_array_equal(bridge.imgmsg_to_cv2(message(colours, "rgb8"), "8UC3"), colours)
    mono16 = bridge.imgmsg_to_cv2(message(random_image(rng, np.uint8, 1), "mono8"), "mono16")
    assert mono16.dtype == np.uint16
    np.testing.assert_array_equal(mono16 % 257, 0)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("32FC1", "rgb8"), ("8UC3", "bgr8"), ("rgb8", "8UC1"), ("16UC1", "16UC3"), ("rgb8", "rainbow8"), ("rgb8", "9UC3")],
)
def test_senseless_conversions_are_errors(bridge, rng, source, wanted):
    image = random_image(rng, *ENCODINGS[source])
    with pytest.raises(CvBridgeError):
        bridge.imgmsg_to_cv2(message(image, source), wanted)


def test_an_unknown_encoding_is_named(bridge, rng):
    wrong = message(random_image(rng, np.uint8, 3), "rgb8")
    wrong.encoding = "rainbow8"
    with pytest.raises(CvBridgeError, match="rainbow8"):
        bridge.imgmsg_to_cv2(wrong)


@pytest.mark.parametrize(
    ("dtype", "channels", "encoding"), [(np.uint8, 3, "mono8"), (np.float32, 3, "rgb8"), (np.uint8, 1, "rgb8")]
)
def test_an_encoding_that_does_not_fit_the_array_is_an_error(bridge, rng, dtype, channels, encoding):
    with pytest.raises(CvBridgeError, match=encoding):
        bridge.cv2_to_imgmsg(random_image(rng, dtype, channels), encoding)


def test_only_arrays_are_written(bridge):
    with pytest.raises(TypeError):
        bridge.cv2_to_imgmsg([[1, 2], [3, 4]])


def test_too_little_data_is_an_error(bridge, rng):
    short = message(random_image(rng, np.uint8, 3), "rgb8")
    short.data = short.data[:-1]
    with pytest.raises(TypeError):  # CvBridgeError is one
        bridge.imgmsg_to_cv2(short)
