"""Camera against OpenCV, closed forms and the meaning of CameraInfo."""

import cv2
import numpy as np
import pytest

from k4d_kinematics.camera import Camera, RegionOfInterest
from k4d_kinematics.errors import CameraError

HEIGHT, WIDTH = 48, 64
K = np.array([[50.0, 0.0, 30.7], [0.0, 47.0, 25.1], [0.0, 0.0, 1.0]])
LENSES = {
    "plumb_bob 4": ("plumb_bob", (-0.28, 0.07, 1e-3, -5e-4)),
    "plumb_bob 5": ("plumb_bob", (-0.28, 0.07, 1e-3, -5e-4, 0.01)),
    "rational 8": ("rational_polynomial", (0.3, -0.1, 1e-3, 5e-4, 0.02, 0.5, -0.05, 0.03)),
    "rational 12": ("rational_polynomial", (0.3, -0.1, 1e-3, 5e-4, 0.02, 0.5, -0.05, 0.03, 1e-3, 2e-3, -1e-3, 5e-4)),
    "rational 14": ("rational_polynomial", (0.3, -0.1, 1e-3, 5e-4, 0.02, 0.5, -0.05, 0.03, 0, 0, 0, 0, 0, 0)),
    "equidistant": ("equidistant", (0.03, -0.01, 0.005, -0.002)),
}


@pytest.fixture(params=LENSES.values(), ids=LENSES.keys())
def distorted(request: pytest.FixtureRequest) -> Camera:
    model, D = request.param
    return Camera(HEIGHT, WIDTH, K, D, model, frame_id="lens")


def project_with_opencv(camera: Camera, points: np.ndarray) -> np.ndarray:
    zero, D = np.zeros(3), np.array(camera.D)
    if camera.distortion_model == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, camera.K.copy(), D)[0][:, 0]
    return cv2.projectPoints(points[:, None], zero, zero, camera.K.copy(), D)[0][:, 0]


def pixel_grid(camera: Camera) -> np.ndarray:
    u, v = np.meshgrid(np.arange(camera.image_width), np.arange(camera.image_height))
    return np.stack([u, v], axis=-1).astype(float)


def test_pinhole_pixel_centres_are_integers() -> None:
    camera = Camera.pinhole(HEIGHT, WIDTH, 50.0, 47.0, 30.0, 25.0)
    np.testing.assert_allclose(camera.project([0.0, 0.0, 2.0]), [30.0, 25.0])
    np.testing.assert_allclose(camera.project([2.0 / 50.0, 0.0, 2.0]), [31.0, 25.0])
    np.testing.assert_allclose(camera.rays()[25, 31], [1.0 / 50.0, 0.0], atol=1e-15)
    assert camera.rays().shape == (HEIGHT, WIDTH, 2)


def test_projection_matches_opencv(distorted: Camera, rng: np.random.Generator) -> None:
    points = rng.uniform(-0.5, 0.5, (200, 3)) + np.array([0.0, 0.0, 1.3])
    np.testing.assert_allclose(distorted.project(points), project_with_opencv(distorted, points), atol=1e-9)


def test_rays_match_opencv(distorted: Camera) -> None:
    pixels = pixel_grid(distorted).reshape(-1, 1, 2)
    D = np.array(distorted.D)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)
    if distorted.distortion_model == "equidistant":
        expected = cv2.fisheye.undistortPoints(pixels, K, D, criteria=criteria)
    else:
        expected = cv2.undistortPoints(pixels, K, D, criteria=criteria)
    np.testing.assert_allclose(distorted.rays().reshape(-1, 2), expected[:, 0], atol=1e-7)


def test_project_undoes_unproject(distorted: Camera, rng: np.random.Generator) -> None:
    pixels = pixel_grid(distorted)
    depth = rng.uniform(0.3, 4.0, pixels.shape[:2])
    points = distorted.unproject(pixels, depth)
    np.testing.assert_allclose(points[..., 2], depth)
    np.testing.assert_allclose(distorted.project(points), pixels, atol=1e-8)


def test_points_behind_the_camera_have_no_pixel() -> None:
    camera = Camera.pinhole(HEIGHT, WIDTH, 50.0, 47.0, 30.0, 25.0)
    assert np.isnan(camera.project([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [np.nan, 0.0, 1.0]])[:, 0]).all()


def test_folding_lens_has_no_pixel_beyond_its_turning_point() -> None:
    k1 = -0.3  # r (1 + k1 r^2) turns at r = 1 / sqrt(-3 k1), where it is 2 / 3 of r
    turn = 1.0 / np.sqrt(-3.0 * k1)
    camera = Camera(HEIGHT, WIDTH, [[20.0, 0, 32], [0, 20.0, 24], [0, 0, 1]], (k1, 0, 0, 0), "plumb_bob")
    assert np.isfinite(camera.project([0.999 * turn, 0, 1.0])).all()
    assert np.isnan(camera.project([1.001 * turn, 0, 1.0])).all()
    image_radius = np.hypot(*(pixel_grid(camera) - [32, 24]).T).T / 20.0
    has_ray = np.isfinite(camera.rays()).all(axis=-1)
    assert has_ray[image_radius < 0.999 * turn * 2 / 3].all()
    assert not has_ray[image_radius > 1.001 * turn * 2 / 3].any()
    assert has_ray.any()
    assert not has_ray.all()


def test_equidistant_lens_sees_no_ray_beyond_a_right_angle() -> None:
    camera = Camera(HEIGHT, WIDTH, [[15.0, 0, 32], [0, 15.0, 24], [0, 0, 1]], (1e-9, 0, 0, 0), "equidistant")
    angle = np.hypot(*(pixel_grid(camera) - [32, 24]).T).T / 15.0
    has_ray = np.isfinite(camera.rays()).all(axis=-1)
    np.testing.assert_array_equal(has_ray, angle < np.arctan(1e3))


