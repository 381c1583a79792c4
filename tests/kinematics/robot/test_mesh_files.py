"""Meshes written by independent writers come back: same surface, same side outside, same colours."""

import logging

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from k4d_kinematics.errors import MeshError
from k4d_kinematics.mesh_files import MeshPart, read_mesh_file, read_texture, sample_texture

TETRAHEDRON = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.5, 0], [0, 0, 0.7]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def triangle_set(corners):
    """Triangles (F, 3, 3) as rows in a canonical order that keeps their orientation."""
    rows = []
    for triangle in np.round(np.asarray(corners, np.float64), 5) + 0.0:
        first = min(range(3), key=lambda k: tuple(triangle[k]))
        rows.append(np.roll(triangle, -first, axis=0).ravel())
    return np.array(sorted(map(tuple, rows)))


def all_corners(parts):
    return np.concatenate([part.vertices[part.triangles] for part in parts])


def tetrahedron(**visual):
    return trimesh.Trimesh(TETRAHEDRON, FACES, process=False, **visual)


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def collada(asset="", node="", sources="", inputs="", effect="<diffuse><color>1 0.5 0 1</color></diffuse>", index=None):
    """A hand-written COLLADA file of the tetrahedron with one material."""
    index = index or " ".join(map(str, FACES.ravel()))
    positions = " ".join(map(str, TETRAHEDRON.ravel()))
    return f"""<?xml version="1.0"?>
    <COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
      <asset>{asset}</asset>
      <library_images><image id="img"><init_from>wood%20grain.png</init_from></image></library_images>
      <library_effects><effect id="e"><profile_COMMON>
        <newparam sid="surf"><surface type="2D"><init_from>img</init_from></surface></newparam>
        <newparam sid="samp"><sampler2D><source>surf</source></sampler2D></newparam>
        <technique sid="common"><phong>{effect}</phong></technique></profile_COMMON></effect></library_effects>
      <library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>
      <library_geometries><geometry id="g"><mesh>
        <source id="p"><float_array id="pa" count="12">{positions}</float_array><technique_common>
          <accessor source="#pa" count="4" stride="3"><param name="X" type="float"/><param name="Y" type="float"/>
          <param name="Z" type="float"/></accessor></technique_common></source>{sources}
        <vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
        <triangles count="4" material="ms"><input semantic="VERTEX" source="#v" offset="0"/>{inputs}<p>{index}</p>
        </triangles></mesh></geometry></library_geometries>
      <library_visual_scenes><visual_scene id="s"><node id="n">{node}<instance_geometry url="#g"><bind_material>
        <technique_common><instance_material symbol="ms" target="#m"/></technique_common></bind_material>
        </instance_geometry></node></visual_scene></library_visual_scenes>
      <scene><instance_visual_scene url="#s"/></scene></COLLADA>"""


UV_SOURCE = """<source id="t"><float_array id="ta" count="8">0.1 0.1 0.9 0.1 0.1 0.9 0.9 0.9</float_array>
  <technique_common><accessor source="#ta" count="4" stride="2"><param name="S" type="float"/>
  <param name="T" type="float"/></accessor></technique_common></source>"""
UV_INPUT = '<input semantic="TEXCOORD" source="#t" offset="0" set="0"/>'


@pytest.mark.parametrize("name", ["a.stl", "a.STL", "a.obj", "a.glb", "a.ply", "a.dae"])
def test_every_format_returns_the_surface_that_was_written(name, tmp_path):
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.4)
    sphere.apply_translation([0.1, -0.2, 0.3])
    path = write(tmp_path / name, sphere.export(file_type=name.rpartition(".")[2].lower()))
    parts = read_mesh_file(path)
    np.testing.assert_array_equal(triangle_set(all_corners(parts)), triangle_set(sphere.vertices[sphere.faces]))


def test_an_ascii_stl_is_read(tmp_path):
    path = write(tmp_path / "a.stl", tetrahedron().export(file_type="stl_ascii"))
    np.testing.assert_array_equal(triangle_set(all_corners(read_mesh_file(path))), triangle_set(TETRAHEDRON[FACES]))


