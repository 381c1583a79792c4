"""What MuJoCo draws, against rays cast through its own model."""

from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from k4d_simulation import rendering
from k4d_simulation.errors import RenderingError
from k4d_simulation.generation import in_frame
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.tabletop import OBJECT

HEIGHT, WIDTH = 72, 101
DRAWN_GROUPS = np.array([0, 1, 1, 0, 0, 0], np.uint8)
FLAT = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_MESH)


@pytest.fixture(scope="module")
def renderer(scene):
    with SceneRenderer(scene, HEIGHT, WIDTH) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def halfway(motion):
    return motion.qpos[len(motion.qpos) // 2]


@pytest.fixture(scope="module")
def image(renderer, halfway):
    return renderer.render(halfway)


def cast_rays(scene, qpos):
    """Depth (H, W) and geom ids (H, W) by a ray through every pixel's centre, the middle one at ((W-1)/2, (H-1)/2)."""
    data = mujoco.MjData(scene.model)
    data.qpos[:] = qpos
    mujoco.mj_forward(scene.model, data)
    f = HEIGHT / 2 / np.tan(scene.fovy / 2)
    depth, ids = np.full((HEIGHT, WIDTH), np.nan), np.full((HEIGHT, WIDTH), -1)
    for v in range(HEIGHT):
        for u in range(WIDTH):
            ray_cam = np.array([(u - (WIDTH - 1) / 2) / f, (v - (HEIGHT - 1) / 2) / f, 1.0])
            ray = scene.T_world_cam[:3, :3] @ ray_cam
            hit = np.zeros(1, np.int32)
            length = mujoco.mj_ray(
                scene.model, data, scene.T_world_cam[:3, 3], ray / np.linalg.norm(ray), DRAWN_GROUPS, 1, -1, hit
            )
            if hit[0] >= 0:
                depth[v, u], ids[v, u] = length / np.linalg.norm(ray_cam), hit[0]
    return depth, ids


def test_depth_and_segmentation_are_those_of_rays_through_pixel_centres(scene, image, halfway):
    depth, ids = cast_rays(scene, halfway)
    same = ids == image.geom_ids
    assert same.mean() > 0.99
    flat = same & np.isin(scene.model.geom_type[ids], FLAT)
    robot = same & scene.robot_geoms[ids]
    assert flat.sum() > 3000
    assert robot.sum() > 300
    error = np.abs(image.depth - depth)
    # A ray along an edge of the robot meets one of its two sides; MuJoCo draws round things with corners.
    assert np.quantile(error[flat], 0.999) < 1e-5
    assert np.quantile(error[robot], 0.99) < 1e-5
    assert np.quantile(error[same], 0.999) < 5e-3


def test_a_pixel_of_the_table_lies_on_its_top(scene, renderer, image):
    table = image.geom_ids == scene.model.geom("table").id
    points_world = in_frame(scene.T_world_cam, renderer.points_cam(image.depth))[table]
    front = points_world[:, 2] < -1e-4
    assert (~front).sum() > 500
    assert np.abs(points_world[~front, 2]).max() < 2e-6
    assert points_world[front, 2].min(initial=0.0) > -0.041


def test_the_robot_mask_is_where_the_robot_is_seen(scene, image):
    bodies = np.append(scene.model.geom_bodyid, 0)[image.geom_ids]
    names = {scene.model.body(body).name for body in np.unique(bodies[image.robot_mask])}
    assert names
    assert all(name.startswith("robot/") for name in names)
    others = {scene.model.body(body).name for body in np.unique(bodies[~image.robot_mask])}
    assert not any(name.startswith("robot/") for name in others)


def test_the_robot_alone_is_seen_wherever_the_robot_is_and_behind_what_hides_it(scene, renderer, motion):
    hidden = 0
    for qpos in motion.qpos[::12]:
        image = renderer.render(qpos)
        points_cam, mask = renderer.render_robot(qpos)
        assert mask.mean() < 0.5
        assert not (image.robot_mask & ~mask).any()
        np.testing.assert_array_equal(points_cam[image.robot_mask, 2], image.depth[image.robot_mask])
        covered = mask & ~image.robot_mask
        assert (image.depth[covered] <= points_cam[covered, 2]).all()
        hidden += covered.sum()
        np.testing.assert_array_equal(np.isfinite(points_cam).all(axis=-1), mask)
        assert np.isnan(points_cam[~mask]).all()
    assert hidden > 0


def test_where_nothing_is_drawn_there_is_no_depth(scene, renderer, halfway):
    far = scene.model.vis.map.zfar
    try:
        scene.model.vis.map.zfar = 1.0
        image = renderer.render(halfway)
    finally:
        scene.model.vis.map.zfar = far
    empty = image.geom_ids < 0
    assert 0.05 < empty.mean() < 0.95
    np.testing.assert_array_equal(np.isnan(image.depth), empty)
    assert not image.robot_mask[empty].any()
    assert np.nanmax(image.depth) <= 1.0


def test_points_are_on_the_rays_of_the_camera(scene, renderer, image):
    points_cam = renderer.points_cam(image.depth)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = scene.camera(HEIGHT, WIDTH).project(points_cam)
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=-1), atol=1e-3)
    np.testing.assert_array_equal(points_cam[..., 2], image.depth)


