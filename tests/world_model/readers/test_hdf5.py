"""HDF5 demonstrations as LIBERO and robomimic lay them out: values, rows, depth, calibration, links and damage."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from k4d_kinematics import ConfiguredRobot
from k4d_kinematics.configuration import from_mapping
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.calibration import CalibrationConfig
from k4d_world_model.dataset.sources.hdf5 import Hdf5Config, Hdf5Source
from k4d_world_model.dataset.sources.hdf5_config import DepthField, MujocoCamera
from k4d_world_model.dataset.sources.opening import read_source_yaml
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField
from k4d_world_model.errors import RejectedEpisodeError, SourceError

PLAIN = Hdf5Config("toy", "obs/agentview_rgb", 20.0, "bottom")
CALIBRATION = CalibrationConfig(
    height=20, width=28, K=(30.0, 0.0, 13.5, 0.0, 30.0, 9.5, 0.0, 0.0, 1.0), xyz=(1.0, 0.0, 0.5),
    quaternion_xyzw=(0.5, -0.5, 0.5, -0.5),
)  # fmt: skip
FILES = {"libero": "put_the_bowl_demo", "robomimic": "lift_ph_image"}


def hashes(pictures: np.ndarray) -> list[str]:
    return [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


def shipped(path: Path) -> Hdf5Config:
    content = read_source_yaml(path)
    content.pop("source")
    return from_mapping(content, Hdf5Config)


@pytest.mark.parametrize("name", ["libero", "robomimic"])
def test_shipped_configurations_read_what_was_written(
    name: str, fixtures: Path, golden: Callable[[str], Any], source_file: Callable[[str], Path], panda: ConfiguredRobot
) -> None:
    source = Hdf5Source(shipped(source_file(name)), fixtures / name, panda)
    assert source.episode_ids() == tuple(f"{name}-{FILES[name]}-{demo}" for demo in golden(name))
    for demo, told in golden(name).items():
        episode = source.read(f"{name}-{FILES[name]}-{demo}", FrameSampling(len(told["sha256"])))
        assert hashes(episode.rgb) == told["sha256"]
        assert episode.times == pytest.approx(np.arange(len(told["sha256"])) / 20.0)
        assert episode.info.success is told["success"]
        assert episode.info.task == FILES[name]
        assert episode.info.robot == "panda"
        assert episode.joints is not None
        assert episode.joints.joint_names[-1] == "panda_finger_joint1"
        np.testing.assert_array_equal(episode.joints.positions[:, :7], told["joints"])
        assert episode.robot_mask is not None
        assert 0.01 < episode.robot_mask.mean() < 0.3
        np.testing.assert_allclose(episode.T_world_base[:3, 3], (-0.66, 0.0, 0.912), atol=1e-12)


def test_libero_tells_its_instruction(fixtures: Path) -> None:
    config = replace(PLAIN, caption="problem_info/language_instruction")
    source = Hdf5Source(config, fixtures / "libero")
    assert (
        source.read("toy-put_the_bowl_demo-demo_2", FrameSampling(2)).info.caption == "put the black bowl on the plate"
    )
    whole = Hdf5Source(replace(PLAIN, caption="problem_info"), fixtures / "libero")
    assert whole.read("toy-put_the_bowl_demo-demo_2", FrameSampling(2)).info.caption.startswith('{"problem_name"')


def test_only_the_flag_turns_pictures(fixtures: Path) -> None:
    bottom = Hdf5Source(PLAIN, fixtures / "libero").read("toy-put_the_bowl_demo-demo_0", FrameSampling(4))
    top = Hdf5Source(replace(PLAIN, first_row="top"), fixtures / "libero").read(
        "toy-put_the_bowl_demo-demo_0", FrameSampling(4)
    )
    np.testing.assert_array_equal(bottom.rgb, top.rgb[:, ::-1])
    assert not np.array_equal(bottom.rgb, top.rgb)


def test_depth_in_metres_becomes_the_scene(
    fixtures: Path, source_file: Callable[[str], Path], panda: ConfiguredRobot
) -> None:
    source = Hdf5Source(shipped(source_file("robomimic")), fixtures / "robomimic", panda)
    episode = source.read("robomimic-lift_ph_image-demo_1", FrameSampling(3))
    v, u = np.mgrid[:18, :26]
    assert episode.scene_points is not None
    assert episode.camera is not None
    for k, frame in enumerate((0, 4, 7)):  # 3.5 rounds to the even 4
        depth = 1.0 + 0.01 * u + 0.02 * v + 0.001 * frame
        np.testing.assert_allclose(episode.scene_points[k, ..., 2], depth, atol=1e-6)
        np.testing.assert_allclose(episode.camera.project(episode.scene_points[k]), np.stack([u, v], -1), atol=1e-4)


def test_depth_buffers_become_metres_upright(libero: Path) -> None:
    near, far = 0.01, 50.0
    v, u = np.mgrid[:20, :28]
    metres = np.tile(0.5 + 0.1 * v + 0.01 * u, (9, 1, 1))
    with h5py.File(libero / "put_the_bowl_demo.hdf5", "a") as file:
        buffer = (far / (far - near)) * (1.0 - near / metres)
        buffer[:, 0, 0] = 1.0
        file["data/demo_0/obs/agentview_depth"] = buffer[:, ::-1].astype(np.float32)[..., None]
    config = replace(PLAIN, depth=DepthField("obs/agentview_depth", near, far), calibration=CALIBRATION)
    episode = Hdf5Source(config, libero).read("toy-put_the_bowl_demo-demo_0", FrameSampling(2))
    assert episode.scene_points is not None
    assert np.isnan(episode.scene_points[:, 0, 0]).all()
    np.testing.assert_allclose(episode.scene_points[0, 1:, 1:, 2], metres[0, 1:, 1:], rtol=2e-4)


def test_another_calibration_comes_from_the_configuration(fixtures: Path) -> None:
    source = Hdf5Source(replace(PLAIN, calibration=CALIBRATION), fixtures / "libero")
    episode = source.read("toy-put_the_bowl_demo-demo_10", FrameSampling(3))
    assert episode.camera is not None
    assert episode.camera.K.tolist() == [[30.0, 0.0, 13.5], [0.0, 30.0, 9.5], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(episode.T_world_cam[1, :3, 3], (1.0, 0.0, 0.5))


def test_chosen_frames_are_read_and_mirrored(fixtures: Path, golden: Callable[[str], Any]) -> None:
    told = golden("libero")["demo_2"]["sha256"]
    source = Hdf5Source(PLAIN, fixtures / "libero")
    assert hashes(source.read("toy-put_the_bowl_demo-demo_2", FrameSampling(3)).rgb) == [told[0], told[2], told[5]]
    mirrored = source.read("toy-put_the_bowl_demo-demo_2", FrameSampling(8, mirror_short=True))
    assert hashes(mirrored.rgb) == [*told, told[5], told[4]]
    with pytest.raises(RejectedEpisodeError, match="6 frames, 49 are needed"):
        source.read("toy-put_the_bowl_demo-demo_2", FrameSampling())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": "obs/front_rgb"},
            "no 'front_rgb'; there are agentview_rgb, ee_pos, eye_in_hand_rgb, gripper_states",
        ),
        ({"image": "obs"}, "/data/demo_0/obs is no data set"),
        ({"image": "obs/ee_pos"}, r"must be uint8 \(T, H, W, 3\).*got float64 \(9, 3\)"),
        ({"joints": (JointField("obs/q", ("a",)),)}, "no 'q'; there are agentview_rgb"),
        ({"joints": (JointField("obs/agentview_rgb", ("a",)),)}, r"must hold numbers \(T,\) or \(T, C\) for 9 frames"),
        ({"success": SuccessField("reward")}, "no 'reward'; there are actions, dones, obs, rewards, states"),
        ({"caption": "language"}, "no attribute 'language' for the caption; there are .*problem_info"),
        ({"caption": "problem_info/text"}, "problem_info: no 'text'; it has domain_name, language_instruction"),
        ({"caption": "num_samples"}, "attribute 'num_samples' must be text"),
        ({"caption": "model_file/text"}, "model_file: no valid JSON"),
        ({"mujoco": MujocoCamera("top")}, "no camera 'top'; the model has agentview, frontview"),
        ({"mujoco": MujocoCamera("agentview", attribute="xml")}, "has no attribute 'xml' with its MuJoCo model"),
        ({"depth": DepthField("obs/ee_pos"), "calibration": CALIBRATION}, r"must hold numbers \(9, 20, 28\) or"),
    ],
)
def test_what_is_missing_lists_what_there_is(fixtures: Path, change: dict[str, Any], message: str) -> None:
    source = Hdf5Source(replace(PLAIN, **change), fixtures / "libero")
    with pytest.raises(SourceError, match=rf"put_the_bowl_demo\.hdf5.*{message}"):
        source.read("toy-put_the_bowl_demo-demo_0", FrameSampling(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": "../*.hdf5"}, "must be a pattern inside the root"),
        ({"calibration": CALIBRATION, "mujoco": MujocoCamera("agentview")}, "give either calibration or mujoco"),
        ({"robot": "panda.yaml"}, "robot 'panda.yaml' needs joints and calibration"),
        ({"depth": DepthField("obs/depth")}, "depth needs calibration or mujoco"),
        ({"rate_hz": -1.0}, "rate_hz must be"),
    ],
)
def test_a_wrong_configuration_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        replace(PLAIN, **change)


def test_wrong_depth_ranges_and_calibrations_are_named() -> None:
    with pytest.raises(SourceError, match=r"must be 0 < near < far, got 0\.5, 0\.1"):
        DepthField("obs/depth", 0.5, 0.1)
    with pytest.raises(SourceError, match="calibration: a quaternion"):
        replace(CALIBRATION, quaternion_xyzw=(0.0, 0.0, 0.0, 0.0))
    with pytest.raises(SourceError, match="calibration: K must be"):
        replace(CALIBRATION, K=(1.0, 2.0))


def test_files_and_demonstrations_come_in_natural_order(fixtures: Path, tmp_path: Path) -> None:
    for folder, stem in (("a", "z_demo"), ("b", "y_demo")):
        (tmp_path / folder).mkdir()
        shutil.copy(fixtures / "libero" / "put_the_bowl_demo.hdf5", tmp_path / folder / f"{stem}.hdf5")
    source = Hdf5Source(replace(PLAIN, files="**/*.hdf5"), tmp_path)
    expected = [f"toy-{stem}-demo_{k}" for stem in ("z_demo", "y_demo") for k in (0, 2, 10)]
    assert list(source.episode_ids()) == expected
    shutil.copy(tmp_path / "a" / "z_demo.hdf5", tmp_path / "b" / "z_demo.hdf5")
    with pytest.raises(SourceError, match=r"b/z_demo\.hdf5 and a/z_demo\.hdf5 both give toy-z_demo-demo_0"):
        Hdf5Source(replace(PLAIN, files="**/*.hdf5"), tmp_path).episode_ids()
    with pytest.raises(SourceError, match=r"no file matches '\*\.h5'"):
        Hdf5Source(replace(PLAIN, files="*.h5"), tmp_path).episode_ids()


def test_names_that_are_no_file_names_are_refused(libero: Path) -> None:
    (libero / "put_the_bowl_demo.hdf5").rename(libero / "put the bowl.hdf5")
    with pytest.raises(SourceError, match=r"put the bowl\.hdf5: an episode_id must be"):
        Hdf5Source(PLAIN, libero).episode_ids()
