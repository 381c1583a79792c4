"""What a seed decides, and that presets keep to Table V of the paper."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from k4d_kinematics import KinematicsError, read_configuration
from k4d_kinematics.configuration import from_mapping
from k4d_simulation import SceneConfig, build_scene
from k4d_simulation.errors import SceneError
from k4d_simulation.layout import draw_layout
from k4d_simulation.objects import SHAPES

EYE = np.array([1.0, 0.2, 0.8])


def _layouts(config, task, seeds):
    return [draw_layout(config, task, EYE, np.random.default_rng(seed)) for seed in seeds]


def test_equal_seeds_give_equal_models(build):
    a, b = (build("panda", "hard", "pick_place", 11) for _ in range(2))
    for name in ("body_pos", "geom_size", "geom_rgba", "mesh_vert", "tex_data", "light_pos", "cam_pos", "cam_fovy"):
        np.testing.assert_array_equal(getattr(a.model, name), getattr(b.model, name), err_msg=name)
    np.testing.assert_array_equal(a.initial_qpos, b.initial_qpos)
    assert a.layout == b.layout


def test_another_seed_changes_every_draw(build):
    a, b = (build("panda", "easy", "pick_place", seed) for seed in (11, 12))
    assert a.layout.object != b.layout.object
    assert a.layout.target != b.layout.target
    assert a.fovy != b.fovy
    assert not np.allclose(a.T_world_cam, b.T_world_cam)
    assert not np.allclose(a.initial_qpos[a.joint_addresses], b.initial_qpos[b.joint_addresses])
    for name in ("tex_data", "light_dir", "light_diffuse"):
        assert not np.array_equal(getattr(a.model, name), getattr(b.model, name)), name
    assert not np.allclose(a.model.geom("table").size, b.model.geom("table").size)


def test_the_camera_looks_at_the_workspace_as_mujoco_sees_it(build):
    scene = build("ur5", "easy", "reach", 3)
    data = mujoco.MjData(scene.model)
    mujoco.mj_kinematics(scene.model, data)
    mujoco.mj_camlight(scene.model, data)
    camera = data.camera("front")
    # MuJoCo: x right, y up, looking along -z.
    np.testing.assert_allclose(camera.xpos, scene.T_world_cam[:3, 3], atol=1e-12)
    np.testing.assert_allclose(camera.xmat.reshape(3, 3) * [1, -1, -1], scene.T_world_cam[:3, :3], atol=1e-12)
    assert scene.model.camera("front").fovy[0] == pytest.approx(np.rad2deg(scene.fovy))
    pinhole = scene.camera(120, 201)
    assert (pinhole.K[0, 2], pinhole.K[1, 2]) == (100.0, 59.5)
    assert pinhole.K[0, 0] == pinhole.K[1, 1] == pytest.approx(60.0 / np.tan(scene.fovy / 2))
    p = np.linalg.inv(scene.T_world_cam) @ [0, 0, 0.1, 1]
    assert p[2] > 0.5
    assert abs(p[0]) < 0.35 * p[2]
    assert scene.T_world_cam[0, 3] > 0.4


def test_easy_has_no_distractor(presets):
    assert all(not layout.distractors for layout in _layouts(presets["easy"], "pick_place", range(5)))


def test_medium_has_three_to_five_small_ones_close_to_the_object(presets):
    layouts = _layouts(presets["medium"], "pick_place", range(25))
    assert {len(layout.distractors) for layout in layouts} == {3, 4, 5}
    for layout in layouts:
        for thing in layout.distractors:
            assert thing.radius <= 0.05
            assert np.linalg.norm(np.subtract(thing.xy, layout.object.xy)) <= 0.2 + 1e-9


def test_hard_has_more_than_five_and_a_narrow_passage(presets):
    layouts = _layouts(presets["hard"], "push", range(25))
    assert {len(layout.distractors) for layout in layouts} == {6, 7, 8}
    for layout in layouts:
        way = np.subtract(layout.target[:2], layout.object.xy)
        normal = np.array([-way[1], way[0]]) / np.linalg.norm(way)
        left, right = (
            (np.subtract(post.xy, layout.object.xy) @ normal, post.radius) for post in layout.distractors[:2]
        )
        gap = (left[0] - left[1]) - (right[0] + right[1])
        assert 0.1 < gap < 0.13


def test_shapes_of_all_kinds_stand_apart(presets):
    layouts = _layouts(presets["hard"], "pick_place", range(15))
    assert {thing.shape for layout in layouts for thing in layout.distractors} == set(SHAPES)
    for layout in layouts:
        things = (layout.object, *layout.distractors)
        for k, a in enumerate(things):
            for b in things[:k]:
                assert np.linalg.norm(np.subtract(a.xy, b.xy)) > a.radius + b.radius


def test_no_distractor_can_be_taken_for_what_the_task_is_about(presets):
    for layout in _layouts(presets["hard"], "pick_place", range(20)):
        told = {layout.object.colour, layout.target_colour}
        assert len(told) == 2
        assert told.isdisjoint(thing.colour for thing in layout.distractors)


@pytest.mark.parametrize("task", ["pick_place", "push", "reach"])
def test_hard_hides_a_part_but_not_all(build, task):
    for seed in (1, 2, 3):
        scene = build("panda", "hard", task, seed)
        model, data = scene.model, mujoco.MjData(scene.model)
        data.qpos[:] = scene.initial_qpos
        mujoco.mj_forward(model, data)
        name = "target" if task == "reach" else "object"
        geom, eye = model.geom(name).id, scene.T_world_cam[:3, 3]
        spread = np.random.default_rng(0).normal(size=(150, 3))
        spread *= 0.9 * model.geom_size[geom][0] / np.linalg.norm(spread, axis=1, keepdims=True)
        world_only, hit, seen = np.array([0, 1, 0, 0, 0, 0], np.uint8), np.zeros(1, np.int32), 0
        for point in data.geom_xpos[geom] + spread:
            mujoco.mj_ray(model, data, eye, point - eye, world_only, 1, -1, hit)
            seen += hit[0] == geom
        assert 0 < seen < 0.95 * len(spread)


def test_objects_without_room_are_an_error(presets):
    crowded = replace(presets["hard"], distractors=(8, 8), object_gap=0.3)
    with pytest.raises(SceneError, match=r"no room for 8 distractors .* with 0.3 m around the object"):
        draw_layout(crowded, "pick_place", EYE, np.random.default_rng(0))


def test_a_robot_without_gripper_cannot_pick(robots, presets):
    with pytest.raises(SceneError, match=r"'ur5' cannot do task 'pick_place'; it can do push, reach"):
        build_scene(robots["ur5"], presets["easy"], "pick_place", 0)
    with pytest.raises(SceneError, match=r"cannot do task 'juggle'; it can do pick_place, push, reach"):
        build_scene(robots["panda"], presets["easy"], "juggle", 0)


def test_wrong_arguments_are_named(robots, presets, build):
    with pytest.raises(SceneError, match=r"seed must be at least 0, got -1"):
        build_scene(robots["panda"], presets["easy"], "reach", -1)
    with pytest.raises(SceneError, match=r"needs a home posture"):
        build_scene(replace(robots["panda"], home=None), presets["easy"], "reach", 0)
    with pytest.raises(SceneError, match=r"width must be within 1..4096 pixels, got 0"):
        build("ur5", "easy", "reach", 3).camera(10, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distractors": (0, 9)}, r"within 0..8, got \(0, 9\)"),
        ({"distractors": (3, 2)}, r"distractors must be \(smallest, largest\), got \(3, 2\)"),
        ({"distractors": (1, 4), "gates": 1}, r"need 2 distractors, got as few as 1"),
        ({"distractors": (0, 0), "distractor_radius": (0.0, 0.1)}, r"distractor_radius must be above 0"),
        ({"distractors": (0, 0), "object_gap": -0.1}, r"object_gap must be at least 0, got -0.1"),
    ],
)
def test_contradictory_ranges_are_refused(values, message):
    with pytest.raises(SceneError, match=message):
        SceneConfig(name="wrong", **values)


def test_unknown_keys_are_refused(tmp_path):
    path = tmp_path / "scene.yaml"
    path.write_text("name: x\ndistractors: [0, 0]\ndistractor_radii: [0.01, 0.02]\n")
    with pytest.raises(KinematicsError, match=r"did you mean 'distractor_radius'"):
        read_configuration(path, SceneConfig)
    assert from_mapping({"name": "x", "distractors": [0, 1]}, SceneConfig).distractors == (0, 1)