@pytest.mark.parametrize("settings", [RenderingSettings(shadows=False), RenderingSettings(samples=0)])
def test_quality_changes_colours_and_nothing_else(scene, image, halfway, settings):
    with SceneRenderer(scene, HEIGHT, WIDTH, settings) as other:
        plain = other.render(halfway)
    np.testing.assert_array_equal(plain.depth, image.depth)
    np.testing.assert_array_equal(plain.geom_ids, image.geom_ids)
    assert (plain.rgb != image.rgb).any(axis=-1).mean() > 0.01


def test_the_object_has_its_colour(scene, image):
    seen = image.rgb[image.geom_ids == scene.model.geom(OBJECT).id].mean(axis=0)
    material = scene.model.geom_matid[scene.model.geom(OBJECT).id]
    texture = scene.model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
    first, size = scene.model.tex_adr[texture], 6 * scene.model.tex_width[texture] ** 2 * 3
    painted = scene.model.tex_data[first : first + size].reshape(-1, 3).mean(axis=0)
    assert np.corrcoef(seen, painted)[0, 1] > 0.95


def test_a_state_is_drawn_alike_after_other_states(renderer, image, motion, halfway):
    renderer.render(motion.qpos[0])
    again = renderer.render(halfway)
    for name in ("rgb", "depth", "geom_ids", "robot_mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(image, name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 3}, r"samples must be one of 0, 2, 4, 8, 16, got 3"),
        ({"shadow_map_px": 32}, r"shadow_map_px must be from 64 to 8192, got 32"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(RenderingError, match=message):
        RenderingSettings(**settings)


@pytest.mark.parametrize(("height", "width"), [(0, WIDTH), (HEIGHT, 4097)])
def test_sizes_out_of_range_are_refused(scene, height, width):
    with pytest.raises(RenderingError, match=rf"from 1 to 4096 px, got {height} x {width}"):
        SceneRenderer(scene, height, width)


def test_another_number_of_samples_than_asked_for_is_refused(scene, monkeypatch):
    freed = []
    context = SimpleNamespace(offSamples=8, free=lambda: freed.append(True))
    monkeypatch.setattr(rendering.mujoco, "MjrContext", lambda model, scale: context)
    with pytest.raises(RenderingError, match=r"cannot draw with 16 samples; it offers 0 and 8"):
        SceneRenderer(scene, HEIGHT, WIDTH, RenderingSettings(samples=16))
    assert freed


def test_states_of_another_model_and_closed_renderers_are_refused(scene, halfway):
    with SceneRenderer(scene, HEIGHT, WIDTH) as renderer:
        with pytest.raises(RenderingError, match=rf"qpos must be of shape \({scene.model.nq},\), got \(3,\)"):
            renderer.render(np.zeros(3))
        renderer.close()
        with pytest.raises(RenderingError, match="the renderer is closed"):
            renderer.render(halfway)
