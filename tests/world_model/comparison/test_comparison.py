"""Errors that were put into a prediction come out as the figures' definitions say; what is unknown is no number."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from k4d_kinematics import Camera, ConfiguredRobot, JointTrajectory, Renderer
from k4d_world_model.comparison.comparison import compare_execution
from k4d_world_model.comparison.frame_figures import FIGURES
from k4d_world_model.comparison.pictures import MISSING_COLOUR, comparison_pictures, heat, mean_error, worst_frames
from k4d_world_model.comparison.titles import OVERALL_TITLES, overall_figures
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import ComparisonError
from k4d_world_model.rollout import Rollout

from .conftest import CAMERA, FRAMES, HEIGHT, START, STEP, T_CAM_BASE, WIDTH, joints

TOLERANCE = 0.03


def test_what_came_true_is_identical(rollout: Rollout, executed: Episode, robot: ConfiguredRobot) -> None:
    comparison = compare_execution(rollout, executed, START, TOLERANCE, robot)
    assert comparison.pairing.partners.tolist() == list(range(1, FRAMES + 1))
    assert comparison.remarks == ()
    for figures in comparison.figures:
        assert figures.psnr_db.value == math.inf
        assert figures.ssim.value == pytest.approx(1.0)
        for name in ("distance_median_mm", "distance_p95_mm", "chamfer_mm", "missing_share", "robot_gap_p95_mm"):
            assert getattr(figures, name).value == pytest.approx(0.0, abs=0.01), name
        assert figures.robot_iou.value == 1.0
        assert figures.joint_deviation.value == pytest.approx(0.0, abs=1e-6)
    assert comparison.figures[0].psnr_changed_db.reason == "nothing has changed"
    assert comparison.figures[3].psnr_changed_db.value == math.inf
    assert comparison.robot.executed_mask.any(axis=(1, 2)).all()


def test_known_errors_are_measured(rollout: Rollout, executed: Episode) -> None:
    points = rollout.points.copy()
    points[4] += np.float32([0.003, 0.0, 0.004])
    points[4, 5, :6] = np.nan
    rgb = rollout.rgb.copy()
    rgb[4] += 8
    wrong = replace(rollout, rgb=rgb, points=points, valid=np.isfinite(points).all(axis=-1))
    comparison = compare_execution(wrong, executed, START, TOLERANCE)
    figures = comparison.figures[4]
    assert figures.psnr_db.value == pytest.approx(20 * math.log10(255 / 8))
    assert figures.psnr_changed_db.value == pytest.approx(20 * math.log10(255 / 8))
    assert figures.distance_median_mm.value == pytest.approx(5.0, abs=1e-3)
    assert figures.distance_p95_mm.value == pytest.approx(5.0, abs=1e-3)
    seen = HEIGHT * WIDTH - 1
    assert figures.missing_share.value == pytest.approx(6 / seen)
    clouds = [cloud[np.isfinite(cloud[..., 2])].astype(float) for cloud in (points[4], executed.scene_points[5])]
    gaps = cdist(*clouds)
    expected = 500.0 * (gaps.min(axis=0).mean() + gaps.min(axis=1).mean())
    assert figures.chamfer_mm.value == pytest.approx(expected, rel=1e-6)
    assert worst_frames(comparison)[0][0] == 4
    assert comparison.figures[5].psnr_db.value == math.inf
    np.testing.assert_allclose(comparison.distances[4, 10], 0.005, atol=1e-6)
    np.testing.assert_array_equal(comparison.colour_differences[4], 8.0)


def test_dropped_frames_are_counted_and_named_and_change_nothing_else(rollout: Rollout, executed: Episode) -> None:
    kept = np.delete(np.arange(executed.frame_count), [3, 6])
    thinned = replace(
        executed, rgb=executed.rgb[kept], times=executed.times[kept], scene_points=executed.scene_points[kept],
        T_world_cam=executed.T_world_cam[kept],
        joints=JointTrajectory(("other", "turn"), executed.times[kept], executed.joints.positions[kept]),
    )  # fmt: skip
    whole = compare_execution(rollout, executed, START, TOLERANCE)
    comparison = compare_execution(rollout, thinned, START, TOLERANCE)
    assert comparison.remarks[0] == "2 of 9 predicted frames have no executed one: 2, 5"
    for k in (2, 5):
        figures = [getattr(comparison.figures[k], name) for name in FIGURES]
        assert all(figure.value is None and "nearest executed frame lies" in figure.reason for figure in figures)
    assert comparison.figures[3] == whole.figures[3]
    assert len(comparison_pictures(comparison).rows) == FRAMES - 2


def test_another_start_compares_other_frames(rollout: Rollout, executed: Episode) -> None:
    late = compare_execution(rollout, executed, START + STEP, TOLERANCE)
    assert late.pairing.partners.tolist() == list(range(2, FRAMES + 2))
    assert all(figures.psnr_db.value < 40 for figures in late.figures[:-1])


def test_without_depth_clouds_have_no_number(rollout: Rollout, executed: Episode) -> None:
    comparison = compare_execution(rollout, replace(executed, scene_points=None), START, TOLERANCE)
    for figures in comparison.figures:
        for name in ("distance_median_mm", "distance_p95_mm", "chamfer_mm", "missing_share"):
            assert getattr(figures, name).reason == "no depth"
        assert figures.psnr_db.value == math.inf
    assert "no depth was recorded, so that clouds are not compared" in comparison.remarks
    overall = overall_figures(comparison)
    assert set(overall) == {title.name for title in OVERALL_TITLES}
    assert overall["xyz_psnr"].reason == "no depth"
    assert worst_frames(comparison)[1] == "lowest PSNR"


def test_one_frame_of_missing_points_is_that_frames_matter(rollout: Rollout, executed: Episode) -> None:
    points, predicted = executed.scene_points.copy(), rollout.points.copy()
    points[1 + 2] = np.nan
    predicted[6] = np.nan
    comparison = compare_execution(
        replace(rollout, points=predicted, valid=np.isfinite(predicted).all(axis=-1)),
        replace(executed, scene_points=points), START, TOLERANCE,
    )  # fmt: skip
    assert comparison.figures[2].chamfer_mm.reason == "no depth"
    assert comparison.figures[6].chamfer_mm.reason == "no point is known in both"
    assert comparison.figures[6].missing_share.value == 1.0
    assert comparison.figures[3].chamfer_mm.value == pytest.approx(0.0, abs=1e-4)
    picture = comparison_pictures(comparison).rows[2]
    assert (picture[:, 3 * WIDTH :] == MISSING_COLOUR).all()


def test_a_robot_that_strays_is_seen_to(rollout: Rollout, executed: Episode, robot: ConfiguredRobot) -> None:
    positions = executed.joints.positions.copy()
    positions[5:, 1] += 0.3
    strayed = replace(executed, joints=JointTrajectory(("other", "turn"), executed.times, positions))
    comparison = compare_execution(rollout, strayed, START, TOLERANCE, robot)
    assert comparison.figures[3].robot_iou.value == 1.0
    for figures in comparison.figures[4:]:
        assert figures.joint_deviation.value == pytest.approx(0.3, abs=1e-6)
        assert figures.robot_iou.value < 0.9
        assert figures.robot_gap_p95_mm.value > 1.0


def test_a_frame_beside_its_moment_is_held_against_the_plan_of_its_own(
    rollout: Rollout, executed: Episode, robot: ConfiguredRobot
) -> None:
    times = executed.times + 0.02
    late = replace(
        executed, times=times, joints=JointTrajectory(("turn",), times, joints(times - START)),
    )  # fmt: skip
    comparison = compare_execution(rollout, late, START, TOLERANCE, robot)
    for figures in comparison.figures:
        assert figures.joint_deviation.value == pytest.approx(0.0, abs=1e-6)
        assert figures.robot_iou.value == 1.0


def test_where_the_robot_was_predicted_a_moment_earlier_is_not_the_scene(
    rollout: Rollout, executed: Episode, robot: ConfiguredRobot
) -> None:
    times, rgb = executed.times + 0.029, executed.rgb.copy()
    rgb[2:] += 10  # all of the picture changes, with all that is beside the robot
    late = replace(executed, rgb=rgb, times=times, joints=JointTrajectory(("turn",), times, joints(times - START)))
    T_base_link = robot.robot.forward_kinematics(rollout.joints.positions)
    drawn = Renderer(robot.surface, CAMERA).render_sequence(T_CAM_BASE @ T_base_link).mask
    points = np.where(drawn[..., None], rollout.points - np.float32([0, 0, 0.5]), rollout.points)
    before = overall_figures(compare_execution(rollout, late, START, TOLERANCE, robot))
    comparison = compare_execution(replace(rollout, points=points), late, START, TOLERANCE, robot)
    assert (drawn & ~comparison.robot.planned_mask & ~comparison.robot.executed_mask).any()
    after = overall_figures(comparison)
    assert after["xyz_psnr_changed"] == before["xyz_psnr_changed"]
    assert after["xyz_psnr"].value < before["xyz_psnr"].value


def test_without_a_robot_its_figures_say_so(rollout: Rollout, executed: Episode) -> None:
    assert compare_execution(rollout, executed, START, TOLERANCE).figures[0].robot_iou.reason == "no robot is given"


def test_pictures_of_another_size_are_fitted_and_of_another_camera_refused(rollout: Rollout, executed: Episode) -> None:
    M = CAMERA.matrix
    large = Camera.pinhole(
        3 * HEIGHT, 3 * WIDTH, 3 * M[0, 0], 3 * M[1, 1], 3 * M[0, 2] + 1, 3 * M[1, 2] + 1, frame_id="cam"
    )
    grown = replace(
        executed, rgb=executed.rgb.repeat(3, 1).repeat(3, 2), camera=large,
        scene_points=executed.scene_points.repeat(3, 1).repeat(3, 2),
    )  # fmt: skip
    comparison = compare_execution(rollout, grown, START, TOLERANCE)
    assert comparison.figures[4].psnr_db.value == math.inf
    assert comparison.figures[4].distance_median_mm.value == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ComparisonError, match=r"fx 20\.0000.*they are of fx 26\.0000"):
        compare_execution(
            rollout, replace(executed, camera=Camera.pinhole(HEIGHT, WIDTH, 26, 21, 10.2, 7.9)), START, TOLERANCE
        )
    with pytest.raises(ComparisonError, match="say nothing of their camera"):
        compare_execution(rollout, replace(executed, camera=None), START, TOLERANCE)


def test_heat_is_black_at_nothing_bright_at_the_top_and_grey_where_unknown() -> None:
    errors = np.array([[0.0, 2.0, 9.0, np.nan]])
    assert heat(errors, 2.0).tolist() == [[[0, 0, 4], [252, 255, 164], [252, 255, 164], [128, 128, 128]]]
    mean = mean_error(np.array([[[1.0, np.nan]], [[3.0, np.nan]]]))
    assert mean[0, 0] == 2.0
    assert np.isnan(mean[0, 1])
