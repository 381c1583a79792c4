"""Agreement of recorded pointmaps and depth, and the pictures of a recording with images."""

from pathlib import Path

import av
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from k4d_bringup.bag_agreement import depth_agreement
from k4d_bringup.bag_pictures import outlined, write_pictures
from k4d_bringup.errors import BagError

STORE = get_typestore(Stores.ROS2_KILTED)
IMAGE = "sensor_msgs/msg/Image"
HEIGHT, WIDTH = 6, 9
SECOND = 1_000_000_000


def image(stamp_ns: int, values: np.ndarray, encoding: str) -> object:
    stamp = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, SECOND))
    header = STORE.types["std_msgs/msg/Header"](stamp, "optical")
    data = np.frombuffer(values.tobytes(), np.uint8)
    return STORE.types[IMAGE](header, *values.shape[:2], encoding, 0, len(data) // len(values), data)


def write(bag: Path, messages: list[tuple[str, object]]) -> Path:
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {}
        for arrival, (topic, message) in enumerate(messages):
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, IMAGE, typestore=STORE)
            writer.write(topics[topic], arrival, STORE.serialize_cdr(message, IMAGE))
    return bag


def robot_points() -> np.ndarray:
    """A robot 1.5 m away on 4 x 5 pixels."""
    points = np.full((HEIGHT, WIDTH, 3), np.nan, np.float32)
    points[1:5, 2:7] = (0.1, 0.2, 1.5)
    return points


def scene_depth() -> np.ndarray:
    """2 m; the robot 1 mm behind its pointmap, but for 3 pixels where something hides it and 2 without a depth."""
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth[1:5, 2:7] = 1.501
    depth[1, 2:5] = 1.2
    depth[4, 2:4] = np.nan
    return depth


def millimetres(depth: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.round(depth * 1000.0)).astype(np.uint16)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_agreement_is_that_of_visible_robot_pixels(tmp_path: Path, encoding: str) -> None:
    depth = scene_depth() if encoding == "32FC1" else millimetres(scene_depth())
    far = np.full_like(depth, depth.max())
    bag = write(
        tmp_path / "bag",
        [
            ("/side/depth", image(1, depth, encoding)),
            ("/side/robot/pointmap", image(1, robot_points(), "32FC3")),
            ("/side/robot/pointmap", image(2, robot_points(), "32FC3")),
            ("/side/depth", image(3, far, encoding)),
            ("/side/depth", image(2, depth, encoding)),
        ],
    )
    found = depth_agreement(bag, STORE, "side")
    assert found is not None
    assert (found.camera, found.frames, found.pixels) == ("side", 2, 2 * (20 - 3 - 2))
    assert (found.median_mm, found.p99_mm) == (pytest.approx(1.0, abs=1e-3), pytest.approx(1.0, abs=1e-3))
    assert depth_agreement(bag, STORE, "front") is None


def test_depth_of_another_size_or_encoding_is_refused(tmp_path: Path) -> None:
    points = ("/side/robot/pointmap", image(1, robot_points(), "32FC3"))
    sizes = write(tmp_path / "sizes", [points, ("/side/depth", image(1, np.ones((4, 5), np.float32), "32FC1"))])
    with pytest.raises(BagError, match=r"one size, got \(4, 5\) and \(6, 9\)"):
        depth_agreement(sizes, STORE, "side")
    kinds = write(tmp_path / "kinds", [points, ("/side/depth", image(1, np.ones((6, 9), np.uint8), "mono8"))])
    with pytest.raises(BagError, match="32FC1, 16UC1, got 'mono8'"):
        depth_agreement(kinds, STORE, "side")


def test_an_outline_is_where_the_robot_ends() -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask = np.isfinite(robot_points()[..., 2])
    drawn = outlined(picture, mask)[..., 1] > 0
    inside = np.zeros_like(mask)
    inside[2:4, 3:6] = True
    outside = np.zeros_like(mask)
    outside[1:5, 1:8] = outside[0:6, 2:7] = True
    np.testing.assert_array_equal(drawn, outside & ~inside)
    assert not picture.any()
    with pytest.raises(BagError, match="one size"):
        outlined(picture[1:], mask)


def test_a_camera_with_images_shows_them_with_the_outline(tmp_path: Path) -> None:
    grey = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    messages = []
    for stamp_ns in (SECOND, 2 * SECOND, 3 * SECOND):
        messages += [
            ("/side/robot/pointmap", image(stamp_ns, robot_points(), "32FC3")),
            ("/side/robot/preview", image(stamp_ns, grey, "rgb8")),
        ]
        if stamp_ns > SECOND:
            messages.append(("/side/image_raw", image(stamp_ns, grey, "rgb8")))
    bag = write(tmp_path / "bag", messages)
    assert write_pictures(bag, STORE, ("side",), tmp_path / "video.mp4", tmp_path / "sheet.png") == 2
    with av.open(str(tmp_path / "video.mp4")) as container:
        (first, _) = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert first.shape == (HEIGHT, 3 * WIDTH + 1, 3)
    with pytest.raises(BagError, match="no preview and pointmap of one stamp"):
        write_pictures(bag, STORE, ("side", "front"), tmp_path / "video.mp4", tmp_path / "sheet.png")
    wrong = write(tmp_path / "wrong", [*messages, ("/side/image_raw", image(9, grey[..., 0], "mono8"))])
    with pytest.raises(BagError, match="must be in rgb8 to be shown, got 'mono8'"):
        write_pictures(wrong, STORE, ("side",), tmp_path / "video.mp4", tmp_path / "sheet.png")
