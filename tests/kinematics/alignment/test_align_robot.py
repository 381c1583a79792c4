"""Scans of the Panda through the command: the alignment, the links, and the URDF that comes out, moved elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image
from scipy.spatial import cKDTree

from k4d_kinematics import Camera, Renderer, Robot, RobotSurface, prepare_surface, se3
from k4d_kinematics.alignment import AlignmentLimits, Similarity, align, registration
from k4d_kinematics.alignment.outside import sample_outside
from k4d_kinematics.cli.align_robot import Arguments, align_robot

URDF = "package://example-robot-data/robots/panda_description/urdf/panda.urdf"


@dataclass(frozen=True)
class Aligned:
    scan: object
    out: Path
    summary: dict


def mean_error(similarity: Similarity, scan) -> float:
    """How far the alignment puts the robot's own vertices from where they truly are, metres."""
    vertices = scan.robot_vertices
    placed = similarity.to_base(scan.reconstruction.vertices_recon[vertices])
    return float(np.linalg.norm(placed - scan.vertices_base[vertices], axis=1).mean())


@pytest.fixture(scope="module")
def aligned(panda, panda_surface, scan, posture, tmp_path_factory) -> Aligned:
    folder = tmp_path_factory.mktemp("aligned")
    positions = posture(panda, 3)
    scanned = scan(panda, panda_surface, positions, seed=3)
    mesh = trimesh.Trimesh(
        scanned.reconstruction.vertices_recon, scanned.reconstruction.triangles, process=False,
        vertex_colors=np.tile(np.array([200, 120, 40], np.uint8), (len(scanned.vertices_base), 1)),
    )  # fmt: skip
    mesh.export(folder / "scan.ply")
    named = dict(zip(reversed(panda.joint_names), reversed(positions.tolist()), strict=True))
    (folder / "posture.yaml").write_text(yaml.safe_dump({"positions": named}))
    align_robot(Arguments(folder / "scan.ply", URDF, folder / "posture.yaml", folder / "out"))
    return Aligned(scanned, folder / "out", json.loads((folder / "out" / "alignment.json").read_text()))


def test_the_alignment_is_right(aligned: Aligned) -> None:
    similarity = Similarity(np.array(aligned.summary["T_recon_base"]), aligned.summary["scale"])
    assert mean_error(similarity, aligned.scan) < 0.003
    assert similarity.scale == pytest.approx(aligned.scan.scale, rel=0.005)
    np.testing.assert_allclose(similarity.T_recon_base[:3, :3], aligned.scan.R_recon_base, atol=0.005)
    assert aligned.summary["runner_up_agreement"] < 0.6 * aligned.summary["agreement"]


def test_every_link_states_its_residual(aligned: Aligned, panda: Robot) -> None:
    links = {link["link_name"]: link for link in aligned.summary["links"]}
    assert set(links) == {name for name in panda.link_names if name not in ("panda_link8", "panda_hand_tcp")}
    for link in links.values():
        # The mean of three corners' noise and the distance at a facet's middle: about two thirds of 4 mm.
        assert link["faces"] > 0
        assert 1.0 < link["median_mm"] < 4.0, link
        assert link["median_mm"] < link["p95_mm"] < 8.0, link
        assert link["coverage"] > 0.5, link
    assert sum(link["faces"] for link in links.values()) + aligned.summary["faces_dropped"] == aligned.summary["faces"]


def test_the_new_urdf_moves_as_the_robot_does(aligned: Aligned, panda, panda_surface, posture, tmp_path) -> None:
    robot = Robot.from_file(shutil.copytree(aligned.out, tmp_path / "elsewhere") / "robot.urdf")
    surface = prepare_surface(robot)
    camera = Camera.pinhole(150, 200, 160.0, 162.0, 99.0, 74.0)
    for seed in (21, 22, 23):
        positions = posture(panda, seed)
        angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
        eye = np.array([0.15 + 1.5 * np.cos(angle), 1.5 * np.sin(angle), 1.2])
        T_cam_base = se3.look_at(eye, (0.15, 0.0, 0.4))
        true = Renderer(panda_surface, camera).render(T_cam_base @ panda.forward_kinematics(positions))
        ours = Renderer(surface, camera).render(T_cam_base @ robot.forward_kinematics(positions))
        both = true.mask & ours.mask
        assert both.sum() / (true.mask | ours.mask).sum() > 0.9
        assert np.median(np.abs(true.points_cam - ours.points_cam)[both][:, 2]) < 0.005


def test_the_new_urdf_keeps_all_but_the_visuals(aligned: Aligned, panda: Robot) -> None:
    ours, source = (ElementTree.fromstring(text) for text in ((aligned.out / "robot.urdf").read_text(), panda.urdf))
    for root in (ours, source):
        for link in root.findall("link"):
            for visual in link.findall("visual"):
                link.remove(visual)
    normal = [ElementTree.canonicalize(ElementTree.tostring(root), strip_text=True) for root in (ours, source)]
    assert normal[0] == normal[1]


def test_the_meshes_keep_the_colours_and_the_picture_is_there(aligned: Aligned) -> None:
    robot = Robot.from_file(aligned.out / "robot.urdf")
    assert (prepare_surface(robot).colors.corner_rgb == (200, 120, 40)).all()
    assert {path.name for path in aligned.out.iterdir()} == {"robot.urdf", "meshes", "alignment.json", "alignment.png"}
    with Image.open(aligned.out / "alignment.png") as picture:
        assert np.asarray(picture).any(axis=-1).mean() > 0.05


def test_other_units_and_any_yaw(panda: Robot, panda_hulls: RobotSurface, scan: Callable, posture: Callable) -> None:
    seed = 6
    positions = posture(panda, seed)
    scanned = scan(panda, panda_hulls, positions, seed=seed, scale=40.0)
    found = align(
        scanned.reconstruction, panda, panda_hulls, positions, limits=AlignmentLimits(), rng=np.random.default_rng(0)
    )
    assert mean_error(found.registration.similarity, scanned) < 0.005
    assert found.registration.similarity.scale == pytest.approx(40.0, rel=0.01)
    middles = scanned.vertices_base[scanned.reconstruction.triangles].mean(axis=1)
    ours, true = found.segmentation.face_link, scanned.face_link
    for link in np.unique(true[true >= 0]):
        own = np.flatnonzero(true == link)
        away = cKDTree(middles[true != link]).query(middles[own])[0] > 0.03
        assert not away.any() or (ours[own[away]] == link).mean() >= 0.95, panda.link_names[link]
    # Hulls overlap at the joints, where a face may be of either link.
    assert (ours == true)[true >= 0].mean() > 0.9
    assert (ours[true == -1] == -1).mean() > 0.8


def test_icp_finds_the_scale_that_the_search_missed(
    panda: Robot, panda_hulls: RobotSurface, scan: Callable, posture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned = scan(panda, panda_hulls, posture(panda, 8), seed=8)
    true = Similarity(se3.from_rotation_translation(scanned.R_recon_base, scanned.t_recon), scanned.scale)
    start = np.diag([1.06, 1.06, 1.06, 1.0]) @ true.matrix
    monkeypatch.setattr(registration, "search_rotations", lambda *_, **__: start[None])
    outside = sample_outside(panda_hulls, panda.forward_kinematics(posture(panda, 8)))
    (found,) = registration.find_candidates(outside, scanned.reconstruction, 0.015, np.random.default_rng(0))
    assert mean_error(found.similarity, scanned) < 0.003
