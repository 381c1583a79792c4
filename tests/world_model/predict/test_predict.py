"""The command from its files to its files, with the baseline as its model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from k4d_kinematics import CameraConfig, Renderer, RenderSettings, configured_robot, read_configuration
from k4d_kinematics.errors import JointStateError
from k4d_world_model.cli import predict as command
from k4d_world_model.errors import ConditioningError, RobotNotVisibleError, SourceError, WorldModelError
from k4d_world_model.rollout_files import read_recorded, read_rollout
from k4d_world_model.rollout_start import PictureFiles, start_of_picture

FRAMES, HEIGHT, WIDTH = 5, 32, 48


def with_picture(world: Any, **changes: Any) -> command.Arguments:
    """Arguments that start from the episode's first picture and depth."""
    Image.fromarray(world.episode.rgb[0]).save(world["picture.png"])
    np.save(world["depth.npy"], world.episode.scene_points[0, ..., 2])
    arguments = command.Arguments(
        out=world["out"], model=world["model.yaml"], image=world["picture.png"], trajectory=world["motion.csv"],
        robot=world["arm.yaml"], camera=world["camera.yaml"], depth=world["depth.npy"],
    )  # fmt: skip
    return replace(arguments, **changes)


def with_episode(world: Any, **changes: Any) -> command.Arguments:
    arguments = command.Arguments(
        out=world["out"], model=world["model.yaml"], episode=world["bag"], source=world["source.yaml"]
    )
    return replace(arguments, **changes)


def test_a_picture_and_a_motion_become_a_future(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command.predict(with_picture(world))
    rollout = read_rollout(world["out"])
    assert rollout.rgb.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert rollout.times == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert rollout.joints is not None
    assert rollout.joints.positions[:, 0] == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8])
    assert rollout.camera.matrix[0, 0] == pytest.approx(60 / 2)
    T_cam_base = np.linalg.inv(world.episode.T_world_cam[0])
    np.testing.assert_allclose(rollout.T_cam_base, np.tile(T_cam_base, (FRAMES, 1, 1)), atol=1e-6)
    # The baseline moves the yellow arm: its middle in the last frame is where the episode's was.
    yellow = (rollout.rgb[-1][..., 2] < 60) & (rollout.rgb[-1][..., 0] > 100)
    truth = world.episode.rgb[-1][1::2, 1::2]
    really = (truth[..., 2] < 60) & (truth[..., 0] > 100)
    assert (yellow & really).sum() > 0.7 * (yellow | really).sum() > 0
    shown = capsys.readouterr().out
    assert f"{FRAMES} frames of {HEIGHT} x {WIDTH}" in shown
    assert "metric residual" in shown
    assert "PSNR" not in shown
    assert read_recorded(world["out"]) is None
    assert json.loads(world["out/summary.json"].read_text())["base_frame"] == "base"


def test_depth_in_millimetres_is_depth_in_metres(world: Any) -> None:
    depth_mm = np.round(1000 * world.episode.scene_points[0, ..., 2]).astype(np.uint16)
    depth_mm[:4, :5] = 0
    Image.fromarray(depth_mm).save(world["depth.png"])
    command.predict(with_picture(world, depth=world["depth.png"]))
    points = read_rollout(world["out"]).points
    command.predict(with_picture(world))
    # What the missing corner is filled with spreads a little.
    assert np.abs(points - read_rollout(world["out"]).points)[:, 8:].max() < 0.005


def test_a_part_of_the_motion(world: Any) -> None:
    command.predict(with_picture(world, start=0.5, duration=1.0))
    rollout = read_rollout(world["out"])
    assert rollout.joints is not None
    assert rollout.times == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert rollout.joints.positions[[0, -1], 0] == pytest.approx([-0.4, 0.4])


def test_a_lens_is_rectified(world: Any) -> None:
    world["camera.yaml"].write_text(world["camera.yaml"].read_text() + "D: [-0.4, 0.1, 0.0, 0.0]\n")
    robot, config = configured_robot(world["arm.yaml"]), read_configuration(world["camera.yaml"], CameraConfig)
    T_cam_link = np.linalg.inv(config.T_parent_cam()) @ robot.robot.forward_kinematics(np.array([-0.8]))
    raw = Renderer(robot.surface, config.camera(), RenderSettings(rgb=True, shading="none")).render(T_cam_link)
    Image.fromarray(raw.rgb).save(world["raw.png"])
    np.save(world["raw.npy"], np.nan_to_num(raw.points_cam[..., 2]))
    files = PictureFiles(
        world["raw.png"], world["motion.csv"], world["arm.yaml"], world["camera.yaml"], world["raw.npy"]
    )
    conditioning = start_of_picture(files, FRAMES).conditioning
    assert not conditioning.camera.is_distorted
    shown, rendered = conditioning.first_frame.max(axis=-1) > 90, conditioning.robot_mask[0]
    assert (shown & rendered).sum() > 0.94 * (shown | rendered).sum() > 100
    assert conditioning.first_points is not None
    off = np.linalg.norm(conditioning.first_points - conditioning.robot_points[0], axis=-1)
    assert np.nanmedian(off) < 0.005
    distorted = raw.rgb.max(axis=-1) > 90
    assert (distorted & rendered).sum() < 0.9 * (distorted | rendered).sum()


