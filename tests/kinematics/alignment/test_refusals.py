"""What must not be aligned: other joints, another robot, a symmetric one, broken meshes; each error says why."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from k4d_kinematics import Robot, RobotSurface, prepare_surface
from k4d_kinematics.alignment import AlignmentLimits, Reconstruction, align, check_shapes, read_reconstruction
from k4d_kinematics.cli import align_robot
from k4d_kinematics.errors import (
    AlignmentError,
    AmbiguousAlignmentError,
    ConfigurationError,
    JointStateError,
    MeshError,
    PoorAlignmentError,
)

STUB = """<robot name="stub"><link name="base"><visual><geometry>{shape}</geometry></visual></link></robot>"""
LIMITS = AlignmentLimits()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_other_joints_are_refused_with_figures_and_limits(
    panda: Robot, panda_hulls: RobotSurface, scan: Callable, posture: Callable
) -> None:
    scanned = scan(panda, panda_hulls, posture(panda, 5), seed=5)
    with pytest.raises(PoorAlignmentError, match=r"coverage 0\.\d\d \(at least 0\.5\).*are the joints those of"):
        align(scanned.reconstruction, panda, panda_hulls, posture(panda, 11), limits=LIMITS, rng=rng())
    with pytest.raises(JointStateError, match="positions must have shape"):
        align(scanned.reconstruction, panda, panda_hulls, [0.0, 1.0], limits=LIMITS, rng=rng())


def test_another_robot_is_refused(
    panda: Robot, ur5: Robot, panda_hulls: RobotSurface, scan: Callable, posture: Callable
) -> None:
    scanned = scan(ur5, prepare_surface(ur5, kind="collision"), posture(ur5, 4), seed=4)
    with pytest.raises(PoorAlignmentError, match="is it this robot"):
        align(scanned.reconstruction, panda, panda_hulls, posture(panda, 4), limits=LIMITS, rng=rng())


def test_a_shape_that_looks_the_same_from_several_sides_is_ambiguous() -> None:
    robot = Robot.from_urdf(STUB.format(shape='<cylinder radius="0.1" length="0.5"/>'))
    mesh = trimesh.creation.cylinder(0.1, 0.5, sections=40).subdivide().subdivide()
    vertices = np.asarray(mesh.vertices) + rng().normal(0.0, 0.002, mesh.vertices.shape)
    reconstruction = Reconstruction(vertices, np.asarray(mesh.faces, np.int32), np.zeros((*mesh.faces.shape, 3), "u1"))
    with pytest.raises(
        AmbiguousAlignmentError, match=r"agreement \d\.\d\d is \d\.\d\d of the best one's .*at most 0\.8"
    ):
        align(reconstruction, robot, prepare_surface(robot), [], limits=LIMITS, rng=rng())


def test_a_robot_without_surfaces_is_refused() -> None:
    robot = Robot.from_urdf('<robot name="bare"><link name="base"/></robot>')
    with pytest.raises(AlignmentError, match=r"'bare' has no visual shapes; .*kinematics alone are not enough"):
        check_shapes(robot, "visual")


TRIANGLE = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]


def ply(vertices: list, faces: list) -> str:
    header = f"ply\nformat ascii 1.0\nelement vertex {len(vertices)}\nproperty float x\nproperty float y\n"
    header += f"property float z\nelement face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(map(str, v)) for v in vertices] + [" ".join(map(str, (3, *f))) for f in faces]
    return header + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("no_faces.ply", ply(TRIANGLE, []), "at least one triangle, got none"),
        ("no_faces.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "at least one triangle, got none"),
        ("nan.ply", ply([*TRIANGLE[:2], ("nan", 1, 0)], [(0, 1, 2)]), "vertices must be finite"),
        ("nan.obj", "v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "vertices must be finite"),
        ("empty.ply", "", "cannot read mesh"),
        ("empty.stl", "", "cannot read mesh|at least one triangle"),
        ("line.ply", ply([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 1, 2)]), "area above 0"),
        ("scan.txt", "x", r"must be one of .*\.ply"),
    ],
)
def test_broken_meshes_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MeshError, match=message) as caught:
        read_reconstruction(tmp_path / name)
    assert name in str(caught.value)


def test_without_open3d_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, panda: Robot, panda_hulls: RobotSurface, posture: Callable
) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    box = trimesh.creation.box((0.3, 0.4, 0.9))
    reconstruction = Reconstruction(
        np.asarray(box.vertices), np.asarray(box.faces, np.int32), np.zeros((12, 3, 3), np.uint8)
    )
    with pytest.raises(AlignmentError, match=r"pip install open3d \(requirements/alignment\.txt"):
        align(reconstruction, panda, panda_hulls, posture(panda, 1), limits=LIMITS, rng=rng())


@pytest.mark.parametrize(
    ("name", "value"),
    [("inlier_distance", 0.0), ("inlier_rmse", np.nan), ("fitness", 1.1), ("coverage", 0.0), ("runner_up", -0.1)],
)
def test_limits_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        AlignmentLimits(**{name: value})


def test_the_command_says_what_is_wrong_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stub.urdf").write_text(STUB.format(shape='<box size="0.1 0.2 0.3"/>'))
    (tmp_path / "posture.yaml").write_text("position: {}\n")
    words = ["--mesh", "scan.ply", "--urdf", "stub.urdf", "--joints", "posture.yaml", "--out", "out"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["k4d-align-robot", *words])
    assert align_robot.main() == 1
    assert "unknown key 'position'; did you mean 'positions'" in capsys.readouterr().err
    (tmp_path / "posture.yaml").write_text("positions: {}\n")
    assert align_robot.main() == 1
    assert "scan.ply" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
