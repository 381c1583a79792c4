"""Buffers, batches, threads and refused input of the renderer."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import CameraError, KinematicsError, RenderingError
from k4d_kinematics.rendering import Renderer, RenderSettings

ALL = RenderSettings(link_ids=True, rgb=True)


@pytest.fixture(scope="module")
def T_cam_link(ur5) -> np.ndarray:
    """Poses (T, L, 4, 4) of a moving robot; in the last it is out of sight."""
    rng = np.random.default_rng(3)
    q = np.array([0.2, -1.2, 1.4, -1.6, -1.5, 0.3]) + np.cumsum(rng.normal(0, 0.2, (7, 6)), axis=0)
    T = se3.look_at((1.0, 0.7, 0.6), (0.2, 0.0, 0.3)) @ ur5.robot.forward_kinematics(q)
    T[-1, :, 2, 3] -= 9.0
    return T


def assert_same(a, b) -> None:
    np.testing.assert_array_equal(a.points_cam, b.points_cam)
    for name in ("mask", "link_ids", "rgb", "region"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("settings", [RenderSettings(), ALL])
def test_batches_equal_single_frames(ur5, camera: Camera, T_cam_link, settings: RenderSettings) -> None:
    renderer = Renderer(ur5.surface, camera, settings)
    singles = [renderer.render(T) for T in T_cam_link]
    for workers in (1, 3):
        images = renderer.render_sequence(T_cam_link, workers=workers)
        assert images.points_cam.shape == (7, 240, 352, 3)
        for t, single in enumerate(singles):
            assert_same(images[t], single)
    assert not singles[-1].mask.any()
    assert singles[0].mask.sum() > 1000


@pytest.mark.parametrize("settings", [RenderSettings(), ALL])
def test_reused_images_equal_fresh_ones(ur5, camera: Camera, T_cam_link, settings: RenderSettings) -> None:
    renderer = Renderer(ur5.surface, camera, settings)
    image = first = renderer.render(T_cam_link[0])
    for t in (3, 6, 1, 6, 6, 0):
        image = renderer.render(T_cam_link[t], reuse=image)
        assert image.points_cam is first.points_cam
        assert_same(image, Renderer(ur5.surface, camera, settings).render(T_cam_link[t]))
    # An image from before an intermediate frame shares its arrays and stays sound.
    assert_same(renderer.render(T_cam_link[2], reuse=first), renderer.render(T_cam_link[2]))


def test_switching_outputs_on_changes_no_point(ur5, camera: Camera, T_cam_link) -> None:
    plain, full = (Renderer(ur5.surface, camera, s).render(T_cam_link[0]) for s in (RenderSettings(), ALL))
    np.testing.assert_array_equal(plain.points_cam, full.points_cam)
    assert plain.link_ids is None
    assert plain.rgb is None


def test_threads_may_share_a_renderer(ur5, camera: Camera, T_cam_link) -> None:
    renderer = Renderer(ur5.surface, camera, ALL)
    expected = [renderer.render(T) for T in T_cam_link]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for image, single in zip(pool.map(renderer.render, T_cam_link), expected, strict=True):
                assert_same(image, single)


def test_an_empty_sequence_gives_no_images(ur5, camera: Camera, T_cam_link) -> None:
    assert Renderer(ur5.surface, camera).render_sequence(T_cam_link[:0]).mask.shape == (0, 240, 352)


def test_wrong_poses_are_refused_and_leave_the_renderer_usable(ur5, camera: Camera, T_cam_link) -> None:
    renderer = Renderer(ur5.surface, camera, ALL)
    good = T_cam_link[0]
    expected = renderer.render(good)
    shown = renderer.surface.parts.link[2]
    for change, value in (((0, 3), np.nan), ((2, 3), np.inf), ((0, 0), 2.0), ((3, 0), 1.0), ((slice(3), 0), 0.0)):
        bad = copy.deepcopy(good)
        bad[(shown, *change)] = value
        with pytest.raises(RenderingError, match=f"rigid transforms.*{renderer.surface.link_names[shown]}"):
            renderer.render(bad)
        with pytest.raises(RenderingError, match="rigid"):
            renderer.render_sequence(np.stack([good, bad]), workers=2)
    mirrored = good.copy()
    mirrored[shown, :3, 0] *= -1.0
    with pytest.raises(RenderingError, match="rigid"):
        renderer.render(mirrored)
    assert_same(renderer.render(good), expected)


def test_wrong_shapes_are_refused(ur5, camera: Camera, T_cam_link) -> None:
    renderer = Renderer(ur5.surface, camera)
    with pytest.raises(RenderingError, match=r"shape \(11, 4, 4\), got \(10, 4, 4\)"):
        renderer.render(T_cam_link[0, :-1])
    with pytest.raises(RenderingError, match=r"shape \(T, 11, 4, 4\)"):
        renderer.render_sequence(T_cam_link[0])
    with pytest.raises(RenderingError, match="numbers"):
        renderer.render("poses")
    with pytest.raises(RenderingError, match="workers"):
        renderer.render_sequence(T_cam_link, workers=0)
    other = Renderer(ur5.surface, camera, ALL).render(T_cam_link[0])
    with pytest.raises(RenderingError, match="reuse"):
        renderer.render(T_cam_link[0], reuse=other)


@pytest.mark.parametrize("values", [{"near": 0.0}, {"near": np.nan}, {"near": "1"}, {"shading": "phong"}])
def test_wrong_settings_are_refused(values: dict) -> None:
    with pytest.raises(RenderingError, match="must be"):
        RenderSettings(**values)


def test_a_camera_without_any_ray_is_refused(ur5) -> None:
    blind = Camera(5, 7, [[1e-3, 0, 3e6], [0, 1e-3, 3e6], [0, 0, 1]], (-0.3, 0, 0, 0), "plumb_bob")
    with pytest.raises(CameraError, match="no pixel has a ray"):
        Renderer(ur5.surface, blind)
    assert issubclass(CameraError, KinematicsError)
