import logging

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from k4d_kinematics.errors import MeshError
from k4d_kinematics.meshes import DEFAULT_RGB, LinkMesh, load_link_meshes
from k4d_kinematics.robot import Robot

BOX = trimesh.creation.box(extents=(0.2, 0.4, 0.6)).apply_translation((0.1, 0.2, 0.3))


def urdf(shape, *, kind="visual", origin="", material=""):
    return (
        f'<robot name="r"><link name="a"/><link name="b"><{kind}>{origin}<geometry>{shape}</geometry>{material}'
        f'</{kind}></link><joint name="j" type="fixed"><parent link="a"/><child link="b"/><origin xyz="9 9 9"/></joint>'
        "</robot>"
    )


def load(folder, shape, *, kind="visual", **parts):
    return load_link_meshes(Robot.from_urdf(urdf(shape, kind=kind, **parts), base_folder=folder), kind)


@pytest.fixture
def folder(tmp_path):
    for suffix in ("stl", "obj", "glb", "dae"):
        BOX.export(tmp_path / f"box.{suffix}")
    return tmp_path


@pytest.mark.parametrize("suffix", ["stl", "obj", "glb", "dae"])
@pytest.mark.parametrize("kind", ["visual", "collision"])
def test_scale_then_origin_place_a_mesh_in_its_link(folder, suffix, kind):
    origin = '<origin xyz="1 -2 3" rpy="0.3 -0.7 1.9"/>'
    (mesh,) = load(folder, f'<mesh filename="box.{suffix}" scale="2 3 0.5"/>', kind=kind, origin=origin)
    R = Rotation.from_euler("xyz", [0.3, -0.7, 1.9])
    expected = R.apply(BOX.vertices * [2, 3, 0.5]) + np.array([1, -2, 3])
    assert mesh.link_name == "b"
    assert mesh.source == str(folder / f"box.{suffix}")
    distance = np.linalg.norm(mesh.vertices[:, None] - expected[None], axis=-1)
    assert distance.min(axis=1).max() < 1e-6
    assert distance.min(axis=0).max() < 1e-6
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles)
    assert solid.volume == pytest.approx(BOX.volume * 3, rel=1e-5)


@pytest.mark.parametrize("scale", ["-1 1 1", "1 -2 1", "-1 -1 1", "-1 -1 -1"])
def test_a_mirrored_mesh_still_faces_outwards(folder, scale):
    (mesh,) = load(folder, f'<mesh filename="box.stl" scale="{scale}"/>')
    factor = abs(np.prod([float(word) for word in scale.split()]))
    assert trimesh.Trimesh(mesh.vertices, mesh.triangles).volume == pytest.approx(BOX.volume * factor, rel=1e-5)
    np.testing.assert_allclose(
        np.sort(mesh.vertices.mean(axis=0)), np.sort([0.1, 0.2, 0.3] * np.array(list(map(float, scale.split()))))
    )