def test_polygons_become_triangles(tmp_path):
    path = write(tmp_path / "a.obj", "v 0 0 0\nv 2 0 0\nv 2 3 0\nv 0 3 0\nv 1 4 0\nf 1 2 3 4\nf 4 3 5\n")
    (part,) = read_mesh_file(path)
    corners = part.vertices[part.triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert len(areas) == 3
    assert areas.sum() == pytest.approx(7.0)


def test_the_nodes_of_a_scene_are_placed_and_mirrored_ones_face_outwards(tmp_path):
    mesh = tetrahedron()
    scene = trimesh.Scene()
    T_turn = trimesh.transformations.compose_matrix(angles=[0.3, -0.4, 1.5], translate=[1, 2, 3])
    T_mirror = np.diag([-1.0, 2.0, 1.0, 1.0])
    scene.add_geometry(mesh, node_name="turned", transform=T_turn)
    scene.add_geometry(mesh, node_name="mirrored", transform=T_mirror)
    parts = read_mesh_file(write(tmp_path / "a.glb", scene.export(file_type="glb")))
    turned, mirrored = (trimesh.transform_points(TETRAHEDRON, T)[FACES] for T in (T_turn, T_mirror))
    np.testing.assert_allclose(
        triangle_set(all_corners(parts)), triangle_set(np.concatenate([turned, mirrored[:, ::-1]])), atol=2e-5
    )
    for part in parts:
        assert trimesh.Trimesh(part.vertices, part.triangles).volume > 0


@pytest.mark.parametrize(("meter", "scale"), [("1", 1.0), ("0.001", 0.001), ("0.0254", 0.0254)])
@pytest.mark.parametrize("up_axis", ["X_UP", "Y_UP", "Z_UP"])
def test_a_collada_unit_scales_and_its_up_axis_is_ignored(meter, scale, up_axis, tmp_path):
    path = write(tmp_path / "a.dae", collada(f'<unit meter="{meter}" name="u"/><up_axis>{up_axis}</up_axis>'))
    np.testing.assert_allclose(all_corners(read_mesh_file(path)), TETRAHEDRON[FACES] * scale, rtol=1e-6)


def test_collada_nodes_are_placed_before_the_unit_applies(tmp_path):
    node = "<translate>10 20 30</translate><scale>2 2 -2</scale>"
    path = write(tmp_path / "a.dae", collada('<unit meter="0.01" name="cm"/>', node))
    expected = (TETRAHEDRON * [2, 2, -2] + [10, 20, 30])[FACES[:, ::-1]] * 0.01
    np.testing.assert_allclose(all_corners(read_mesh_file(path)), expected, rtol=1e-6)


def test_a_published_y_up_file_stands_upright(robots_folder):
    """The Go1's trunk states Y_UP, yet its z is up: it is symmetric to the left and right along y."""
    corners = all_corners(read_mesh_file(robots_folder / "go1_description/meshes/trunk.dae"))
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    np.testing.assert_allclose(low[1], -high[1], atol=1e-3)
    assert abs(low[2] + high[2]) > 5e-3


def test_material_colours(tmp_path):
    (part,) = read_mesh_file(write(tmp_path / "a.dae", collada()))
    assert (part.corner_rgb == [255, 128, 0]).all() or (part.corner_rgb == [255, 127, 0]).all()
    write(tmp_path / "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    obj = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nusemtl red\nf 1 2 3\nusemtl blue\nf 2 4 3\nf 3 4 2\n"
    parts = read_mesh_file(write(tmp_path / "a.obj", obj))
    assert sorted((len(part.triangles), *part.corner_rgb[0, 0]) for part in parts) == [(1, 255, 0, 0), (2, 0, 0, 255)]


def test_meshes_without_colours_state_none(tmp_path):
    for name in ("a.stl", "a.obj", "a.glb"):
        path = write(tmp_path / name, tetrahedron().export(file_type=name[2:]))
        assert [part.corner_rgb for part in read_mesh_file(path)] == [None]


@pytest.mark.parametrize("name", ["a.obj", "a.glb"])
def test_vertex_colours_follow_their_vertices(name, tmp_path):
    colors = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [10, 20, 30, 255]], np.uint8)
    path = write(tmp_path / name, tetrahedron(vertex_colors=colors).export(file_type=name[2:]))
    (part,) = read_mesh_file(path)
    for corner, rgb in zip(part.vertices[part.triangles].reshape(-1, 3), part.corner_rgb.reshape(-1, 3), strict=True):
        nearest = np.linalg.norm(TETRAHEDRON - corner, axis=1).argmin()
        np.testing.assert_array_equal(rgb, colors[nearest, :3])


