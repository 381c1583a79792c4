"""Rectified images against OpenCV, and against points that were projected through the lens."""

import cv2
import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.dataset.rectification import rectification
from k4d_world_model.errors import RejectedEpisodeError

HEIGHT, WIDTH = 60, 84
K = np.array([[70.0, 0.0, 40.5], [0.0, 72.0, 30.5], [0.0, 0.0, 1.0]])
NEW_K = np.array([[60.0, 0.0, 42.0], [0.0, 61.0, 29.0], [0.0, 0.0, 1.0]])
LENSES = {
    "plumb_bob": (-0.25, 0.07, 0.002, -0.001, 0.01),
    "rational_polynomial": (0.3, -0.1, 0.001, 0.002, 0.01, 0.5, -0.05, 0.005),
    "equidistant": (-0.02, 0.01, -0.003, 0.001),
}


def turned() -> np.ndarray:
    return cv2.Rodrigues(np.array([0.03, -0.05, 0.02]))[0]


def lens(model: str, *, R: np.ndarray | None = None) -> Camera:
    P = np.hstack([NEW_K, np.zeros((3, 1))])
    return Camera(HEIGHT, WIDTH, K, LENSES[model], model, np.eye(3) if R is None else R, P, frame_id="cam")


def smooth_picture() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [120 + 100 * np.sin(columns / 9.0), 120 + 100 * np.cos(rows / 7.0), (rows + columns) * 1.5]
    return np.round(np.stack(waves, axis=-1)).astype(np.uint8)


def opencv_maps(model: str, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    make = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    return make(K, np.array(LENSES[model]), R, NEW_K, (WIDTH, HEIGHT), cv2.CV_32FC1)


@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("is_turned", [False, True])
def test_pictures_are_rectified_as_opencv_does(model: str, is_turned: bool) -> None:
    R = turned() if is_turned else np.eye(3)
    maps = opencv_maps(model, R)
    found = rectification(lens(model, R=R))
    inside = (found.source_px > 0).all(-1) & (found.source_px < [WIDTH - 1, HEIGHT - 1]).all(-1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(found.source_px[inside], np.stack(maps, axis=-1)[inside], atol=2e-3)
    expected = cv2.remap(smooth_picture(), *maps, cv2.INTER_LINEAR)
    difference = np.abs(found.picture(smooth_picture()).astype(int) - expected.astype(int))[inside]
    assert difference.max() <= 2  # OpenCV interpolates in steps of 1/32 pixel
    np.testing.assert_array_equal(found.camera.matrix, NEW_K)
    assert not found.camera.is_distorted
    np.testing.assert_allclose(found.T_cam_rect[:3, :3], R.T)


def test_depth_takes_the_nearest_pixel_and_follows_the_turn() -> None:
    R = turned()
    camera = lens("plumb_bob", R=R)
    # A plane n . p = 1 in the raw optical frame, seen through the lens, has a known depth along any rectified ray.
    normal = np.array([0.1, -0.2, 0.8])
    rays = np.concatenate([camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    raw = (1.0 / (rays @ normal)).astype(np.float32)
    found = rectification(camera)
    rect_rays = np.concatenate([found.camera.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
    expected = 1.0 / (rect_rays @ (R @ normal))
    depth = found.depth(raw)
    known = np.isfinite(depth)
    assert known.mean() > 0.5
    np.testing.assert_allclose(depth[known], expected[known], rtol=0.008)  # half a pixel on a slanted plane
    unturned = np.abs(1.0 / (rect_rays @ normal) - expected)[known] / expected[known]
    assert unturned.max() > 0.02, "the turn makes no difference here"
    edge = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    edge[:, : WIDTH // 2] = 1.0
    factor = found.depth_factor[np.isfinite(found.depth(edge))]
    np.testing.assert_allclose(found.depth(edge)[np.isfinite(found.depth(edge))], factor, rtol=1e-6)


def test_depth_is_never_mixed_from_two_pixels() -> None:
    raw = np.random.default_rng(6).uniform(1.0, 9.0, (HEIGHT, WIDTH)).astype(np.float32)
    u, v = opencv_maps("plumb_bob", np.eye(3))
    is_clear = (np.abs(u % 1 - 0.5) > 0.01) & (np.abs(v % 1 - 0.5) > 0.01)  # which pixel is the nearest
    expected = cv2.remap(raw, np.rint(u), np.rint(v), cv2.INTER_NEAREST, borderValue=float("nan"))
    assert is_clear.mean() > 0.9
    np.testing.assert_array_equal(rectification(lens("plumb_bob")).depth(raw)[is_clear], expected[is_clear])


def test_pixels_that_the_lens_does_not_show_are_black_and_have_no_depth() -> None:
    P = np.hstack([NEW_K * [[0.4], [0.4], [1.0]], np.zeros((3, 1))])  # a much wider view than the lens has
    found = rectification(Camera(HEIGHT, WIDTH, K, LENSES["plumb_bob"], "plumb_bob", P=P))
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    missing = np.isnan(found.depth(np.ones((HEIGHT, WIDTH), np.float32)))
    assert missing.any()
    assert not missing.all()
    assert (found.picture(white)[0, 0] == 0).all()
    assert missing[0, 0]


def test_a_pinhole_is_left_alone() -> None:
    camera = Camera(HEIGHT, WIDTH, K, (0.0,) * 5, "plumb_bob", R=turned(), P=np.hstack([NEW_K, np.zeros((3, 1))]))
    found = rectification(camera)
    picture, depth = smooth_picture(), np.ones((HEIGHT, WIDTH), np.float32)
    assert found.picture(picture) is picture
    assert found.depth(depth) is depth
    np.testing.assert_array_equal(found.camera.matrix, K)
    np.testing.assert_array_equal(found.T_cam_rect, np.eye(4))


def test_images_that_are_rectified_already_get_their_camera() -> None:
    found = rectification(lens("plumb_bob", R=turned()), is_done=True)
    picture = smooth_picture()
    assert found.picture(picture) is picture
    np.testing.assert_array_equal(found.camera.matrix, NEW_K)
    np.testing.assert_allclose(found.T_cam_rect[:3, :3], turned().T)


def test_without_a_projection_the_raw_intrinsics_stay() -> None:
    found = rectification(Camera(HEIGHT, WIDTH, K, LENSES["plumb_bob"], "plumb_bob"))
    np.testing.assert_array_equal(found.camera.matrix, K)
    bad = Camera(HEIGHT, WIDTH, K, LENSES["plumb_bob"], "plumb_bob", P=-np.hstack([K, np.zeros((3, 1))]))
    with pytest.raises(RejectedEpisodeError, match="cannot be rectified"):
        rectification(bad)