def test_mirroring_keeps_colours_at_their_corners(tmp_path):
    colors = np.arange(24, dtype=np.uint8).reshape(8, 3) * 10
    colored = trimesh.Trimesh(BOX.vertices, BOX.faces, vertex_colors=colors, process=False)
    colored.export(tmp_path / "c.glb")
    (mesh,) = load(tmp_path, '<mesh filename="c.glb" scale="1 1 -1"/>')
    corners = mesh.vertices[mesh.triangles].reshape(-1, 3) * [1, 1, -1]
    nearest = np.linalg.norm(corners[:, None] - BOX.vertices[None], axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(mesh.corner_rgb.reshape(-1, 3), colors[nearest])


def test_mirroring_keeps_texture_coordinates_at_their_corners(tmp_path):
    Image.new("RGB", (2, 3)).save(tmp_path / "t.png")
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd t.png\n")
    (tmp_path / "a.obj").write_text(
        "mtllib a.mtl\nusemtl m\nv 0 0 1\nv 1 0 1\nv 0 1 1\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
    )
    (mesh,) = load(tmp_path, '<mesh filename="a.obj" scale="1 1 -1"/>')
    corners = mesh.vertices[mesh.triangles][0]
    np.testing.assert_allclose(mesh.corner_uv[0], corners[:, :2])
    assert np.cross(corners[1] - corners[0], corners[2] - corners[0])[2] < 0


def test_the_urdf_material_colours_a_mesh_without_colours(folder):
    material = '<material name="m"><color rgba="0.2 0.4 1 0.5"/></material>'
    for suffix in ("stl", "obj", "glb"):
        (mesh,) = load(folder, f'<mesh filename="box.{suffix}"/>', material=material)
        assert (mesh.corner_rgb == [51, 102, 255]).all()
    (mesh,) = load(folder, '<sphere radius="0.1"/>', material=material)
    assert (mesh.corner_rgb == [51, 102, 255]).all()


def test_the_colours_of_a_mesh_file_win_over_the_urdf_material(tmp_path):
    (tmp_path / "a.mtl").write_text("newmtl red\nKd 1 0 0\n")
    (tmp_path / "a.obj").write_text("mtllib a.mtl\nusemtl red\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    material = '<material name="m"><color rgba="0 0 1 1"/></material>'
    (mesh,) = load(tmp_path, '<mesh filename="a.obj"/>', material=material)
    assert (mesh.corner_rgb == [255, 0, 0]).all()


def test_without_any_material_the_default_colour_is_used(folder):
    for kind in ("visual", "collision"):
        (mesh,) = load(folder, '<mesh filename="box.stl"/>', kind=kind)
        assert (mesh.corner_rgb == DEFAULT_RGB).all()


def test_a_urdf_texture_uses_the_coordinates_of_the_mesh(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 3:] = [0, 200, 0]
    Image.fromarray(pixels).save(tmp_path / "t.png")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0.1 0.1\nvt 0.9 0.1\nvt 0.1 0.9\nf 1/1 2/2 3/3\n")
    material = '<material name="m"><color rgba="1 0 0 1"/><texture filename="t.png"/></material>'
    (mesh,) = load(tmp_path, '<mesh filename="a.obj"/>', material=material)
    np.testing.assert_array_equal(mesh.texture, pixels)
    np.testing.assert_allclose(mesh.corner_uv[0], [[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    np.testing.assert_array_equal(mesh.corner_rgb[0], [[0, 0, 0], [0, 200, 0], [0, 0, 0]])


def test_a_urdf_texture_on_a_shape_without_coordinates_is_logged(tmp_path, caplog):
    Image.new("RGB", (2, 3)).save(tmp_path / "t.png")
    material = '<material name="m"><color rgba="1 0 0 1"/><texture filename="t.png"/></material>'
    with caplog.at_level(logging.WARNING):
        (mesh,) = load(tmp_path, '<box size="1 1 1"/>', material=material)
    assert mesh.texture is None
    assert (mesh.corner_rgb == [255, 0, 0]).all()
    assert "t.png not shown" in caplog.text


@pytest.mark.parametrize(
    ("shape", "volume", "extents"),
    [
        ('<box size="0.2 0.3 0.5"/>', 0.03, (0.2, 0.3, 0.5)),
        ('<cylinder radius="0.1" length="0.7"/>', np.pi * 0.01 * 0.7, (0.2, 0.2, 0.7)),
        ('<sphere radius="0.1"/>', 4 / 3 * np.pi * 1e-3, (0.2, 0.2, 0.2)),
        ('<capsule radius="0.1" length="0.5"/>', 4 / 3 * np.pi * 1e-3 + np.pi * 0.01 * 0.5, (0.2, 0.2, 0.7)),
    ],
)
def test_primitives_are_closed_and_face_outwards(tmp_path, shape, volume, extents):
    (mesh,) = load(tmp_path, shape, origin='<origin xyz="0.1 0.2 0.3"/>')
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume == pytest.approx(volume, rel=2e-3)
    assert (solid.area_faces > 0).all()
    np.testing.assert_allclose(solid.extents, extents, rtol=1e-6)
    np.testing.assert_allclose(solid.bounds.mean(axis=0), [0.1, 0.2, 0.3], atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "distance_to_surface"),
    [
        ('<cylinder radius="0.1" length="0.7"/>', lambda p: 0.1 - np.hypot(p[:, 0], p[:, 1])),
        ('<sphere radius="0.1"/>', lambda p: 0.1 - np.linalg.norm(p, axis=1)),
        (
            '<capsule radius="0.1" length="0.5"/>',
            lambda p: 0.1 - np.linalg.norm(p - np.clip(p, -0.25, 0.25) * [0, 0, 1], axis=1),
        ),
    ],
)
def test_round_primitives_lie_at_most_a_twentieth_of_a_millimetre_inside(tmp_path, shape, distance_to_surface):
    (mesh,) = load(tmp_path, shape)
    corners = mesh.vertices[mesh.triangles]
    side = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]) < 1e-9
    corners = corners[side] if "cylinder" in shape else corners
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], (len(corners), 20))
    inside = distance_to_surface((weights @ corners).reshape(-1, 3))
    assert inside.min() > -1e-9
    assert inside.max() <= 5e-5


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<mesh filename="none.stl"/>', r"link 'b': 'none.stl' names no existing file, searched: .*none\.stl"),
        ('<mesh filename="package://no_such_package/a.stl"/>', "link 'b': .*no folder of that package was found"),
        ('<mesh filename="http://host/a.stl"/>', "link 'b': .*valid are package://"),
        ('<mesh filename="empty.stl"/>', r"link 'b': .*empty\.stl"),
        ('<mesh filename="box.step"/>', r"link 'b': .*box\.step must be one of \.dae"),
    ],
)
def test_a_mesh_that_cannot_be_loaded_is_named_with_its_link(folder, shape, message):
    (folder / "empty.stl").write_bytes(b"")
    (folder / "box.step").write_bytes(b"")
    with pytest.raises(MeshError, match=message):
        load(folder, shape)


