"""The demonstration from end to end: the real graph, its recording, its pictures and its figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rosbags.rosbag2 import StoragePlugin, Writer

from k4d_bringup.bag_report import TopicReport
from k4d_bringup.cli import demo as demo_program
from k4d_bringup.errors import DemoError
from k4d_bringup.message_types import typestore_for
from k4d_bringup.prediction_report import SUMMARY_TOPIC, check_prediction
from k4d_bringup.ros.installation import share_folders
from k4d_kinematics.recordings import read_recorded_trajectory
from k4d_world_model.rollout_files import read_recorded, read_rollout

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ("psnr", "psnr_changed", "xyz_psnr_changed", "robot_error_mm")
LIVE = {
    f"/{camera}/robot/{topic}" for camera in ("front", "wrist") for topic in ("pointmap", "mask", "preview", "points")
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo")
    program = Path(sys.prefix) / "bin" / "k4d-demo"
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [program, "--out", out], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def test_every_topic_came_and_nothing_was_dropped(demo: tuple[Path, str]) -> None:
    summary = json.loads((demo[0] / "summary.json").read_text())
    topics = {topic["topic"]: topic for topic in summary["topics"]}
    assert set(topics) >= LIVE
    for topic in ("robot/pointmap", "image_raw", "depth"):
        assert topics[f"/front/{topic}"]["messages"] == 49
    dropped = {name: topic["dropped"] for name, topic in topics.items() if topic["dropped"]}
    assert not dropped, demo[1]
    for camera in ("front", "wrist"):
        assert topics[f"/{camera}/robot/plan/frames"]["messages"] == 49
        assert topics[f"/{camera}/robot/mask"]["robot_pixels"] > 5000
    for topic in ("/front/predicted/frames", "/playback/predicted/image", "/playback/joint_states"):
        assert topics[topic]["messages"] == 49
    assert topics["/planned_trajectory"]["messages"] == topics["/front/predicted/rollout"]["messages"] == 1
    assert all(name in demo[1] for name in LIVE), "the table lacks a topic"


def test_its_prediction_is_compared_with_what_the_episode_did(demo: tuple[Path, str]) -> None:
    summary = json.loads((demo[0] / "summary.json").read_text())
    rollout = read_rollout(demo[0] / "rollout")
    assert summary["model"]["name"] == rollout.provenance.model_name
    for name in ("model", "baseline"):
        assert all(isinstance(summary[name][figure], float) for figure in FIGURES)
    # The baseline by its definition: over the whole picture without the first frame, in the pixels of the recording.
    happened = read_recorded(demo[0] / "rollout")
    assert happened is not None
    error = np.mean((rollout.rgb[1:].astype(float) - happened.rgb[1:]) ** 2)
    assert summary["model"]["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
    assert summary["baseline"]["robot_error_mm"] < 0.01, "the baseline carries the robot's own points"
    assert summary["model"]["robot_error_mm"] < 10.0
    assert summary["model"]["name"] == "tiny"
    assert summary["model"]["psnr_changed"] > summary["baseline"]["psnr_changed"] + 3.0, "the shadows are not predicted"
    gain = summary["model"]["xyz_psnr_changed"] - summary["baseline"]["xyz_psnr_changed"]
    assert gain > 4.0, "neither what the robot carries nor what it hid is predicted"
    assert f"k4d-view {demo[0]}/rollout" in demo[1]
    assert "RGB PSNR, changed region (dB)" in demo[1]


def test_its_prediction_is_of_the_recorded_motion(demo: tuple[Path, str]) -> None:
    rollout = read_rollout(demo[0] / "recording")
    motion = read_recorded_trajectory(ROOT / "examples/panda_pick_place", "/joint_states")
    even = motion.resample_uniform(49)
    assert rollout.joints is not None
    assert rollout.joints.joint_names == even.joint_names
    np.testing.assert_allclose(rollout.joints.positions, even.positions, atol=1e-6)
    np.testing.assert_allclose(rollout.times, even.times - even.times[0], atol=1e-6)


def test_its_prediction_is_drawn_beside_truth_and_baseline(demo: tuple[Path, str]) -> None:
    sheet = np.asarray(Image.open(demo[0] / "prediction.png")).astype(int)
    assert sheet.shape == (6 * 160, 6 * 240, 3)
    truth, model, baseline = np.split(sheet[:480], 3)
    assert np.abs(truth[:, :240] - model[:, :240]).mean() < 0.01, "the first frame is given"
    assert 1.0 < np.abs(truth[:, 240:] - baseline[:, 240:]).mean() < 30.0


def test_its_robot_pointmaps_lie_on_the_recorded_depth(demo: tuple[Path, str]) -> None:
    (agreement,) = json.loads((demo[0] / "summary.json").read_text())["agreement"]
    assert (agreement["camera"], agreement["frames"]) == ("front", 49)
    assert agreement["pixels"] > 49 * 10_000
    assert agreement["median_mm"] < 0.05
    assert agreement["p99_mm"] < 0.5
    assert f"differ by {agreement['median_mm']:.3f} mm (median)" in demo[1]


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    program = Path(sys.prefix) / "bin" / "k4d-demo"
    done = subprocess.run(
        [program, "--out", tmp_path / "file"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"k4d-demo: --out must name a folder that exists or can be made, got {tmp_path}/file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_model_that_is_not_there_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ncheckpoint: weights\n")
    monkeypatch.setattr(demo_program, "launch", lambda *_: pytest.fail("the graph was started"))
    words = ["k4d-demo", "--out", str(tmp_path / "out"), "--model", str(tmp_path / "mine.yaml")]
    monkeypatch.setattr(sys, "argv", words)
    assert demo_program.main() == 1
    assert capsys.readouterr().err == (
        f"k4d-demo: the model {tmp_path}/mine.yaml needs {tmp_path}/weights, which does not exist\n"
    )


def test_a_prediction_that_failed_is_told_with_its_reason(tmp_path: Path) -> None:
    store = typestore_for(["k4d_msgs/msg/Rollout"], share_folders())
    kinds = store.types
    header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](0, 0), "")
    duration = kinds["builtin_interfaces/msg/Duration"](0, 0)
    message = kinds["k4d_msgs/msg/Rollout"](
        header, "", "plan", "front", 0, [], 0, 0, "", "", "", 0, duration, False, 0.0, [], 2, "no robot in sight"
    )
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection(SUMMARY_TOPIC, "k4d_msgs/msg/Rollout", typestore=store)
        writer.write(topic, 1, store.serialize_cdr(message, "k4d_msgs/msg/Rollout"))
    with pytest.raises(DemoError, match=r"the prediction failed, .* says: no robot in sight"):
        check_prediction(tmp_path / "bag", store)


class Predicted:
    """Stands in for a report on a prediction."""

    def as_dict(self) -> dict[str, object]:
        return {"model": {"psnr": 1.0}}


def test_drops_make_it_fail_after_everything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = (
        TopicReport("/front/robot/mask", "sensor_msgs/msg/Image", 9, 30.0, expected=11, dropped=2),
        TopicReport("/front/robot/points", "sensor_msgs/msg/PointCloud2", 11, 30.0, expected=11, dropped=0),
    )
    for name, answer in (
        ("launch", None), ("recorded_types", []), ("typestore_for", None), ("report_on", reports),
        ("write_pictures", 7), ("depth_agreement", None), ("check_prediction", None),
        ("report_prediction", Predicted()), ("prediction_table", "a table"),
    ):  # fmt: skip
        monkeypatch.setattr(demo_program, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(sys, "argv", ["k4d-demo", "--out", str(tmp_path / "out")])
    assert demo_program.main() == 1
    printed = capsys.readouterr()
    assert printed.err == "k4d-demo: messages were dropped: /front/robot/mask (2 of 11)\n"
    assert "/front/robot/points" in printed.out
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["topics"][0]["dropped"] == 2


def test_its_pictures_show_the_robot(demo: tuple[Path, str]) -> None:
    sheet = np.asarray(Image.open(demo[0] / "contact_sheet.png"))
    assert sheet.shape == (3 * 240 + 2 * 202, 5 * 360, 3)
    image, *robots = np.split(sheet, [240, 480, 720, 922])
    assert (image.max(axis=-1) > 20).mean() > 0.9
    green = (image[..., 1] > 150) & (image[..., [0, 2]].max(axis=-1) < 100)
    assert 0.001 < green.mean() < 0.05, "the image has no outline of the robot"
    for row in robots:
        assert 0.01 < (row.max(axis=-1) > 40).mean() < 0.6
    with av.open(str(demo[0] / "pointmaps.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == json.loads((demo[0] / "summary.json").read_text())["pictured_frames"] == 49
    assert frames[0].shape == (480, 3 * 720 + 2 * 480, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1.0, "nothing moved"


def test_it_leaves_no_process(demo: tuple[Path, str]) -> None:
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listing.splitlines() if str(demo[0]) in line]
    assert not ours