def test_an_episode_is_compared_with_its_own_course(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command.predict(with_episode(world))
    rollout, recorded = read_rollout(world["out"]), read_recorded(world["out"])
    summary = json.loads(world["out/summary.json"].read_text())
    assert summary["stamp_ns"] == 1_760_000_000_250_000_000
    assert rollout.provenance.robot_sha256
    assert rollout.joints is not None
    assert rollout.joints.positions[:, 0] == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8])
    assert recorded is not None
    chosen = world.episode.rgb[::2].reshape(FRAMES, HEIGHT, 2, WIDTH, 2, 3).mean(axis=(2, 4))
    assert np.abs(recorded.rgb - chosen).max() <= 0.51
    errors = np.abs(rollout.points - recorded.points)[recorded.valid & rollout.valid]
    assert np.median(errors) < 0.01
    shown = capsys.readouterr().out
    assert "PSNR" in shown
    assert f"k4d-view {world['out']}" in shown


def refusals(world: Any) -> dict[str, tuple[command.Arguments, type[Exception], str]]:
    """Arguments by what is wrong with them, and how that is called."""
    Image.fromarray(world.episode.rgb[0, :-1]).save(world["low.png"])
    Image.fromarray(world.episode.rgb[0, ..., 0]).save(world["grey8.png"])
    np.save(world["whole.npy"], np.ones((64, 96), np.int64))
    np.savez(world["archive.npz"], a=np.ones(3))
    world["archive.npz"].rename(world["archive.npy"])
    world["text.png"].write_text("no picture")
    content = world["camera.yaml"].read_text().splitlines()
    start = content.index("xyz:")
    world["behind.yaml"].write_text(
        "\n".join([*content[: start + 1], "- 9.0", "- 9.0", "- -9.0", *content[start + 4 :]])
    )
    world["other.csv"].write_text("time,elbow\n0,0\n1,1\n")
    both = with_picture(world, episode=world["bag"])
    return {
        "both": (both, ConditioningError, "give either --episode, or --image"),
        "nothing": (command.Arguments(out=world["out"], model=world["model.yaml"]), ConditioningError, "none of them"),
        "no camera": (with_picture(world, camera=None), ConditioningError, "got --image, --trajectory, --robot, --dep"),
        "size": (with_picture(world, image=world["low.png"]), ConditioningError, r"\(64, 96\), got \(63, 96\)"),
        "no image": (with_picture(world, image=world["none.png"]), SourceError, "none.png"),
        "text": (with_picture(world, image=world["text.png"]), SourceError, "text.png"),
        "depth bits": (with_picture(world, depth=world["grey8.png"]), ConditioningError, "16 bits"),
        "depth type": (with_picture(world, depth=world["whole.npy"]), ConditioningError, "int64"),
        "depth archive": (with_picture(world, depth=world["archive.npy"]), ConditioningError, "archive"),
        "depth text": (with_picture(world, depth=world["text.png"]), ConditioningError, "text.png"),
        "no depth": (with_picture(world, depth=None), ConditioningError, "depth"),
        "late": (with_picture(world, start=2.0), ConditioningError, "lasts 2 s"),
        "early": (with_picture(world, start=-0.1), ConditioningError, "start must be >= 0"),
        "long": (with_picture(world, start=1.0, duration=1.1), ConditioningError, "duration 1.1"),
        "joints": (with_picture(world, trajectory=world["other.csv"]), JointStateError, "turn"),
        "view": (with_picture(world, camera=world["behind.yaml"]), RobotNotVisibleError, "robot"),
        "steps": (with_picture(world, steps=3), WorldModelError, "1 step"),
        "no bag": (with_episode(world, episode=world["nowhere"]), SourceError, "nowhere"),
        "two bags": (with_episode(world, episode=world["."]), SourceError, "one recording, got 2"),
        "no robot": (with_episode(world, source=world["bare.yaml"]), SourceError, "robot"),
    }  # fmt: skip


def test_bad_input_is_named_and_nothing_is_written(world: Any) -> None:
    world["second.mcap"].write_bytes((world["bag"] / "bag.mcap").read_bytes())
    source = world["source.yaml"].read_text()
    world["bare.yaml"].write_text(source.replace("robot: arm.yaml\n", ""))
    for arguments, kind, message in refusals(world).values():
        with pytest.raises(kind, match=message):
            command.predict(arguments)
    assert not world["out"].exists()


def test_the_command_ends_with_one_line_and_no_trace(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["k4d-predict", "--out", str(world["out"]), "--model", str(world["none.yaml"]),
                                     "--episode", str(world["bag"])])  # fmt: skip
    assert command.main() == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("k4d-predict: ")
    assert "none.yaml" in shown.err
    assert not Path(world["out"]).exists()
