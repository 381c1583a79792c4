"""Clouds as other tools read them, and what an observation through a lens becomes."""

import struct

import numpy as np
import pytest
from std_msgs.msg import Header

from k4d_kinematics import Camera
from k4d_kinematics.ros.conversions import camera_message
from k4d_world_model.errors import ConditioningError
from k4d_world_model.ros.conversions import coloured_cloud
from k4d_world_model.ros.observation import Observation

from .conftest import Inputs
from .fake_model import COUNT

LENS = Camera(
    40, 60, np.array([[50.0, 0.0, 31.0], [0.0, 52.0, 18.5], [0.0, 0.0, 1.0]]), (-0.25, 0.06, 0.001, -0.002, 0.0),
    "plumb_bob", frame_id="front_optical",
)  # fmt: skip


def test_a_cloud_is_read_point_by_point_as_its_fields_say() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(3, 5, 3)).astype(np.float32)
    points[1, 2] = np.nan
    rgb = rng.integers(0, 256, (3, 5, 3), np.uint8)
    cloud = coloured_cloud(points, rgb, Header(frame_id="optical"))
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step, cloud.is_dense) == (3, 5, 16, 80, False)
    offsets = {field.name: (field.offset, field.datatype, field.count) for field in cloud.fields}
    assert offsets == {"x": (0, 7, 1), "y": (4, 7, 1), "z": (8, 7, 1), "rgb": (12, 7, 1)}
    data = bytes(cloud.data)
    for v, u in np.ndindex(3, 5):
        *xyz, colour = struct.unpack_from("<3fI", data, v * 80 + u * 16)
        np.testing.assert_array_equal(np.float32(xyz), points[v, u])
        assert colour == int(rgb[v, u, 0]) * 65536 + int(rgb[v, u, 1]) * 256 + int(rgb[v, u, 2])


def observed(inputs: Inputs) -> Observation:
    return Observation(inputs.summary, inputs.frames, inputs.image, inputs.camera_info, inputs.depth)


def test_the_lens_is_taken_out_of_picture_depth_and_pointmaps() -> None:
    """A slanted plane fills depth and, in a patch, the pointmaps: it must still be that plane on undistorted rays."""
    inputs = Inputs(camera=LENS)
    rays = LENS.rays()
    normal, distance = np.array([0.2, -0.1, 1.0]), 1.5
    z = distance / (rays @ normal[:2] + normal[2])  # (H, W)
    u, v = np.meshgrid(np.arange(60), np.arange(40))
    patch = (u > 15) & (u < 40) & (v > 10) & (v < 30)
    points = np.where(patch[..., None], np.concatenate([rays * z[..., None], z[..., None]], axis=-1), np.nan)
    gradient = np.stack([4 * u, 6 * v, np.full_like(u, 90)], axis=-1).astype(np.uint8)
    inputs.image = inputs.bridge.cv2_to_imgmsg(gradient, "rgb8", header=inputs.header)
    inputs.depth = inputs.bridge.cv2_to_imgmsg(z.astype(np.float32), "32FC1", header=inputs.header)
    for frame in inputs.frames:
        frame.pointmap = inputs.bridge.cv2_to_imgmsg(points.astype(np.float32), "32FC3", header=inputs.header)
        frame.mask = inputs.bridge.cv2_to_imgmsg(patch.astype(np.uint8) * np.uint8(255), "mono8", header=inputs.header)
        frame.camera_info = camera_message(LENS, inputs.header.stamp)
    told = observed(inputs).conditioning()
    assert not told.camera.is_distorted
    for measured in (told.first_points, told.robot_points[3]):
        seen = np.isfinite(measured[..., 2])
        np.testing.assert_allclose(told.camera.project(measured[seen]), np.stack([u, v], -1)[seen], atol=1e-3)
        # The nearest raw pixel's depth is off by what the plane rises within half a pixel.
        assert np.abs(measured[seen] @ normal - distance).max() < 0.012
    # Colours tell where in the raw picture a pixel comes from: where the lens puts its ray.
    raw = LENS.project(np.concatenate([told.camera.rays(), np.ones((40, 60, 1))], axis=-1))
    inside = (raw[..., 0] > 1) & (raw[..., 0] < 58) & (raw[..., 1] > 1) & (raw[..., 1] < 38)
    assert inside.sum() > 1000
    assert np.abs(told.first_frame[..., 0] - 4 * raw[..., 0])[inside].max() < 1.01
    assert np.abs(told.first_frame[..., 1] - 6 * raw[..., 1])[inside].max() < 1.01
    within = (raw > (15.5, 10.5)).all(axis=-1) & (raw < (39.5, 29.5)).all(axis=-1)
    differs = told.robot_mask[0] != within
    assert differs.sum() <= 2, "the mask moves with the lens"


def test_without_a_lens_nothing_is_resampled() -> None:
    inputs = Inputs()
    told = observed(inputs).conditioning()
    np.testing.assert_array_equal(told.first_frame, inputs.rgb)
    np.testing.assert_array_equal(told.robot_points, inputs.points)
    np.testing.assert_array_equal(told.first_points[..., 2], inputs.depth_m)
    assert told.frame_count == COUNT


def test_the_tools_path_comes_with_the_pointmaps() -> None:
    inputs = Inputs()
    assert observed(inputs).conditioning().tool is None
    for index, frame in enumerate(inputs.frames):
        frame.tool_frame_id, frame.gripper_opening = "tcp", 0.01 * index
        frame.t_base_tool.translation.x = 0.1 * index
    tool = observed(inputs).conditioning().tool
    assert tool is not None
    np.testing.assert_allclose(tool.T_base_tool[:, 0, 3], 0.1 * np.arange(COUNT))
    np.testing.assert_allclose(tool.opening, 0.01 * np.arange(COUNT))
    inputs.frames[2].tool_frame_id = "other"
    with pytest.raises(ConditioningError, match="frame 2 has 'other'"):
        observed(inputs).conditioning()


@pytest.mark.parametrize("depth", [0.0, -1.0, np.nan, np.inf])
def test_what_a_depth_camera_did_not_measure_is_missing(depth: float) -> None:
    inputs = Inputs()
    inputs.depth_m[4, 6] = depth
    inputs.depth = inputs.bridge.cv2_to_imgmsg(inputs.depth_m, "32FC1", header=inputs.header)
    points = observed(inputs).conditioning().first_points
    assert np.isnan(points[4, 6]).all()
    assert np.isfinite(points).all(axis=-1).sum() == points[..., 0].size - 1
