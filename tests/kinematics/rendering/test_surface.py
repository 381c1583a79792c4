"""Surfaces: closed pieces, their cache, and levels of detail."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import trimesh

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.decimation import Detail, decimate, measure_detail
from k4d_kinematics.errors import KinematicsError, MeshError, SurfaceError
from k4d_kinematics.meshes import LinkMesh
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_surface import RobotSurface, build_surface
from k4d_kinematics.surface import prepare_surface

URDF = """<robot name="two">
  <link name="base"><visual><geometry><mesh filename="part.obj"/></geometry></visual>
    <collision><geometry><box size="0.2 0.1 0.1"/></geometry></collision></link>
  <link name="tip"><visual><geometry><capsule radius="0.05" length="0.2"/></geometry></visual></link>
  <joint name="turn" type="continuous"><parent link="base"/><child link="tip"/>
    <origin xyz="0.2 0 0.1"/><axis xyz="0 1 0"/></joint>
</robot>"""


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.1)
    (tmp_path / "part.obj").write_text("mtllib part.mtl\nusemtl skin\n" + trimesh.exchange.obj.export_obj(ball))
    (tmp_path / "part.mtl").write_text("newmtl skin\nKd 0.2 0.4 0.6\n")
    return Robot.from_urdf(URDF, base_folder=tmp_path)


def assert_equal(a: RobotSurface, b: RobotSurface) -> None:
    assert a.link_names == b.link_names
    assert a.detail == b.detail
    for x, y in zip((*a.parts, *a.colors), (*b.parts, *b.colors), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def closed_share(surface: RobotSurface) -> float:
    counts = np.diff(surface.parts.start)
    return counts[surface.parts.closed].sum() / counts.sum()


def test_closed_pieces_are_told_from_open_ones(make_mesh) -> None:
    box, ball = trimesh.creation.box(extents=(1, 1, 1)), trimesh.creation.icosphere(subdivisions=2)
    assert closed_share(build_surface(["a"], [make_mesh("a", box.vertices, box.faces)])) == 1.0
    assert closed_share(build_surface(["a"], [make_mesh("a", box.vertices, box.faces[1:])])) == 0.0
    both = [make_mesh("a", box.vertices, box.faces[1:]), make_mesh("a", ball.vertices + 5.0, ball.faces)]
    assert closed_share(build_surface(["a"], both)) == pytest.approx(len(ball.faces) / (len(ball.faces) + 11))


def test_a_wrongly_turned_face_opens_a_piece(make_mesh) -> None:
    box = trimesh.creation.box(extents=(1, 1, 1))
    faces = np.array(box.faces)
    faces[4] = faces[4, ::-1]
    assert closed_share(build_surface(["a"], [make_mesh("a", box.vertices, faces)])) == 0.0


def test_a_hole_too_small_to_see_does_not_open_a_piece(make_mesh) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.002)  # edges of 0.3 mm
    assert closed_share(build_surface(["a"], [make_mesh("a", ball.vertices, ball.faces[1:])])) == 1.0
    assert closed_share(build_surface(["a"], [make_mesh("a", 10 * ball.vertices, ball.faces[1:])])) == 0.0


def test_pieces_turned_inside_out_are_turned_back(make_mesh) -> None:
    box = trimesh.creation.box(extents=(1, 2, 3))
    surface = build_surface(["a"], [make_mesh("a", box.vertices, box.faces[:, ::-1])])
    corners = surface.parts.corners.T.reshape(-1, 3, 3).astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * corners.mean(axis=1)).sum(axis=1) > 0).all()
    assert surface.parts.closed.all()


def test_triangles_of_no_area_are_left_out(make_mesh) -> None:
    box = trimesh.creation.box(extents=(1, 1, 1))
    faces = np.concatenate([box.faces, [[0, 0, 1], [2, 3, 2]]])
    assert build_surface(["a"], [make_mesh("a", box.vertices, faces)]).triangle_count == 12


def test_most_of_panda_and_all_of_ur5_is_closed(panda, ur5) -> None:
    assert 0.5 < closed_share(panda.surface) < 0.6
    assert closed_share(ur5.surface) == 1.0
    assert panda.surface.triangle_count == 134_912


def test_empty_and_foreign_meshes_are_refused(make_mesh) -> None:
    box = trimesh.creation.box(extents=(1, 1, 1))
    with pytest.raises(SurfaceError, match="no triangle"):
        build_surface(["a", "b"], [])
    with pytest.raises(SurfaceError, match="unknown links c; valid are a, b"):
        build_surface(["a", "b"], [make_mesh("c", box.vertices, box.faces)])
    with pytest.raises(SurfaceError, match="finite"):
        build_surface(["a"], [make_mesh("a", np.array([[0, 0, 1e39], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))])
    with pytest.raises(SurfaceError, match="no triangle"):
        prepare_surface(Robot.from_urdf('<robot name="bare"><link name="base"/></robot>'))


def test_surfaces_cannot_be_changed(make_mesh) -> None:
    box = trimesh.creation.box(extents=(1, 1, 1))
    surface = build_surface(["a"], [make_mesh("a", box.vertices, box.faces)])
    with pytest.raises(ValueError, match="read-only"):
        surface.parts.corners[0, 0] = 1.0


def test_cached_surfaces_equal_built_ones(robot: Robot, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "deep" / "cache"
    built = prepare_surface(robot)
    for _ in range(2):
        assert_equal(prepare_surface(robot, cache_dir=cache), built)
    assert len(list(cache.iterdir())) == 1
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_cached_surface_is_read_not_built(robot: Robot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = prepare_surface(robot, cache_dir=tmp_path / "cache")
    monkeypatch.setattr("k4d_kinematics.surface.load_link_meshes", None)
    assert_equal(prepare_surface(robot, cache_dir=tmp_path / "cache"), built)


def test_the_cache_notices_every_change(robot: Robot, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare_surface(robot, cache_dir=cache)

    def files_after(changed: Robot, **options) -> int:
        prepare_surface(changed, cache_dir=cache, **options)
        return len(list(cache.iterdir()))

    assert files_after(robot, kind="collision") == 2
    moved = URDF.replace('filename="part.obj"/></geometry>', 'filename="part.obj"/></geometry><origin xyz="0 0 1"/>')
    scaled = URDF.replace('filename="part.obj"', 'filename="part.obj" scale="1 1 2"')
    assert files_after(Robot.from_urdf(moved, base_folder=tmp_path)) == 3
    assert files_after(Robot.from_urdf(scaled, base_folder=tmp_path)) == 4
    (tmp_path / "part.mtl").write_text("newmtl skin\nKd 0.9 0.4 0.6\n")
    assert files_after(robot) == 5
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    (tmp_path / "part.obj").write_text(trimesh.exchange.obj.export_obj(ball))
    assert files_after(robot) == 6
    assert files_after(robot, detail=Detail(triangle_fraction=0.5)) == 7


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def swap_an_array(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["corners"] = arrays["corners"] + np.float32(0.01)
    np.savez(path, **arrays)


def drop_an_array(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    del arrays["closed"]
    np.savez(path, **arrays)


def forbidden(*_: object) -> None:
    raise AssertionError("a cache file ran code")


class Bomb:
    def __reduce__(self) -> tuple:
        return forbidden, ()


def pickled(path: Path) -> None:
    np.savez(path, checksum=np.array([Bomb()], object))


DAMAGES = {
    "truncated": truncate,
    "flipped": flip_a_byte,
    "swapped": swap_an_array,
    "dropped": drop_an_array,
    "pickled": pickled,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a surface"),
    "bare pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "foreign": lambda path: np.savez(path, a=np.zeros(3)),
    "array": lambda path: np.save(path.open("wb"), np.zeros(3)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_files_are_rebuilt(
    robot: Robot, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = tmp_path / "cache"
    built = prepare_surface(robot, cache_dir=cache)
    (path,) = cache.iterdir()
    DAMAGES[damage](path)
    assert_equal(prepare_surface(robot, cache_dir=cache), built)
    assert any("not sound and will be rebuilt" in record.message for record in caplog.records)
    caplog.clear()
    assert_equal(prepare_surface(robot, cache_dir=cache), built)
    assert not caplog.records
    assert list(cache.iterdir()) == [path]


def test_concurrent_writers_leave_one_sound_file(robot: Robot, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    built = prepare_surface(robot)
    with ThreadPoolExecutor(4) as pool:
        for surface in pool.map(lambda _: prepare_surface(robot, cache_dir=cache), range(8)):
            assert_equal(surface, built)
    assert len(list(cache.iterdir())) == 1


def test_missing_meshes_are_named(robot: Robot, tmp_path: Path) -> None:
    (tmp_path / "part.obj").unlink()
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(MeshError, match=r"part\.obj"):
            prepare_surface(robot, cache_dir=cache)


def test_reported_detail_is_the_measured_one(robot: Robot, tmp_path: Path) -> None:
    full = prepare_surface(robot)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        reduced = prepare_surface(robot, detail=Detail(triangle_fraction=0.3), cache_dir=cache)
        assert reduced.triangle_count < 0.35 * full.triangle_count
        assert reduced.detail is not None
        assert reduced.detail == measure_detail(full, reduced, robot.forward_kinematics(np.zeros(1)))
        assert (reduced.detail.triangles, reduced.detail.full_triangles) == (
            reduced.triangle_count,
            full.triangle_count,
        )
        assert 0 < reduced.detail.depth_error_p50 < reduced.detail.depth_error_p99 < 5e-3
        assert 0.98 < reduced.detail.mask_iou < 1.0
    assert reduced.parts.closed.all()
    np.testing.assert_array_equal(
        np.unique(reduced.colors.corner_rgb.reshape(-1, 3), axis=0),
        np.unique(full.colors.corner_rgb.reshape(-1, 3), axis=0),
    )


def test_a_wanted_error_is_kept_with_few_triangles(robot: Robot) -> None:
    wanted = 4e-4
    reduced = prepare_surface(robot, detail=Detail(depth_error_p99=wanted))
    assert reduced.detail is not None
    assert reduced.detail.depth_error_p99 <= wanted
    assert reduced.triangle_count < 0.7 * reduced.detail.full_triangles


def test_measured_errors_are_those_of_a_known_shift(robot: Robot) -> None:
    full = prepare_surface(robot)
    grown = RobotSurface(
        full.link_names, full.parts._replace(corners=full.parts.corners * np.float32(1.01)), full.colors
    )
    report = measure_detail(full, grown, robot.forward_kinematics(np.zeros(1)))
    assert 1e-4 < report.depth_error_p50 < 2e-3
    assert report.mask_iou < 0.995
    same = measure_detail(full, full, robot.forward_kinematics(np.zeros(1)))
    assert (same.depth_error_p99, same.mask_iou) == (0.0, 1.0)


def test_reduced_textured_surfaces_keep_their_texture() -> None:
    n = 40
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, n), np.linspace(-0.5, 0.5, n))
    vertices = np.column_stack([x.ravel(), y.ravel(), 0.05 * np.cos(3 * x.ravel())])
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (k.ravel() for k in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, c, b]), np.column_stack([a, d, c])]).astype(np.int32)
    uv = (vertices[:, :2] + 0.5).astype(np.float32)[triangles]
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[..., 0], texture[..., 1] = np.arange(16) * 15, np.arange(16)[:, None] * 15
    full = build_surface(
        ["a"], [LinkMesh("a", vertices, triangles, np.zeros((len(triangles), 3, 3), np.uint8), uv, texture, "t")]
    )
    reduced = decimate(full, Detail(triangle_fraction=0.2), np.eye(4)[None])
    camera, T = Camera.pinhole(60, 71, 80, 80, 35, 30), se3.from_xyz_rpy((0, 0, 1.0), (0.2, 0, 0))[None]
    images = [Renderer(s, camera, RenderSettings(rgb=True, shading="none")).render(T) for s in (full, reduced)]
    both = images[0].mask & images[1].mask
    assert np.abs(images[0].rgb[both].astype(int) - images[1].rgb[both]).mean() < 3


@pytest.mark.parametrize(
    "values",
    [{}, {"triangle_fraction": 0.5, "depth_error_p99": 1e-3}, {"triangle_fraction": 0.0}, {"triangle_fraction": 1.1},
     {"depth_error_p99": -1.0}, {"depth_error_p99": np.nan}],
)  # fmt: skip
def test_wrong_details_are_refused(values: dict) -> None:
    with pytest.raises(SurfaceError, match=r"triangle_fraction|depth_error_p99"):
        Detail(**values)
    assert issubclass(SurfaceError, KinematicsError)


def test_unreachable_errors_and_kinds_are_refused(robot: Robot) -> None:
    with pytest.raises(SurfaceError, match="no reduced surface"):
        prepare_surface(robot, detail=Detail(depth_error_p99=1e-12))
    with pytest.raises(SurfaceError, match="'visual' or 'collision'"):
        prepare_surface(robot, kind="inertial")