def test_collada_vertex_colours_win_over_the_material(tmp_path):
    sources = """<source id="c"><float_array id="ca" count="12">1 0 0 0 1 0 0 0 1 1 1 1</float_array><technique_common>
      <accessor source="#ca" count="4" stride="3"><param name="R" type="float"/><param name="G" type="float"/>
      <param name="B" type="float"/></accessor></technique_common></source>"""
    text = collada(sources=sources, inputs='<input semantic="COLOR" source="#c" offset="0"/>')
    (part,) = read_mesh_file(write(tmp_path / "a.dae", text))
    expected = 255 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(part.corner_rgb, expected[FACES])


def texture_image(height=6, width=8):
    """Distinct colours left to right and top to bottom."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width) * 30, np.arange(height)[:, None] * 40
    return Image.fromarray(pixels)


def textured_tetrahedron():
    uv = np.array([[0.05, 0.05], [0.95, 0.05], [0.05, 0.95], [0.95, 0.95]])
    material = trimesh.visual.material.SimpleMaterial(image=texture_image(), diffuse=[255, 255, 255, 255])
    return tetrahedron(visual=trimesh.visual.TextureVisuals(uv=uv, material=material)), uv


def assert_textured(part, uv):
    np.testing.assert_array_equal(part.texture, np.asarray(texture_image()))
    for k, corner in enumerate(part.vertices[part.triangles].reshape(-1, 3)):
        nearest = np.linalg.norm(TETRAHEDRON - corner, axis=1).argmin()
        np.testing.assert_allclose(part.corner_uv.reshape(-1, 2)[k], uv[nearest], atol=1e-4)
        left_right, bottom_top = (uv[nearest] > 0.5).tolist()
        expected = [210 * left_right, 200 * (not bottom_top), 0]
        np.testing.assert_array_equal(part.corner_rgb.reshape(-1, 3)[k], expected)


@pytest.mark.parametrize("name", ["a.obj", "a.glb"])
def test_textures_come_with_their_coordinates(name, tmp_path):
    mesh, uv = textured_tetrahedron()
    mesh.export(tmp_path / name)
    (part,) = read_mesh_file(tmp_path / name)
    assert_textured(part, uv)


def test_a_collada_texture_comes_with_its_coordinates(tmp_path):
    texture_image().save(tmp_path / "wood grain.png")
    effect = '<diffuse><texture texture="samp" texcoord="UV"/></diffuse>'
    (part,) = read_mesh_file(write(tmp_path / "a.dae", collada("", "", UV_SOURCE, UV_INPUT, effect)))
    assert_textured(part, np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]]))


def test_textures_outside_the_folder_of_the_mesh_are_found(tmp_path):
    (tmp_path / "textures").mkdir()
    (tmp_path / "meshes").mkdir()
    texture_image().save(tmp_path / "textures/t.png")
    write(tmp_path / "meshes/a.mtl", "newmtl m\nmap_Kd ../textures/t.png\n")
    obj = "mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0.1 0.1\nvt 0.9 0.1\nvt 0.1 0.9\nf 1/1 2/2 3/3\n"
    (part,) = read_mesh_file(write(tmp_path / "meshes/a.obj", obj))
    np.testing.assert_array_equal(part.texture, np.asarray(texture_image()))


@pytest.mark.parametrize("image", [None, b"not a picture"])
def test_a_missing_or_broken_texture_is_named(image, tmp_path):
    if image is not None:
        write(tmp_path / "wood grain.png", image)
    effect = '<diffuse><texture texture="samp" texcoord="UV"/></diffuse>'
    path = write(tmp_path / "a.dae", collada("", "", UV_SOURCE, UV_INPUT, effect))
    with pytest.raises(MeshError, match=r"a\.dae: its textures are missing or unreadable: .*wood grain\.png"):
        read_mesh_file(path)


def test_a_missing_material_file_is_logged(tmp_path, caplog):
    path = write(tmp_path / "a.obj", "mtllib gone.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with caplog.at_level(logging.WARNING):
        (part,) = read_mesh_file(path)
    assert part.corner_rgb is None
    assert "gone.mtl" in caplog.text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.off", b"OFF", r"a\.off must be one of \.dae, \.obj, \.stl, \.glb, \.ply"),
        ("a.stl", b"", r"a\.stl"),
        ("a.stl", b"solid x\nendsolid x\n", r"a\.stl"),
        ("a.stl", bytes(80) + (5).to_bytes(4, "little") + bytes(20), r"a\.stl"),
        ("a.stl", bytes(84), r"a\.stl"),
        (
            "a.stl",
            bytes(80) + (1).to_bytes(4, "little") + np.full(12, np.nan, "<f4").tobytes() + bytes(2),
            "NaN or inf",
        ),
        ("a.obj", b"", r"a\.obj"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "at least one triangle, got none"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", r"a\.obj"),
        ("a.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN or inf"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 x\n", r"a\.obj"),
        ("a.glb", b"", r"a\.glb"),
        ("a.glb", b"glTF" + bytes(40), r"a\.glb"),
        ("a.dae", b"", r"a\.dae"),
        ("a.dae", b"<COLLADA>", r"a\.dae"),
        ("a.dae", b"<COLLADA/>", r"a\.dae"),
        ("a.dae", b'<!DOCTYPE x [<!ENTITY a "b">]><COLLADA>&a;</COLLADA>', r"a\.dae: DTDForbidden"),
        ("a.dae", collada('<unit meter="0"/>').encode(), "must be a positive number, got 0.0"),
        ("a.dae", collada('<unit meter="nan"/>').encode(), "must be a positive number, got nan"),
        ("a.dae", collada('<unit meter="cm"/>').encode(), r"a\.dae"),
        ("a.dae", collada().replace("<source>surf<", "<source>gone<").encode(), "Missing surface gone"),
        ("a.dae", collada(index="0 1 9 0 1 3 1 2 3 2 0 3").encode(), r"a\.dae"),
    ],
)
def test_broken_files_are_named(name, data, message, tmp_path):
    with pytest.raises(MeshError, match=message):
        read_mesh_file(write(tmp_path / name, data))


def test_a_zipped_collada_file_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.dae", "w") as archive:
        archive.writestr("a.dae", collada())
    with pytest.raises(MeshError, match="plain XML, got a zip archive"):
        read_mesh_file(tmp_path / "a.dae")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(MeshError, match=r"cannot read mesh .*gone\.stl"):
        read_mesh_file(tmp_path / "gone.stl")
    with pytest.raises(MeshError, match=r"cannot read texture .*gone\.png"):
        read_texture(tmp_path / "gone.png")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(data, tmp_path_factory):
    suffix = data.draw(st.sampled_from(["stl", "obj", "glb", "dae"]))
    whole = collada() if suffix == "dae" else textured_tetrahedron()[0].export(file_type=suffix)
    whole = bytearray(whole.encode() if isinstance(whole, str) else whole)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(whole)))
        stop = min(len(whole), start + data.draw(st.integers(0, 20)))
        whole[start:stop] = data.draw(st.binary(max_size=8))
    path = write(tmp_path_factory.getbasetemp() / f"damaged.{suffix}", bytes(whole))
    try:
        parts = read_mesh_file(path)
    except MeshError:
        return
    assert all(np.isfinite(part.vertices).all() for part in parts)


@pytest.mark.parametrize(
    ("vertices", "triangles", "message"),
    [
        (TETRAHEDRON, np.empty((0, 3), np.int32), "at least one triangle, got none"),
        (np.where(TETRAHEDRON == 0, np.inf, TETRAHEDRON), FACES, "must be finite"),
        (TETRAHEDRON, FACES + 1, r"must be in 0\.\.3, got 1\.\.4"),
        (TETRAHEDRON, FACES - 1, r"must be in 0\.\.3, got -1\.\.2"),
    ],
)
def test_parts_check_themselves(vertices, triangles, message):
    with pytest.raises(MeshError, match=message):
        MeshPart(vertices, triangles.astype(np.int32), None, None, None)


def test_textures_repeat_and_count_from_the_bottom_left(tmp_path):
    texture_image().convert("RGBA").save(tmp_path / "t.png")
    texture = read_texture(tmp_path / "t.png")
    assert texture.shape == (6, 8, 3)
    uv = np.array([[0.0, 0.0], [0.9999, 0.0], [0.0, 0.9999], [1.01, 1.01], [-0.01, -0.01]], np.float32)
    expected = [[0, 200, 0], [210, 200, 0], [0, 0, 0], [0, 200, 0], [210, 0, 0]]
    np.testing.assert_array_equal(sample_texture(texture, uv), expected)
