"""What the page shows is checked before a server starts, and every refusal is named."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import configured_robot
from k4d_kinematics.errors import JointStateError
from k4d_world_model.cli import view
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import write_rollout
from k4d_world_model.viewer.contents import Contents, read_contents


def test_folder_and_recording_show_the_same(rollout: Rollout, recorded: Episode, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_rollout(out, rollout, recorded=recorded)
    folder, alone = read_contents(out), read_contents(out / "rollout.mcap")
    both = read_contents(out / "rollout.mcap", recorded=out)
    assert alone.recorded is None
    for contents in (folder, both):
        assert contents.recorded is not None
        assert (contents.recorded.colours[2] == folder.predicted.colours[2][:, ::-1]).all()
    for contents in (folder, alone, both):
        assert all(map(np.array_equal, contents.predicted.points_base, folder.predicted.points_base))
        assert dict(contents.facts)["metric residual"] == "4.2 mm on 99 pixels"
        assert contents.aspect == 1.5
        assert np.tan(contents.vertical_fov / 2) == pytest.approx(10 / 24)
        assert contents.point_size == pytest.approx(1 / 24, rel=1e-3)


def test_what_cannot_be_shown_is_named(rollout: Rollout, recorded: Episode, robot_yaml: Path, tmp_path: Path) -> None:
    robot = configured_robot(robot_yaml)
    plain, other = tmp_path / "plain", tmp_path / "other"
    write_rollout(plain, replace(rollout, joints=None))
    with pytest.raises(RolloutError, match="nothing of the robot's joints"):
        read_contents(plain, robot=robot)
    with pytest.raises(RolloutError, match="without a recorded future"):
        read_contents(plain, recorded=plain)
    short = Rollout(
        rollout.rgb[:3], rollout.points[:3], rollout.valid[:3], rollout.times[:3], rollout.camera,
        rollout.T_cam_base[:3], rollout.fit, rollout.provenance,
    )  # fmt: skip
    write_rollout(other, rollout, recorded=recorded)
    write_rollout(plain, short)
    with pytest.raises(RolloutError, match=r"\(3, 20, 30\), got \(7, 20, 30\)"):
        read_contents(plain, recorded=other)
    robot_yaml.with_name("arm.urdf").write_text(robot_yaml.with_name("arm.urdf").read_text().replace("turn", "spin"))
    robot_yaml.write_text(robot_yaml.read_text().replace("turn", "spin"))
    with pytest.raises(JointStateError, match="spin"):
        read_contents(other, robot=configured_robot(robot_yaml))


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    script = "import sys; from k4d_world_model.cli.view import main; sys.exit(main())"
    words = [sys.executable, "-c", script, str(tmp_path / "nowhere")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "k4d-view:" in done.stderr
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


class NoPage:
    """Stands for a page, so that nothing is opened to other machines."""

    port = 1234

    def __init__(self, contents: Contents, *, host: str, port: int) -> None:
        pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True), ("192.0.2.7", True)])
def test_other_machines_come_with_a_warning(
    host: str,
    warned: bool,
    rollout: Rollout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(view, "Page", NoPage)
    write_rollout(tmp_path, rollout)
    view.serve(view.Arguments(tmp_path, host=host))
    shown = capsys.readouterr()
    assert ("warning" in shown.err) == warned
    assert ":1234" in shown.out
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(RolloutError):
        view.serve(view.Arguments(tmp_path, host=host))
