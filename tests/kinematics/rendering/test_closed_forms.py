"""Scenes with a closed form: planes, spheres, single triangles, textures and light."""

import numpy as np
import pytest
import trimesh

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera, RegionOfInterest
from k4d_kinematics.meshes import LinkMesh
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_surface import build_surface
from k4d_kinematics.shading import AMBIENT

CAMERA = Camera.pinhole(60, 83, 70.0, 66.0, 40.2, 31.7)


def quad(x0: float, x1: float, y0: float, y1: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle at depth z that faces the camera."""
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]), np.array([[0, 2, 1], [0, 3, 2]])


def render(meshes, camera: Camera = CAMERA, T=None, **settings):
    surface = build_surface(tuple(dict.fromkeys(mesh.link_name for mesh in meshes)), meshes)
    T_cam_link = np.tile(np.eye(4) if T is None else T, (len(surface.link_names), 1, 1))
    return Renderer(surface, camera, RenderSettings(**settings)).render(T_cam_link)


def test_rectangle_covers_the_pixel_centres_inside_it(make_mesh) -> None:
    z = 1.5
    u0, u1, v0, v1 = 10.4, 20.6, 5.0, 9.0  # upper and lower edges run through pixel centres
    x = (np.array([u0, u1]) - 40.2) / 70.0 * z
    y = (np.array([v0, v1]) - 31.7) / 66.0 * z
    image = render([make_mesh("plate", *quad(*x, *y, z))])
    expected = np.zeros((60, 83), bool)
    expected[5:10, 11:21] = True
    np.testing.assert_array_equal(image.mask, expected)
    np.testing.assert_allclose(image.points_cam[image.mask, 2], z, rtol=1e-6)


def test_leaning_plane_has_its_depth_at_every_pixel(make_mesh) -> None:
    n, offset = np.array([0.5, -0.3, -1.0]), -1.4
    xy = np.array([[-9.0, -9], [9, -9], [9, 9], [-9, 9]]) * 0.2
    z = (offset - xy @ n[:2]) / n[2]
    image = render([make_mesh("plane", np.column_stack([xy, z]), np.array([[0, 2, 1], [0, 3, 2]]))])
    d = np.concatenate([CAMERA.rays(), np.ones((60, 83, 1))], axis=-1)
    expected = d * (offset / (d @ n))[..., None]
    assert image.mask.all()
    np.testing.assert_allclose(image.points_cam, expected, rtol=2e-6, atol=1e-7)


def test_sphere_has_its_depth(make_mesh) -> None:
    radius, center = 0.4, np.array([0.1, -0.05, 1.1])
    ball = trimesh.creation.icosphere(subdivisions=6, radius=radius)
    image = render([make_mesh("ball", ball.vertices, ball.faces)], T=se3.from_xyz_rpy(center, (0.3, 0.1, 0.2)))
    d = np.concatenate([CAMERA.rays(), np.ones((60, 83, 1))], axis=-1)
    a, b, c = (d * d).sum(-1), d @ center, center @ center - radius**2
    root = b * b - a * c
    assert (image.mask != (root > 0)).sum() <= 2
    with np.errstate(invalid="ignore"):
        z = (b - np.sqrt(root)) / a
    inside = image.mask & (root > 1e-3)
    np.testing.assert_allclose(image.points_cam[inside, 2], z[inside], atol=4e-4)
    assert np.median(np.abs(image.points_cam[inside, 2] - z[inside])) < 5e-5


def test_points_project_back_to_their_pixel_centres(make_mesh) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    lens = Camera(60, 83, [[60, 0, 40.2], [0, 58, 31.7], [0, 0, 1]], (-0.2, 0.03, 1e-3, 0.0), "plumb_bob")
    for camera in (CAMERA, lens):
        image = render(
            [make_mesh("ball", ball.vertices, ball.faces)], camera, se3.from_xyz_rpy((0.1, 0, 1.2), (0, 0, 0))
        )
        v, u = np.nonzero(image.mask)
        assert len(u) > 500
        pixels = camera.project(image.points_cam[image.mask])
        np.testing.assert_allclose(pixels, np.column_stack([u, v]), atol=1e-3)


def test_region_and_binning_show_the_full_image_cut_and_thinned(make_mesh) -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    mesh, T = make_mesh("ball", ball.vertices, ball.faces), se3.from_xyz_rpy((0.1, 0, 1.2), (0, 0, 0))
    roi = RegionOfInterest(x_offset=9, y_offset=12, height=40, width=63)
    cut = Camera(60, 83, CAMERA.K, binning_x=3, binning_y=2, roi=roi)
    full, part = render([mesh], T=T), render([mesh], cut, T)
    assert part.mask.shape == (20, 21)
    same = full.mask[12:52:2, 9:72:3]
    np.testing.assert_array_equal(part.mask, same)
    np.testing.assert_allclose(part.points_cam, full.points_cam[12:52:2, 9:72:3], atol=1e-5)


def test_nearer_surfaces_hide_farther_ones_and_links_are_told_apart(make_mesh) -> None:
    near, far = make_mesh("near", *quad(-0.2, 0.2, -0.2, 0.2, 1.0)), make_mesh("far", *quad(-0.6, 0.6, -0.1, 0.1, 2.0))
    for order in ([near, far], [far, near]):
        image = render(order, link_ids=True)
        names = [mesh.link_name for mesh in order]
        assert names[image.link_ids[31, 40]] == "near"
        assert names[image.link_ids[31, 56]] == "far"
        assert image.points_cam[31, 40, 2] == pytest.approx(1.0)


def test_open_surfaces_show_both_sides_and_closed_ones_their_outside(make_mesh) -> None:
    vertices, triangles = quad(-0.2, 0.2, -0.2, 0.2, 1.0)
    front, back = (render([make_mesh("plate", vertices, t)]) for t in (triangles, triangles[:, ::-1]))
    np.testing.assert_array_equal(front.mask, back.mask)
    assert front.mask.sum() > 100
    box = trimesh.creation.box(extents=(0.4, 0.4, 0.4))
    T = se3.from_xyz_rpy((0, 0, 1.0), (0.3, 0.2, 0))
    outward, inward = (render([make_mesh("box", box.vertices, f)], T=T) for f in (box.faces, box.faces[:, ::-1]))
    np.testing.assert_array_equal(outward.mask, inward.mask)
    np.testing.assert_allclose(outward.points_cam, inward.points_cam, rtol=1e-6)


def test_a_box_that_the_near_plane_cuts_shows_its_inside(make_mesh) -> None:
    box = trimesh.creation.box(extents=(2.0, 2.0, 1.0))
    image = render([make_mesh("box", box.vertices, box.faces)], T=se3.from_xyz_rpy((0, 0, 0.3), (0, 0, 0)), near=0.1)
    assert image.mask.all()
    np.testing.assert_allclose(image.points_cam[31, 40, 2], 0.8, rtol=1e-6)


def test_points_before_the_near_plane_are_cut(make_mesh) -> None:
    vertices = np.array([[-3, -3, 0.2], [3, -3, 0.2], [3, 3, 3.0], [-3, 3, 3.0]])
    image = render([make_mesh("ramp", vertices, np.array([[0, 2, 1], [0, 3, 2]]))], near=1.0)
    d = np.concatenate([CAMERA.rays(), np.ones((60, 83, 1))], axis=-1)
    n = np.cross(vertices[1] - vertices[0], vertices[2] - vertices[0])
    z = (vertices[0] @ n) / (d @ n)
    np.testing.assert_array_equal(image.mask, (z >= 1.0) & (z <= 3.0))


def textured_quad(texture: np.ndarray) -> LinkMesh:
    """A rectangle leaning away from the camera, with the texture's bottom left at its first corner."""
    vertices = np.array([[-1.0, 1.0, 1.6], [1.0, 1.0, 1.6], [1.0, -1.0, 4.0], [-1.0, -1.0, 4.0]])
    triangles, uv = np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return LinkMesh("quad", vertices, triangles, np.zeros((2, 3, 3), np.uint8), uv[triangles], texture, "test")


def test_textures_are_perspective_correct(rng: np.random.Generator) -> None:
    texture = np.zeros((8, 12, 3), np.uint8)
    texture[..., 0] = np.arange(8)[:, None] * 30
    texture[..., 1] = np.arange(12) * 20
    image = render([textured_quad(texture)], rgb=True, shading="none")
    x, _, z = image.points_cam[image.mask].T
    column, row = (x + 1.0) / 2.0 * 12 - 0.5, (z - 1.6) / 2.4
    row = (1.0 - row) * 8 - 0.5
    inner = (column > 0) & (column < 11) & (row > 0) & (row < 7)
    assert inner.sum() > 300
    rgb = image.rgb[image.mask].astype(float)
    np.testing.assert_allclose(rgb[inner, 0], row[inner] * 30, atol=0.6)
    np.testing.assert_allclose(rgb[inner, 1], column[inner] * 20, atol=0.6)
    assert (image.rgb[~image.mask] == 0).all()


def test_corner_colours_are_perspective_correct() -> None:
    plain = textured_quad(np.zeros((1, 1, 3), np.uint8))
    rgb = np.zeros((4, 3), np.uint8)
    rgb[:2, 2] = 240  # blue fades with depth
    mesh = LinkMesh("quad", plain.vertices, plain.triangles, rgb[plain.triangles], None, None, "test")
    image = render([mesh], rgb=True, shading="none")
    z = image.points_cam[image.mask, 2]
    np.testing.assert_allclose(image.rgb[image.mask, 2], 240 * (4.0 - z) / 2.4, atol=0.6)


def test_headlight_dims_faces_that_turn_away(make_mesh) -> None:
    angle = 0.7
    vertices, triangles = quad(-0.3, 0.3, -0.3, 0.3, 0.0)
    image = render(
        [make_mesh("plate", vertices, triangles, (200, 100, 50))],
        T=se3.from_xyz_rpy((0, 0, 1.5), (0, angle, 0)),
        rgb=True,
    )
    p = image.points_cam[image.mask].astype(float)
    normal = np.array([np.sin(angle), 0, np.cos(angle)])
    light = AMBIENT + (1 - AMBIENT) * np.abs(p @ normal) / np.linalg.norm(p, axis=1)
    np.testing.assert_allclose(image.rgb[image.mask], light[:, None] * [200, 100, 50], atol=0.6)


def test_seams_between_triangles_have_no_pinholes(make_mesh, rng: np.random.Generator) -> None:
    # A fine mesh whose vertices and edges run exactly through pixel centres, seen head-on.
    z, n = 2.0, 29
    u, v = np.meshgrid(np.arange(n) + 20.0, np.arange(n) + 15.0)
    points = CAMERA.unproject(np.stack([u, v], axis=-1), z).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (k.ravel() for k in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, c, b]), np.column_stack([a, d, c])])
    image = render([make_mesh("net", points, rng.permutation(triangles))])
    assert image.mask[15 : 15 + n, 20 : 20 + n].all()
    assert image.mask.sum() == n * n
