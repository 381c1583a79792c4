"""The stand-in's arithmetic is OpenCV's, and its errors are more telling than cv_bridge's."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from k4d_embedded.standins.cv_bridge import CvBridge, CvBridgeError

ORDERS = {"mono8": "GRAY", "rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA"}


@pytest.fixture
def bridge():
    return CvBridge()


@pytest.mark.parametrize("source", ORDERS)
@pytest.mark.parametrize("wanted", ORDERS)
def test_colours_convert_as_in_opencv(bridge, source, wanted):
    channels = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}[ORDERS[source]]
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, size=(41, 67, channels), dtype=np.uint8)
    image[0, :, :] = np.arange(67, dtype=np.uint8)[:, None]
    image = image[..., 0] if channels == 1 else image
    converted = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(image, source), wanted)
    if source == wanted:
        expected = image
    else:
        expected = cv2.cvtColor(image, getattr(cv2, f"COLOR_{ORDERS[source]}2{ORDERS[wanted]}"))
    np.testing.assert_array_equal(converted, expected)


def test_eight_and_sixteen_bits_scale_to_each_others_range(bridge):
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    wide = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(levels, "mono8"), "mono16")
    np.testing.assert_array_equal(wide, levels.astype(np.uint16) * 257)
    narrow = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(wide, "mono16"), "mono8")
    np.testing.assert_array_equal(narrow, levels)


def test_floats_are_rounded_and_saturated(bridge):
    image = np.array([[-1.0, 0.4, 0.6], [1.5, 2.5, 7e9]], np.float32)
    converted = bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(image), "16UC1")
    np.testing.assert_array_equal(converted, [[0, 0, 1], [2, 2, 65535]])


def test_an_image_without_padding_is_not_copied(bridge):
    message = bridge.cv2_to_imgmsg(np.zeros((5, 7, 3), np.float32))
    image = bridge.imgmsg_to_cv2(message)
    message.data[0] = 1
    assert image.view(np.uint8).flat[0] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 20}, ["step 20", "21 bytes", "rgb8"]),
        ({"height": 6}, ["6 * 21 = 126", "105 bytes"]),
        ({"encoding": "rgb9"}, ["rgb9", "rgb8", "mono16", "32F"]),
    ],
)
def test_malformed_images_are_named_with_what_would_be_valid(bridge, change, words):
    message = bridge.cv2_to_imgmsg(np.zeros((5, 7, 3), np.uint8), "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(CvBridgeError) as caught:
        bridge.imgmsg_to_cv2(message)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float16, np.complex64])
def test_types_that_images_cannot_have_are_refused(bridge, dtype):
    with pytest.raises(CvBridgeError, match="valid are uint8"):
        bridge.cv2_to_imgmsg(np.zeros((5, 7), dtype))


@pytest.mark.parametrize("shape", [(5,), (5, 7, 3, 1)])
def test_shapes_that_images_cannot_have_are_refused(bridge, shape):
    with pytest.raises(CvBridgeError, match=r"\(H, W\)"):
        bridge.cv2_to_imgmsg(np.zeros(shape, np.uint8))


def test_an_empty_image_passes(bridge):
    message = bridge.cv2_to_imgmsg(np.zeros((0, 7, 3), np.uint8), "rgb8")
    assert (message.height, message.step) == (0, 21)
    assert bridge.imgmsg_to_cv2(message).shape == (0, 7, 3)
    assert bridge.imgmsg_to_cv2(Image(encoding="mono8")).shape == (0, 0)
