"""The commands at their edge: what they write, and one line on stderr with exit status 1 on unusable input."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics.cli import pointmaps, robot_description

from .conftest import ARM

ROBOT = "{name: arm, urdf: arm.urdf, tool_link: rod, home: {shoulder: 0, elbow: 0.5, slide: 0.1}}"
CAMERA = """
{name: side, frame_id: optical, parent_frame: base, xyz: [0, -2, 0.4], quaternion_xyzw: [-0.70710678, 0, 0, 0.70710678],
 height: 48, width: 66, K: [60, 0, 32.5, 0, 61, 23, 0, 0, 1]}
"""
MOTION = "time,shoulder,elbow,slide\n0,0,0,0\n2,0.5,1,0.1\n"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    for name, text in (("arm.urdf", ARM), ("robot.yaml", ROBOT), ("camera.yaml", CAMERA), ("motion.csv", MOTION)):
        (tmp_path / name).write_text(text)
    return tmp_path


def command_line(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])


def pointmaps_of(folder: Path, out: Path) -> list[object]:
    named = [("--robot", "robot.yaml"), ("--camera", "camera.yaml"), ("--trajectory", "motion.csv")]
    return [*(part for flag, name in named for part in (flag, folder / name)), "--out", out, "--frames", 11]


def test_the_description_is_printed(inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    command_line(monkeypatch, inputs / "robot.yaml")
    assert robot_description.main() == 0
    assert capsys.readouterr().out == ARM + "\n"


@pytest.mark.parametrize("missing", ["robot.yaml", "arm.urdf"])
def test_a_missing_description_is_one_line(inputs: Path, missing: str, monkeypatch, capsys) -> None:
    (inputs / missing).unlink()
    command_line(monkeypatch, inputs / "robot.yaml")
    assert robot_description.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("k4d-robot-description: ")
    assert missing in err


def test_pointmaps_of_a_trajectory_with_each_frame_counted(inputs: Path, monkeypatch, capsys) -> None:
    command_line(monkeypatch, *pointmaps_of(inputs, inputs / "new" / "out"))
    assert pointmaps.main() == 0
    captured = capsys.readouterr()
    with np.load(inputs / "new" / "out" / "pointmaps.npz") as arrays:
        np.testing.assert_allclose(arrays["times"], np.linspace(0, 2, 11), atol=1e-12)
        np.testing.assert_allclose(arrays["positions"][:, 0], np.linspace(0, 0.5, 11), atol=1e-12)
        assert arrays["points_cam"].shape == (11, 48, 66, 3)
        assert arrays["mask"].any(axis=(1, 2)).all()
        assert arrays["T_cam_base"].shape == (11, 4, 4)
        assert (arrays["points_cam"][0] != arrays["points_cam"][10])[arrays["mask"][0]].any()
    assert json.loads((inputs / "new" / "out" / "summary.json").read_text())["frames"] == 11
    assert "11 frames" in captured.out
    counts = {int(count) for count in re.findall(r"(\d+)/14 ", captured.err)}
    assert {0, 1, 12, 13, 14} <= counts, "one step to read, one per frame, one to write, one to draw"


@pytest.mark.parametrize("taken", ["out", "out/pointmaps.npz/x", "out/summary.json/x"])
def test_an_output_that_cannot_be_written_is_named(inputs: Path, taken: str, monkeypatch, capsys) -> None:
    (inputs / taken).parent.mkdir(parents=True, exist_ok=True)
    (inputs / taken).write_text("a file")
    command_line(monkeypatch, *pointmaps_of(inputs, inputs / "out"))
    assert pointmaps.main() == 1
    assert f"k4d-pointmaps: --out must be a folder that can be written, got {inputs / 'out'}" in capsys.readouterr().err
