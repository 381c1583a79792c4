"""Cameras and bases of MuJoCo models against MuJoCo's own kinematics and projection."""

import mujoco
import numpy as np
import pytest

from k4d_world_model.dataset.sources.mujoco_calibration import mujoco_calibration
from k4d_world_model.errors import SourceError

MODEL = """<mujoco>
  <worldbody>
    <camera name="front" pos="1.2 0.3 0.9" quat="1.2 0.6 0.5 1.1"/>
    <body name="pillar" pos="0.4 -0.3 0.1" quat="0.8 0.1 -0.4 0.3">
      <geom size="0.1"/>
      <body name="shelf" pos="0.1 0.2 0.5" quat="0.3 -0.5 0.2 0.7">
        <geom size="0.1"/>
        <camera name="high" pos="-0.3 0.1 0.2" quat="0.1 0.7 0.6 -0.2" fovy="63"/>
        <body name="base" pos="0.05 0.06 0.07" quat="0.9 0.3 0.1 0.2"><geom size="0.1"/></body>
      </body>
    </body>
    <body name="door"><joint name="hinge"/><geom size="0.1"/>
      <camera name="handle"/><body name="hand"><geom size="0.1"/></body>
    </body>
    <camera name="turned" euler="0 0 1"/>
    <camera name="watching" mode="targetbody" target="door"/>
    <camera name="lens" sensorsize="0.01 0.01" resolution="40 30" focal="0.02 0.02"/>
    <body name="carried" mocap="true"><geom size="0.1"/></body>
    <camera name="wide" fovy="180"/>
  </worldbody>
</mujoco>"""


@pytest.mark.parametrize("camera", ["front", "high"])
def test_poses_and_lens_are_mujocos(camera: str) -> None:
    compiled = MODEL.replace('fovy="180"', "")
    model = mujoco.MjModel.from_xml_string(compiled)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = mujoco_calibration(MODEL, camera, "base", 30, 44, "here")
    T_world_base = np.eye(4)
    T_world_base[:3, :3], T_world_base[:3, 3] = data.body("base").xmat.reshape(3, 3), data.body("base").xpos
    np.testing.assert_allclose(found.T_world_base, T_world_base, atol=1e-12)
    right, up, back = data.cam(camera).xmat.reshape(3, 3).T
    np.testing.assert_allclose(found.T_world_cam[:3, :3], np.stack([right, -up, -back], axis=1), atol=1e-12)
    np.testing.assert_allclose(found.T_world_cam[:3, 3], data.cam(camera).xpos, atol=1e-12)
    # The borders of the picture's top and bottom rows, half a pixel beyond their centres, span the field of view.
    top, bottom = ((v - found.camera.K[1, 2]) / found.camera.K[1, 1] for v in (-0.5, 29.5))
    assert np.arctan(bottom) - np.arctan(top) == pytest.approx(np.deg2rad(model.cam(camera).fovy[0]))
    assert found.camera.K[0, 0] == found.camera.K[1, 1]
    assert found.camera.K[0, 2] == 21.5


@pytest.mark.parametrize(
    ("camera", "base", "message"),
    [
        ("top", "base", "here: no camera 'top'; the model has front, handle, high, lens, turned, watching, wide"),
        ("front", "robot", "here: no body 'robot'; the model has base, carried, door, hand, pillar, shelf"),
        ("handle", "base", "here: body 'door' moves"),
        ("front", "hand", "here: body 'door' moves"),
        ("watching", "base", "here: camera 'watching' moves"),
        ("front", "carried", "here: body 'carried' moves"),
        ("turned", "base", "here: camera 'turned' has its orientation as euler, only quat is supported"),
        ("lens", "base", "here: camera 'lens' has focal, only fovy is supported"),
        ("wide", "base", "must have a fovy between 0 and 180 degrees, got 180.0"),
    ],
)
def test_what_cannot_be_read_is_named(camera: str, base: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        mujoco_calibration(MODEL, camera, base, 30, 44, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_1.xml", "well-formed XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><mujoco/>', "without a document type"),
        ("<mujoco/>", "no camera 'front'; the model has none"),
        (MODEL.replace("1.2 0.3 0.9", "1.2 0.3"), "3 finite numbers"),
        (MODEL.replace("1.2 0.6 0.5 1.1", "0 0 0 0"), "no direction"),
    ],
)
def test_damaged_models_are_named(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=f"here: .*{message}"):
        mujoco_calibration(text, "front", "base", 30, 44, "here")
