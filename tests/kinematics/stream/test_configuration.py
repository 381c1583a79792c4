"""YAML into frozen dataclasses: strict about keys, types and values, and clear about them."""

from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics.configuration import CameraConfig, RobotConfig, read_configuration
from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.robot_configuration import configured_robot

from .conftest import ARM

CAMERA = """
name: side
frame_id: side_optical
parent_frame: base
xyz: [1, 2.5, 0]
quaternion_xyzw: [0.0, 0.0, 0.0, 1.0]
height: 48
width: 66
K: [60, 0, 32.5, 0, 61, 23, 0, 0, 1]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    return path


def test_reads_a_camera_whose_whole_numbers_are_floats(tmp_path: Path) -> None:
    config = read_configuration(written(tmp_path, CAMERA), CameraConfig)
    assert config.xyz == (1.0, 2.5, 0.0)
    camera = config.camera()
    np.testing.assert_array_equal(camera.matrix, [[60, 0, 32.5], [0, 61, 23], [0, 0, 1]])
    assert (camera.image_height, camera.image_width, camera.frame_id) == (48, 66, "side_optical")
    np.testing.assert_array_equal(config.T_parent_cam()[:3, 3], [1.0, 2.5, 0.0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("parent_frame:", "parent_fram:"), "unknown key 'parent_fram'; did you mean 'parent_frame'"),
        (("height: 48", "height: tall"), "height"),
        (("name: side", ""), "name"),
        (("xyz: [1, 2.5, 0]", "xyz: [1, 2.5]"), "xyz must be 3 numbers, got [1, 2.5]"),
        (("[0.0, 0.0, 0.0, 1.0]", "[0.0, 0.0, 1.0]"), "quaternion_xyzw must be 4 numbers, got [0.0, 0.0, 1.0]"),
        (("xyz: [1, 2.5, 0]", "xyz: [1, 2.5, 0, 4]"), "xyz must be 3 numbers, got [1, 2.5, 0, 4]"),
        (("xyz: [1, 2.5, 0]", "xyz: [1, true, 0]"), "got True where one is expected"),
        (("xyz: [1, 2.5, 0]", "xyz: 1"), "xyz must be 3 numbers, got 1"),
        (("K: [60,", "K: [sixty,"), "K must be numbers, got ['sixty', 0"),
        (("width: 66", "width: 66.5"), "width"),
        (("K: [60,", "K: [[60],"), "K"),
    ],
)
def test_names_the_file_and_what_is_wrong(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = written(tmp_path, CAMERA.replace(*change))
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(path, CameraConfig)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "just text", "name: [", "name: !!python/object:os.system {}", "[" * 5000, "a: 2001-13-45"]
)
def test_refuses_what_is_no_plain_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"one\.yaml"):
        read_configuration(written(tmp_path, text), CameraConfig)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_configuration(tmp_path / "nowhere.yaml", CameraConfig)


ROBOT = """
name: arm
urdf: arm.urdf
tool_link: rod
home: {shoulder: 0, elbow: 0.5, slide: 0.1}
"""


def test_a_robot_is_found_beside_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "arm.urdf").write_text(ARM)
    configured = configured_robot(written(tmp_path, ROBOT))
    np.testing.assert_array_equal(configured.home, [0.0, 0.5, 0.1])
    assert configured.tool_link == "rod"
    for wrong, reason in ((ROBOT.replace("slide: 0.1", ""), "slide"), (ROBOT.replace("rod", "rot"), "rot")):
        with pytest.raises(ConfigurationError, match=reason):
            configured_robot(written(tmp_path, wrong))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("geometry: vizual", "geometry must be one of 'visual', 'collision', got 'vizual'"),
        ("triangle_fraction: 0.0", r"\(0, 1\]"),
    ],
)
def test_a_robots_surface_has_valid_values(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read_configuration(written(tmp_path, f"{ROBOT}{line}\n"), RobotConfig)
