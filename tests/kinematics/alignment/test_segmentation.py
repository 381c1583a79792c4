"""Faces against links of which every distance is known, and the URDF written from them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from k4d_kinematics import Robot, prepare_surface, se3
from k4d_kinematics.alignment import Reconstruction, Segmentation, Similarity, write_reconstructed_robot
from k4d_kinematics.alignment.outside import sample_outside
from k4d_kinematics.alignment.segmentation import measure_links, segment
from k4d_kinematics.errors import AlignmentError

# Two boxes of 0.2 m, one above the other without a gap between them, and a third link inside the first box.
URDF = """<robot name="two">
  <link name="lower"><visual><geometry><box size="0.2 0.2 0.2"/></geometry></visual>
    <collision><geometry><mesh filename="hull.stl" scale="2 2 2"/></geometry></collision>
    <inertial><mass value="2.5"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial></link>
  <link name="../up&amp;er"><visual><geometry><box size="0.2 0.2 0.2"/></geometry></visual>
    <collision><geometry><mesh filename="gone.stl"/></geometry></collision></link>
  <link name="hidden"><visual><geometry><sphere radius="0.02"/></geometry></visual></link>
  <joint name="turn" type="revolute"><parent link="lower"/><child link="../up&amp;er"/><origin xyz="0 0 0.2"/>
    <axis xyz="0 0 1"/><limit lower="-1.5" upper="2" velocity="3" effort="4"/></joint>
  <joint name="stay" type="fixed"><parent link="lower"/><child link="hidden"/></joint>
</robot>"""
RED, BLUE = (250, 10, 20), (30, 40, 240)
# Faces before the front x = 0.1: of the lower box, of the upper, over the joint but mostly above, and far away.
VERTICES = np.array(
    [
        (0.102, 0.00, 0.00), (0.102, 0.05, 0.00), (0.102, 0.00, 0.05),
        (0.103, 0.00, 0.15), (0.103, 0.05, 0.15), (0.103, 0.00, 0.20),
        (0.101, 0.00, 0.09), (0.101, 0.05, 0.16), (0.101, 0.00, 0.16),
        (0.130, 0.00, 0.00), (0.130, 0.05, 0.00), (0.130, 0.00, 0.05),
    ]
)  # fmt: skip
TRIANGLES = np.arange(12, dtype=np.int32).reshape(4, 3)


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    source = tmp_path / "source"
    source.mkdir()
    trimesh.creation.box((0.1, 0.1, 0.1)).export(source / "hull.stl")
    (source / "two.urdf").write_text(URDF)
    return Robot.from_file(source / "two.urdf")


def segment_faces(robot: Robot, farthest: float) -> Segmentation:
    return segment(VERTICES, TRIANGLES, prepare_surface(robot), robot.forward_kinematics([0.0]), farthest=farthest)


def test_faces_go_whole_to_the_nearest_link(robot: Robot) -> None:
    found = segment_faces(robot, 0.02)
    upper = robot.link_index("../up&er")
    assert found.face_link.tolist() == [robot.link_index("lower"), upper, upper, -1]
    assert found.dropped == 1
    # Of the third face only its first corner lies 10 mm below the upper box, and 1 mm before it.
    np.testing.assert_allclose(
        found.distance, [0.002, 0.003, (3 * 0.001 + np.hypot(0.01, 0.001)) / 4, 0.030], atol=1e-6
    )
    with pytest.raises(AlignmentError, match=r"within 0\.5 mm of the robot; the nearest is at 2\.0 mm"):
        segment(VERTICES[:3], TRIANGLES[:1], prepare_surface(robot), robot.forward_kinematics([0.0]), farthest=5e-4)


def test_residuals_state_distance_and_coverage(robot: Robot) -> None:
    T_base_link = robot.forward_kinematics([0.0])
    outside = sample_outside(prepare_surface(robot), T_base_link)
    # Five of the six sides of each box can be seen, and nothing of what is inside.
    assert set(outside.link) == {0, robot.link_index("../up&er")}
    middles = VERTICES[TRIANGLES].mean(axis=1)
    lower, upper = measure_links(segment_faces(robot, 0.02), middles, outside, robot.link_names, 0.05)
    assert (lower.link_name, lower.faces, upper.link_name, upper.faces) == ("lower", 1, "../up&er", 2)
    assert lower.median_mm == pytest.approx(2.0, abs=1e-3)
    # A disk of 5 cm on one of five sides of 20 cm, less what its face's height takes away.
    assert lower.coverage == pytest.approx(np.pi * (0.05**2 - 0.002**2) / (5 * 0.2**2), rel=0.1)


def test_written_links_lie_in_their_own_frames_and_paths_stay_inside(
    robot: Robot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    similarity = Similarity(se3.from_xyz_rpy((4.0, 5.0, 6.0), (0.1, 0.2, 0.3)), 12.0)
    rgb = np.array([RED, BLUE, RED, RED], np.uint8)[:, None].repeat(3, axis=1)
    reconstruction = Reconstruction(similarity.to_recon(VERTICES), TRIANGLES, rgb)
    T_base_link = robot.forward_kinematics([0.7])
    segmentation = Segmentation(np.array([0, robot.link_index("../up&er"), 0, -1], np.int16), np.zeros(4))
    with caplog.at_level(logging.WARNING):
        urdf = write_reconstructed_robot(
            tmp_path / "out" / "deep", robot, reconstruction, similarity, segmentation, T_base_link
        )
    assert "gone.stl" in caplog.text
    assert all(path.is_relative_to(tmp_path / "out") for path in tmp_path.rglob("*.glb"))
    written = Robot.from_file(urdf)
    assert [shape.link_name for shape in written.visuals] == ["lower", "../up&er"]
    assert written.joint_names == robot.joint_names
    assert (written.lower, written.upper, written.velocity_limits) == ([-1.5], [2.0], [3.0])
    assert 'mass value="2.5"' in written.urdf
    surface = prepare_surface(written)
    link = surface.triangle_link
    corners = surface.parts.corners.T.reshape(-1, 3, 3)
    placed = np.stack([se3.transform_points(T_base_link[k], c) for k, c in zip(link, corners, strict=True)])
    kept = placed[np.lexsort((placed[:, 0, 2], placed[:, 0, 0]))]
    expected = VERTICES[TRIANGLES[[2, 0, 1]]]
    np.testing.assert_allclose(np.sort(kept, axis=1), np.sort(expected, axis=1), atol=1e-6)
    assert (surface.colors.corner_rgb[link == robot.link_index("../up&er")] == BLUE).all()
    # The relative collision mesh is found from the new place as well, with its scale.
    hull, gone = written.collisions
    assert hull.shape.uri == (tmp_path / "source" / "hull.stl").as_uri()
    assert hull.shape.scale == (2.0, 2.0, 2.0)
    assert gone.shape.uri == "gone.stl"


def test_absolute_paths_are_found_without_a_folder(robot: Robot, tmp_path: Path) -> None:
    reconstruction = Reconstruction(VERTICES, TRIANGLES, np.zeros((4, 3, 3), np.uint8))
    segmentation = Segmentation(np.array([0, 0, 0, -1], np.int16), np.zeros(4))
    urdf = write_reconstructed_robot(
        tmp_path / "with space", robot, reconstruction, Similarity(np.eye(4), 1.0), segmentation,
        robot.forward_kinematics([0.0]), absolute=True,
    )  # fmt: skip
    assert prepare_surface(Robot.from_urdf(urdf.read_text())).triangle_count == 3
