"""The pipeline against its own parts, put together by hand; and the sequence's own checks."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.errors import JointStateError, RenderingError, RobotModelError, TransformError
from k4d_kinematics.pipeline import render_trajectory
from k4d_kinematics.pointmap import PointmapSequence
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot import Robot
from k4d_kinematics.surface import prepare_surface
from k4d_kinematics.trajectory import JointTrajectory
from k4d_kinematics.transforms import RecordedEdge, RecordedTransforms, StaticEdge, StaticTransforms

CAMERA = Camera.pinhole(48, 66, 60.0, 61.0, 32.5, 23.0, frame_id="optical")
T_BASE_CAM = se3.inverse(se3.look_at((1.5, 0.4, 0.6), (0.0, 0.0, 0.4)))
MOTION = JointTrajectory(
    ("slide", "elbow", "shoulder"), np.array([0.0, 0.5, 2.0, 2.25]), np.array([[0.1, 0.2, 0.3]]) * np.arange(4)[:, None]
)


@pytest.fixture(scope="module")
def renderer(arm: Robot) -> Renderer:
    return Renderer(prepare_surface(arm, cache_dir=None), CAMERA, RenderSettings(rgb=True, link_ids=True))


def test_a_standing_camera(arm: Robot, renderer: Renderer) -> None:
    place = StaticTransforms([StaticEdge("base", "optical", T_BASE_CAM)])
    sequence = render_trajectory(arm, MOTION, renderer, place, workers=2)
    q = MOTION.positions[:, [2, 1, 0]]
    for t in range(4):
        image = renderer.render(se3.inverse(T_BASE_CAM) @ arm.forward_kinematics(q[t]))
        np.testing.assert_array_equal(sequence.points_cam[t], image.points_cam)
        np.testing.assert_array_equal(sequence.rgb[t], image.rgb)
    assert sequence.mask.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(np.isfinite(sequence.points_cam).all(axis=-1), sequence.mask)
    np.testing.assert_array_equal(sequence.link_ids >= 0, sequence.mask)


def test_points_do_not_depend_on_where_the_camera_rides(arm: Robot, renderer: Renderer) -> None:
    """A camera on a link, and the same motion of the camera recorded relative to the base, see the same."""
    T_link_cam = se3.from_xyz_rpy((0.9, 0.1, 0.3), (-1.5, 0.1, 1.6))
    riding = render_trajectory(
        arm, MOTION, renderer, StaticTransforms([StaticEdge("upper", "optical", T_link_cam)]), mount_link="upper"
    )
    upper = arm.forward_kinematics(MOTION.positions[:, [2, 1, 0]])[:, arm.link_index("upper")]
    recorded = RecordedTransforms([RecordedEdge("base", "optical", MOTION.times, upper @ T_link_cam)])
    moving = render_trajectory(arm, MOTION, renderer, recorded)
    assert riding.mask.any()
    np.testing.assert_allclose(riding.T_cam_base, moving.T_cam_base, atol=1e-12)
    assert (riding.mask == moving.mask).mean() > 0.999
    assert np.abs(riding.T_cam_base[-1] - riding.T_cam_base[0]).max() > 0.3, "the camera did not move"


def test_points_base_are_on_the_robot(arm: Robot, renderer: Renderer) -> None:
    place = StaticTransforms([StaticEdge("base", "optical", T_BASE_CAM)])
    sequence = render_trajectory(arm, MOTION, renderer, place)
    on_base = sequence.link_ids[0] == arm.link_index("base")
    assert on_base.sum() > 10
    box = np.abs(sequence.points_base[0][on_base])
    assert (box <= np.array([0.1, 0.1, 0.05]) + 1e-5).all()
    assert (np.abs(box - [0.1, 0.1, 0.05]).min(axis=-1) < 1e-5).all(), "every point lies on a face of the box"


def test_what_is_missing_is_named(arm: Robot, renderer: Renderer) -> None:
    place = StaticTransforms([StaticEdge("base", "optical", T_BASE_CAM)])
    with pytest.raises(JointStateError, match="slide"):
        render_trajectory(arm, MOTION.reorder(("elbow", "shoulder")), renderer, place)
    with pytest.raises(TransformError, match="optical"):
        render_trajectory(arm, MOTION, renderer, StaticTransforms([StaticEdge("base", "other", T_BASE_CAM)]))
    with pytest.raises(RobotModelError, match="nose"):
        render_trajectory(
            arm, MOTION, renderer, StaticTransforms([StaticEdge("nose", "optical", T_BASE_CAM)]), mount_link="nose"
        )


def test_a_sequence_checks_itself(arm: Robot, renderer: Renderer) -> None:
    place = StaticTransforms([StaticEdge("base", "optical", T_BASE_CAM)])
    good = render_trajectory(arm, MOTION, renderer, place)
    assert isinstance(good, PointmapSequence)
    for name, wrong in (
        ("points_cam", good.points_cam.astype(np.float64)),
        ("mask", good.mask[:, :-1]),
        ("times", good.times[::-1].copy()),
        ("T_cam_base", good.T_cam_base[:3]),
        ("link_ids", good.link_ids.astype(np.int32)),
        ("positions", good.positions[:, :2]),
    ):
        with pytest.raises(RenderingError, match=name):
            replace(good, **{name: wrong})
