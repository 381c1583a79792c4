"""Conditionings at the model's size: area averages, the nearest pixel, and a camera that stays true."""

import dataclasses

import numpy as np
import pytest

from k4d_kinematics import Camera
from k4d_world_model.errors import ConditioningError
from k4d_world_model.fitting import fitted


def test_a_conditioning_of_that_size_comes_back_itself(make_conditioning):
    conditioning = make_conditioning(3, 20, 32)
    assert fitted(conditioning, 20, 32) is conditioning


def test_whole_factors_average_blocks_and_keep_the_middle_pixel(make_conditioning):
    conditioning = make_conditioning(4, 30, 48)
    small = fitted(conditioning, 10, 16)
    blocks = conditioning.first_frame.reshape(10, 3, 16, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small.first_frame, blocks, atol=0.51)
    np.testing.assert_array_equal(small.robot_mask, conditioning.robot_mask[:, 1::3, 1::3])
    np.testing.assert_array_equal(small.robot_rgb, conditioning.robot_rgb[:, 1::3, 1::3])
    # The middle pixel's centre is the new pixel's, so that its point is on the ray already.
    np.testing.assert_allclose(small.robot_points, conditioning.robot_points[:, 1::3, 1::3], atol=1e-6)
    np.testing.assert_allclose(small.first_points, conditioning.first_points[1::3, 1::3], atol=1e-6)
    assert small.robot_sha256 == conditioning.robot_sha256
    assert small.times is conditioning.times


@pytest.mark.parametrize(("height", "width"), [(16, 24), (9, 31), (40, 44), (7, 7)])
def test_a_point_is_seen_where_the_old_camera_saw_it(make_conditioning, height, width):
    conditioning = make_conditioning(2, 33, 52)
    camera = fitted(conditioning, height, width).camera
    assert (camera.image_height, camera.image_width, camera.frame_id) == (height, width, "eye")
    points = np.array([[0.1, -0.2, 1.3], [-0.3, 0.25, 0.9], [0.0, 0.0, 2.0]])
    # An independent definition: the middle of both pictures shows the same, and one scale holds for both axes.
    old = conditioning.camera.project(points) - (np.array([52, 33]) - 1) / 2
    new = camera.project(points) - (np.array([width, height]) - 1) / 2
    np.testing.assert_allclose(old, min(33 / height, 52 / width) * new, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (9, 31), (40, 44)])
def test_points_are_on_their_rays_with_depths_from_half_a_pixel_away(make_conditioning, height, width):
    conditioning = make_conditioning(3, 33, 52)
    new = fitted(conditioning, height, width)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    np.testing.assert_allclose(new.camera.project(new.first_points), pixels, atol=1e-3)
    seen = conditioning.camera.project(new.first_points)  # (h, w, 2) where the old camera sees them
    nearest = np.clip(np.round(seen), 0, [51, 32]).astype(int)
    assert np.abs(nearest - seen).max() <= 0.5 + 1e-6
    depths = conditioning.first_points[nearest[..., 1], nearest[..., 0], 2]
    differs = np.abs(depths - new.first_points[..., 2]) > 1e-6
    assert (np.abs(np.abs(seen - nearest) - 0.5).min(axis=-1)[differs] < 1e-4).all(), "only ties may go to either side"
    np.testing.assert_array_equal(np.isfinite(new.robot_points[..., 2]), new.robot_mask)
    assert new.robot_mask.any(axis=(1, 2)).all()
    for t in range(3):
        seen = new.robot_mask[t]
        np.testing.assert_allclose(new.camera.project(new.robot_points[t][seen]), pixels[seen], atol=1e-3)


def test_areas_are_averaged_with_parts_of_pixels(make_conditioning):
    conditioning = make_conditioning(2, 21, 34)
    small = fitted(conditioning, 8, 12)  # 2.625 pixels a new one; 1.25 cut off left and right
    fine = np.kron(conditioning.first_frame.astype(float), np.ones((8, 8, 1)))[:, 10:262]  # eighths of pixels
    blocks = fine.reshape(8, 21, 12, 21, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small.first_frame, blocks, atol=0.51)


def test_a_constant_picture_stays_constant_when_enlarged(make_conditioning):
    conditioning = make_conditioning(2, 21, 34)
    grey = dataclasses.replace(conditioning, first_frame=np.full((21, 34, 3), 131, np.uint8))
    assert (fitted(grey, 50, 90).first_frame == 131).all()


def test_region_and_binning_of_the_camera_are_respected(make_conditioning):
    plain = make_conditioning(2, 20, 32)
    K = plain.camera.matrix
    binned = Camera(40, 64, np.diag([2.0, 2.0, 1.0]) @ K, binning_x=2, binning_y=2, frame_id="eye")
    np.testing.assert_allclose(binned.matrix, K)
    small = fitted(dataclasses.replace(plain, camera=binned), 10, 12)
    assert small.camera == fitted(plain, 10, 12).camera


def test_what_is_absent_stays_absent(make_conditioning):
    bare = dataclasses.replace(make_conditioning(2, 20, 32), robot_rgb=None, first_points=None)
    small = fitted(bare, 10, 12)
    assert small.robot_rgb is None
    assert small.first_points is None


def test_no_size_is_refused(make_conditioning):
    with pytest.raises(ConditioningError, match=r"at least 1 px, got 0 x 24"):
        fitted(make_conditioning(2, 20, 32), 0, 24)
