"""The error of a camera's place in pictures of a robot, and the picture that shows it."""

from collections.abc import Callable

import numpy as np
import pytest

from k4d_kinematics import Renderer, RenderSettings
from k4d_kinematics.calibration.edge_figure import edge_figure
from k4d_kinematics.calibration.overlay import overlay
from k4d_kinematics.errors import CalibrationError


def test_the_figure_grows_with_the_error_and_says_nothing_of_an_empty_picture(set_up: Callable) -> None:
    case = set_up(2)
    renderer = Renderer(case.robot.surface, case.camera, RenderSettings(rgb=True))
    T_base_link = case.views[0].T_parent_link
    seen = renderer.render(case.T_cam_base @ T_base_link)
    rgb = np.where(seen.mask[..., None], seen.rgb, np.uint8(90))
    figures = []
    for offset in (0.0, 0.01, 0.02, 0.03):
        T_wrong = case.T_cam_base.copy()
        T_wrong[0, 3] += offset
        figures.append(edge_figure(rgb, renderer.render(T_wrong @ T_base_link).points_cam, case.camera, reach_px=10.0))
    distances = [figure.distance_px for figure in figures]
    assert distances[0] <= 1.0
    assert figures[0].confidence > 0.8
    assert (np.diff(distances) > 0).all(), distances
    assert 0.3 * 0.03 < figures[-1].distance < 1.2 * 0.03
    blank = edge_figure(np.full_like(rgb, 90), seen.points_cam, case.camera)
    assert blank.confidence == 0.0
    assert np.isnan(blank.distance_px)
    nowhere = edge_figure(rgb, np.full_like(seen.points_cam, np.nan), case.camera)
    assert nowhere.points == 0
    with pytest.raises(CalibrationError, match=r"\(H, W, 3\) alike"):
        edge_figure(rgb[1:], seen.points_cam, case.camera)
    drawn = overlay(rgb, seen.points_cam)
    assert (drawn == (255, 40, 40)).all(axis=-1).any()
    np.testing.assert_array_equal(drawn[~seen.mask], rgb[~seen.mask])
