"""What a calibration of a recording refuses, by name."""

from pathlib import Path

import pytest

from k4d_kinematics.errors import CalibrationError, PoseSetError
from k4d_world_model.calibration.recorded_calibration import CalibrationFiles, calibrate_recording
from k4d_world_model.errors import RejectedEpisodeError

ROOT = Path(__file__).resolve().parents[3]
INPUTS = (ROOT / "examples/panda_pick_place", ROOT / "config/robots/panda.yaml", ROOT / "config/cameras/front.yaml")


def test_unusable_recordings_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="either --masks or --mask-source"):
        CalibrationFiles(*INPUTS)
    with pytest.raises(CalibrationError, match="must be a folder of PNG files"):
        calibrate_recording(CalibrationFiles(*INPUTS, masks=tmp_path / "none"))
    with pytest.raises(RejectedEpisodeError, match=r"no topic /no/info; there are .*/front/camera_info"):
        calibrate_recording(CalibrationFiles(*INPUTS, mask_source="depth", camera_info_topic="/no/info"))
    with pytest.raises(PoseSetError, match="5 still and different poses are needed, got"):
        calibrate_recording(CalibrationFiles(*INPUTS, mask_source="depth"))
