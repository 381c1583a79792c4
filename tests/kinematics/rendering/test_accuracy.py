"""Robot pointmaps against an independent ray-caster on Panda and UR5."""

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_surface import build_surface

MASK_IOU = 0.999
DEPTH_ERROR_P99 = 5e-5
# Beside the last link: link, position and roll, pitch, yaw of the camera on it.
WRISTS = {
    "panda": ("panda_hand", (0.11, 0.0, -0.03), (0.0, -0.35, 0.2)),
    "ur5": ("wrist_3_link", (0.12, -0.12, 0.0), (-2.0, 0.0, 0.0)),
}


def check_image(image, reference) -> None:
    both, either = image.mask & reference.mask, image.mask | reference.mask
    assert reference.mask.sum() > 1000
    assert both.sum() / either.sum() >= MASK_IOU
    error = np.abs(image.points_cam[both].astype(np.float64) - reference.points[both])
    assert np.percentile(error[:, 2], 99) <= DEPTH_ERROR_P99
    assert np.percentile(np.linalg.norm(error, axis=1), 99) <= DEPTH_ERROR_P99
    assert np.isnan(image.points_cam[~image.mask]).all()
    assert (image.link_ids[~image.mask] == -1).all()
    assert (image.link_ids == reference.link_ids)[both].mean() >= MASK_IOU
    u0, v0, u1, v1 = image.region
    assert image.mask.sum() == image.mask[v0:v1, u0:u1].sum()


def pose(scene, view: str) -> np.ndarray:
    if view == "front":
        return se3.look_at((1.3, 0.9, 0.8), (0.2, 0.0, 0.4))
    if view == "5 cm":
        return scene.camera_near_link(0.05)
    link, xyz, rpy = WRISTS[scene.robot.name]
    return se3.inverse(scene.T_base_link[scene.robot.link_index(link)] @ se3.from_xyz_rpy(xyz, rpy))


@pytest.mark.parametrize("view", ["front", "5 cm", "wrist"])
def test_pointmaps_match_the_ray_caster(scene, camera: Camera, view: str) -> None:
    T_cam_base = pose(scene, view)
    near = 0.001
    image = Renderer(scene.surface, camera, RenderSettings(near=near, link_ids=True)).render(
        T_cam_base @ scene.T_base_link
    )
    reference = scene.cast(T_cam_base, camera.rays(), near)
    check_image(image, reference)
    if view == "5 cm":
        center = image.points_cam[round(camera.K[1, 2]), round(camera.K[0, 2]), 2]
        assert center == pytest.approx(0.05, abs=2e-3)


@pytest.mark.parametrize("near", [0.055, 0.07, 0.1])
def test_near_plane_cuts_links_open(scene, camera: Camera, near: float) -> None:
    T_cam_base = scene.camera_near_link(0.05)
    T_cam_link = T_cam_base @ scene.T_base_link
    corners = scene.surface.parts.corners.T.reshape(-1, 3, 3)
    points_cam = se3.transform_points(T_cam_link[scene.surface.triangle_link], corners)
    z, pixels = points_cam[..., 2], camera.project(points_cam)
    seen = ((pixels > 0) & (pixels < [camera.width, camera.height])).all(axis=-1).any(axis=-1)
    crossing = (z.min(axis=1) < near) & (z.max(axis=1) > near) & seen
    assert crossing.sum() > 20
    image = Renderer(scene.surface, camera, RenderSettings(near=near, link_ids=True)).render(T_cam_link)
    check_image(image, scene.cast(T_cam_base, camera.rays(), near))
    assert np.nanmin(image.points_cam[..., 2]) >= near * (1 - 1e-6)


def test_camera_between_the_fingers(panda, camera: Camera) -> None:
    T_hand_cam = se3.from_xyz_rpy((0.0, 0.0, 0.085), (-np.pi / 2, 0.0, 0.1))
    T_cam_base = se3.inverse(panda.T_base_link[panda.robot.link_index("panda_hand")] @ T_hand_cam)
    near = 0.012
    image = Renderer(panda.surface, camera, RenderSettings(near=near, link_ids=True)).render(
        T_cam_base @ panda.T_base_link
    )
    check_image(image, panda.cast(T_cam_base, camera.rays(), near))


LENSES = {
    "plumb_bob": ("plumb_bob", (-0.28, 0.07, 1e-3, -5e-4, 0.01), 310.0),
    "rational": ("rational_polynomial", (0.3, -0.1, 1e-3, 5e-4, 0.02, 0.5, -0.05, 0.03), 310.0),
    "equidistant": ("equidistant", (0.03, -0.01, 0.005, -0.002), 130.0),
    "folding": ("plumb_bob", (-0.3, 0.0, 0.0, 0.0), 200.0),
}


@pytest.mark.parametrize("view", ["front", "5 cm", "wrist"])
@pytest.mark.parametrize("lens", LENSES)
def test_distorted_pointmaps_match_distorted_rays(panda, lens: str, view: str) -> None:
    model, D, f = LENSES[lens]
    camera = Camera(240, 352, [[f, 0, 175.3], [0, f, 119.6], [0, 0, 1]], D, model)
    T_cam_base = pose(panda, view)
    image = Renderer(panda.surface, camera, RenderSettings(link_ids=True)).render(T_cam_base @ panda.T_base_link)
    check_image(image, panda.cast(T_cam_base, camera.rays(), 0.001))
    assert np.isfinite(camera.rays()).all() == (lens in ("plumb_bob", "rational"))


@pytest.mark.parametrize("lens", LENSES)
def test_large_triangles_bend_with_the_lens(raycaster, make_mesh, lens: str) -> None:
    model, D, f = LENSES[lens]
    camera = Camera(121, 176, [[f / 2, 0, 87.2], [0, f / 2, 59.7], [0, 0, 1]], D, model)
    # A leaning plate with a corner behind the camera, one far aside, and a smaller one before it.
    vertices = np.array([[-2, -1.5, 1.2], [30, 0.2, 2.0], [-0.3, 1.1, -0.5], [-0.4, 0.3, 0.8], [0.5, 0.1, 0.9],
                         [0.1, -0.5, 1.0]])  # fmt: skip
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    surface = build_surface(("plate",), [make_mesh("plate", vertices, triangles)])
    image = Renderer(surface, camera, RenderSettings(link_ids=True)).render(np.eye(4)[None])
    reference = raycaster(vertices[triangles], np.zeros(2, int), camera.rays(), 0.001)
    check_image(image, reference)