def test_all_zero_coefficients_mean_no_distortion() -> None:
    for model, count in (("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4), ("", 5)):
        camera = Camera(HEIGHT, WIDTH, K, (0.0,) * count, model)
        assert not camera.is_distorted
        np.testing.assert_allclose(camera.project([0.2, 0.1, 1.0]), [0.2 * 50 + 30.7, 0.1 * 47 + 25.1])


def test_region_and_binning_follow_image_geometry() -> None:
    roi = RegionOfInterest(x_offset=8, y_offset=6, height=20, width=36)
    camera = Camera(HEIGHT, WIDTH, K, binning_x=4, binning_y=2, roi=roi)
    assert (camera.image_height, camera.image_width) == (10, 9)
    expected = [[50.0 / 4, 0, (30.7 - 8) / 4], [0, 47.0 / 2, (25.1 - 6) / 2], [0, 0, 1]]
    np.testing.assert_allclose(camera.matrix, expected)
    full = Camera(HEIGHT, WIDTH, K).project([0.1, -0.2, 1.0])
    np.testing.assert_allclose(camera.project([0.1, -0.2, 1.0]), (full - [8, 6]) / [4, 2])
    assert camera.rays().shape == (10, 9, 2)


def test_rectified_camera_sees_turned_points_where_rectification_puts_raw_pixels() -> None:
    D, R = np.array([-0.2, 0.05, 1e-3, 0.0, 0.0]), cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
    P = np.array([[44.0, 0, 33.0, -4.0], [0, 44.0, 22.0, 0], [0, 0, 1, 0]])
    camera = Camera(HEIGHT, WIDTH, K, D, "plumb_bob", R=R, P=P)
    rectified = camera.rectified()
    assert not rectified.is_distorted
    point = np.array([0.1, -0.15, 1.2])
    raw = camera.project(point).reshape(1, 1, 2)
    np.testing.assert_allclose(
        rectified.project(R @ point), cv2.undistortPoints(raw, K, D, R=R, P=P[:, :3])[0, 0], atol=1e-4
    )


@pytest.mark.parametrize("field", ["R", "P"])
def test_rectification_needs_a_calibrated_r_and_p(field: str) -> None:
    P = np.hstack([K, np.zeros((3, 1))])
    camera = Camera(HEIGHT, WIDTH, K, **({"R": np.eye(3), "P": P} | {field: 0.0 * (P if field == "P" else K)}))
    with pytest.raises(CameraError, match="calibrated P and R"):
        camera.rectified()


def test_equal_cameras_have_equal_hashes() -> None:
    a, b = (Camera(HEIGHT, WIDTH, K.copy(), (0.1, 0, 0, 0), "plumb_bob") for _ in range(2))
    other = Camera(HEIGHT, WIDTH, K + np.diag([0, 1e-6, 0]), (0.1, 0, 0, 0), "plumb_bob")
    assert a == b
    assert hash(a) == hash(b)
    assert a != other
    with pytest.raises(ValueError, match="read-only"):
        a.K[0, 0] = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"K": np.zeros((3, 3))}, "uncalibrated"),
        ({"height": 0}, "height must be a whole number from 1"),
        ({"width": -3}, "width must be"),
        ({"width": 64.5}, "width must be"),
        ({"K": [[50.0, 0, np.nan], [0, 50, 1], [0, 0, 1]]}, "finite"),
        ({"K": [[50.0, 0.1, 30], [0, 50, 1], [0, 0, 1]]}, "fx 0 cx"),
        ({"K": np.eye(4)}, "3 x 3"),
        ({"distortion_model": "thin_prism", "D": (0.1,)}, "plumb_bob, rational_polynomial, equidistant"),
        ({"distortion_model": "", "D": (0.1,)}, "must be one of"),
        ({"distortion_model": "plumb_bob", "D": (0.1, 0, 0)}, "4 or 5 coefficients"),
        ({"distortion_model": "equidistant", "D": (0.1, 0, 0, 0, 0)}, "takes 4"),
        ({"distortion_model": "rational_polynomial", "D": (0.1,) * 14}, "tilted"),
        ({"distortion_model": "plumb_bob", "D": (np.inf, 0, 0, 0)}, "D must be finite"),
        ({"R": 2.0 * np.eye(3)}, "rotation"),
        ({"P": np.full((3, 4), np.nan)}, "finite"),
        ({"binning_x": 65}, "leaves no pixel"),
        ({"binning_y": -1}, "binning_y"),
        ({"roi": RegionOfInterest(60, 0, 10, 10)}, "must lie in"),
        ({"roi": RegionOfInterest(1, 0, 0, 0)}, "all zero"),
        ({"frame_id": 7}, "frame_id"),
    ],
)
def test_wrong_cameras_are_refused(change: dict, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        Camera(**({"height": HEIGHT, "width": WIDTH, "K": K} | change))


def test_an_image_has_at_most_64_million_pixels() -> None:
    for height, width in ((30000, 30000), (8000, 8001)):
        with pytest.raises(CameraError, match=f"at most 64000000 pixels, got {height} rows x {width} columns"):
            Camera.pinhole(height, width, 50.0, 47.0, 30.0, 25.0)
    assert Camera.pinhole(8000, 8000, 50.0, 47.0, 30.0, 25.0).image_width == 8000
    binned = Camera(30000, 30000, K, binning_x=10, binning_y=15)
    assert (binned.image_height, binned.image_width) == (2000, 3000)
    part = Camera(30000, 30000, K, roi=RegionOfInterest(100, 200, 300, 400))
    assert (part.image_height, part.image_width) == (300, 400)
