"""What a calibration of a recording refuses, by name."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from k4d_kinematics import CameraConfig, read_configuration, se3
from k4d_kinematics.errors import CalibrationError, PoseSetError
from k4d_world_model.calibration.calibration_files import write_calibration
from k4d_world_model.calibration.recorded_calibration import CalibrationFiles, calibrate_recording
from k4d_world_model.calibration.recorded_poses import PoseChoice
from k4d_world_model.errors import RejectedEpisodeError

ROOT = Path(__file__).resolve().parents[3]
INPUTS = (ROOT / "examples/panda_pick_place", ROOT / "config/robots/panda.yaml", ROOT / "config/cameras/front.yaml")


def test_unusable_recordings_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="must be a folder of PNG files"):
        calibrate_recording(CalibrationFiles(*INPUTS, masks=tmp_path / "none"))
    with pytest.raises(RejectedEpisodeError, match=r"no topic /no/info; there are .*/front/camera_info"):
        calibrate_recording(CalibrationFiles(*INPUTS, camera_info_topic="/no/info"))
    with pytest.raises(PoseSetError, match="5 still and different poses are needed, got"):
        calibrate_recording(CalibrationFiles(*INPUTS))


def test_a_recorded_camera_is_found_from_a_wrong_guess(tmp_path: Path) -> None:
    truth = _recorded_place()
    guess = truth @ se3.from_xyz_rpy((0.02, -0.015, 0.015), (0.02, -0.02, 0.015))
    config = yaml.safe_load(INPUTS[2].read_text())
    position, quaternion_xyzw = se3.to_xyzw(guess)
    config |= {"xyz": position.tolist(), "quaternion_xyzw": quaternion_xyzw.tolist()}
    (tmp_path / "front.yaml").write_text(yaml.safe_dump(config))
    files = CalibrationFiles(INPUTS[0], INPUTS[1], tmp_path / "front.yaml")
    # The simulated robot never stands still, but its pictures and joints have one clock.
    calibrated = calibrate_recording(files, PoseChoice(8, 2.0, 0.03), cache_dir=tmp_path)
    written = write_calibration(tmp_path / "out", calibrated, files)
    error = se3.inverse(truth) @ written.T_parent_cam()
    assert np.linalg.norm(error[:3, 3]) < 0.008
    assert np.degrees(np.arccos((np.trace(error[:3, :3]) - 1.0) / 2.0)) < 0.35
    again = read_configuration(tmp_path / "out" / "front.yaml", CameraConfig)
    np.testing.assert_allclose(again.T_parent_cam(), written.T_parent_cam(), atol=1e-9)
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(calibrated.views)
    launch = (tmp_path / "out" / "static_transform.launch.xml").read_text()
    assert "static_transform_publisher" in launch


def _recorded_place() -> se3.Array:
    """T_base_cam (4, 4) as the recording's /tf_static says."""
    frames = {}
    with AnyReader([INPUTS[0]]) as reader:
        connections = [connection for connection in reader.connections if connection.topic == "/tf_static"]
        for connection, _, raw in reader.messages(connections=connections):
            for item in reader.deserialize(raw, connection.msgtype).transforms:
                at, turn = item.transform.translation, item.transform.rotation
                T = se3.from_xyzw((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w))
                frames[item.child_frame_id] = (item.header.frame_id, T)

    def from_world(frame: str) -> se3.Array:
        parent, T = frames.get(frame, ("", np.eye(4)))
        return from_world(parent) @ T if parent else T

    return se3.inverse(from_world("panda_link0")) @ from_world("front_camera_optical_frame")