def test_a_missing_urdf_texture_is_named(folder):
    material = '<material name="m"><texture filename="none.png"/></material>'
    with pytest.raises(MeshError, match=r"link 'b': 'none.png' names no existing file"):
        load(folder, '<mesh filename="box.stl"/>', material=material)


def test_an_unknown_kind_is_named(folder):
    with pytest.raises(MeshError, match="must be 'visual' or 'collision', got 'visuals'"):
        load_link_meshes(Robot.from_urdf(urdf('<box size="1 1 1"/>')), "visuals")


def test_link_meshes_check_themselves():
    good = {
        "vertices": np.zeros((4, 3)),
        "triangles": np.zeros((5, 3), np.int32),
        "corner_rgb": np.zeros((5, 3, 3), np.uint8),
        "corner_uv": None,
        "texture": None,
    }
    LinkMesh(link_name="a", source="s", **good)
    for name, value in [
        ("vertices", np.zeros((4, 2))),
        ("triangles", np.zeros((5, 3), np.int64)),
        ("corner_rgb", np.zeros((4, 3, 3), np.uint8)),
        ("corner_uv", np.zeros((5, 3, 2))),
        ("texture", np.zeros((2, 2, 3), np.uint8)),
    ]:
        with pytest.raises(MeshError, match=f"{name}|texture and corner_uv"):
            LinkMesh(link_name="a", source="s", **(good | {name: value}))


@pytest.mark.parametrize(
    ("file", "triangles"),
    [("panda_description/urdf/panda.urdf", 134_924), ("ur_description/urdf/ur5_robot.urdf", 95_694)],
)
def test_visual_meshes_line_up_with_collision_meshes(file, triangles, robots_folder):
    robot = Robot.from_file(robots_folder / file)
    visuals, collisions = load_link_meshes(robot), load_link_meshes(robot, "collision")
    assert sum(len(mesh.triangles) for mesh in visuals) == triangles
    for name in {mesh.link_name for mesh in visuals}:
        bounds = [
            (
                np.min([m.vertices.min(axis=0) for m in meshes], axis=0),
                np.max([m.vertices.max(axis=0) for m in meshes], axis=0),
            )
            for meshes in ([m for m in group if m.link_name == name] for group in (visuals, collisions))
        ]
        np.testing.assert_allclose(bounds[0], bounds[1], atol=7e-3)


def test_every_material_of_the_panda_comes_through(robots_folder):
    visuals = load_link_meshes(Robot.from_file(robots_folder / "panda_description/urdf/panda.urdf"))
    colors = {tuple(map(int, mesh.corner_rgb[0, 0])) for mesh in visuals}
    assert {(255, 255, 255), (64, 64, 64), (10, 138, 199)} <= colors
