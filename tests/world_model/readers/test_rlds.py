"""RLDS data sets written by tensorflow-datasets, read without it: equal to what it reads, and damage is named."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources import encoded_pictures
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField
from k4d_world_model.dataset.sources.rlds import RldsConfig, RldsSource
from k4d_world_model.dataset.sources.rlds_schema import read_features
from k4d_world_model.errors import RejectedEpisodeError, SourceError

PLAIN = RldsConfig("plain", "steps/image", 4.0)
DATA_SETS = {"droid": "droid", "bridge": "bridge_dataset", "rt1": "fractal20220817_data"}


def hashes(pictures: np.ndarray) -> list[str]:
    return [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


@pytest.mark.parametrize("name", DATA_SETS)
def test_published_field_maps_read_what_tensorflow_datasets_reads(
    name: str, fixtures: Path, golden: Callable[[str], Any], source_file: Callable[[str], Path]
) -> None:
    source = open_source(source_file(name), root=fixtures / DATA_SETS[name] / "1.0.0")
    expected = [episode for split in golden(DATA_SETS[name]).values() for episode in split]
    assert len(source.episode_ids()) == len(expected)
    for episode_id, told in zip(source.episode_ids(), expected, strict=True):
        episode = source.read(episode_id, FrameSampling(told["frames"]))
        assert list(episode.rgb.shape[1:]) == told["shape"]
        assert hashes(episode.rgb) == told["sha256"]
        assert episode.info.caption == told["text"]
        assert episode.times == pytest.approx(np.arange(told["frames"]) / {"droid": 15, "bridge": 5, "rt1": 3}[name])
        assert (episode.joints is None) == (name != "droid")


def test_droid_gives_joints_gripper_and_outcome(
    fixtures: Path, golden: Callable[[str], Any], source_file: Callable[[str], Path]
) -> None:
    source = open_source(source_file("droid"), root=fixtures / "droid" / "1.0.0")
    outcomes = []
    for episode_id, told in zip(source.episode_ids(), golden("droid")["train"], strict=True):
        episode = source.read(episode_id, FrameSampling(told["frames"]))
        assert episode.joints is not None
        assert episode.joints.joint_names == (*(f"panda_joint{k}" for k in range(1, 8)), "panda_finger_joint1")
        values = told["values"]
        np.testing.assert_array_equal(episode.joints.positions[:, :7], values["observation/joint_position"])
        opening = 0.04 * (1.0 - np.array(values["observation/gripper_position"])[:, 0])
        np.testing.assert_allclose(episode.joints.positions[:, 7], opening, atol=1e-12)
        outcomes.append((episode.info.success, "/success/" in told["file_path"]))
    assert sorted(outcomes) == [(False, False), (True, True), (True, True)]


def test_chosen_frames_keep_their_times_and_joints(fixtures: Path, golden: Callable[[str], Any]) -> None:
    config = replace(PLAIN, joints=(JointField("steps/joints", ("a", "b", "", "d"), 2.0, 0.5),))
    source = RldsSource(config, fixtures / "plain_types" / "1.0.0")
    for episode_id, told in zip(source.episode_ids(), golden("plain_types")["train"], strict=True):
        indices = np.round(np.linspace(0, told["frames"] - 1, 3)).astype(int)
        episode = source.read(episode_id, FrameSampling(3))
        assert hashes(episode.rgb) == [told["sha256"][k] for k in indices]
        assert episode.times.tolist() == (indices / 4.0).tolist()
        assert episode.joints is not None
        assert episode.joints.joint_names == ("a", "b", "d")
        joints = 2.0 * np.array(told["values"]["joints"])[indices][:, [0, 1, 3]] + 0.5
        np.testing.assert_allclose(episode.joints.positions, joints, atol=1e-6)


def test_only_the_pictures_of_chosen_frames_are_decoded(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = encoded_pictures.decode_picture
    monkeypatch.setattr(
        encoded_pictures, "decode_picture", lambda data, where: decoded.append(where) or real(data, where)
    )
    source = RldsSource(PLAIN, fixtures / "plain_types" / "1.0.0")
    source.read(source.episode_ids()[0], FrameSampling(3))
    assert len(decoded) == 3
    source.read(source.episode_ids()[0], FrameSampling(9, mirror_short=True))
    assert len(decoded) == 3 + 7


def test_whole_numbers_and_truth_values_can_tell_success(fixtures: Path, golden: Callable[[str], Any]) -> None:
    root = fixtures / "plain_types" / "1.0.0"
    for field, at_least, expected in (
        ("steps/is_first", 1.0, True),
        ("steps/negative", 0.0, False),
        ("steps/negative", -float(2**41), True),
        ("steps/counter", 5000.0 * 4, True),
        ("steps/counter", 5000.0 * 7, False),
    ):
        source = RldsSource(replace(PLAIN, success=SuccessField(field, at_least)), root)
        for episode_id in source.episode_ids():
            assert source.read(episode_id, FrameSampling(2)).info.success is expected, field


def test_mirrored_episodes_run_back(fixtures: Path, golden: Callable[[str], Any]) -> None:
    source = RldsSource(
        replace(PLAIN, joints=(JointField("steps/joints", tuple("abcd")),)), fixtures / "plain_types/1.0.0"
    )
    told = golden("plain_types")["train"][0]
    count = told["frames"]
    episode = source.read(source.episode_ids()[0], FrameSampling(count + 2, mirror_short=True))
    assert hashes(episode.rgb) == [*told["sha256"], told["sha256"][-1], told["sha256"][-2]]
    assert episode.times.tolist() == (np.arange(count + 2) / 4.0).tolist()
    with pytest.raises(RejectedEpisodeError, match=f"{count} frames, 49 are needed"):
        source.read(source.episode_ids()[0], FrameSampling())


def test_splits_and_shards_are_chosen(fixtures: Path) -> None:
    root = fixtures / "bridge_dataset" / "1.0.0"
    config = RldsConfig("b", "steps/observation/image_0", 5.0, splits=("val",), shards=(1,))
    assert RldsSource(config, root).episode_ids() == ("b-val-00001-00000",)
    with pytest.raises(SourceError, match="no episode 'b-val-00000-00000'"):
        RldsSource(config, root).read("b-val-00000-00000", FrameSampling(2))
    with pytest.raises(SourceError, match="no episode 'b-val-00001-00001'"):
        RldsSource(config, root).read("b-val-00001-00001", FrameSampling(2))
    with pytest.raises(SourceError, match="no split test; it has train, val"):
        RldsSource(replace(config, splits=("test",)), root).episode_ids()
    with pytest.raises(SourceError, match="split val has no shard 2, only 0 to 1"):
        RldsSource(replace(config, shards=(2,)), root).episode_ids()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "steps/picture"}, "there is none; it has steps/grey, steps/image$"),
        ({"image": "steps/joints"}, "it is of kind float; it has steps/grey, steps/image"),
        ({"caption": "steps/language"}, "'steps/language' must be a field of kind text, there is none; it has note"),
        ({"joints": (JointField("steps/compressed", ("a",)),)}, "encoding 'zlib' is not supported; it has "),
        ({"joints": (JointField("steps/ragged", ("a",)),)}, "sequence_feature.Sequence is not supported; it has "),
        ({"success": SuccessField("reward")}, "'reward' must be a field of kind text or float or integer"),
    ],
)  # fmt: skip
def test_missing_and_unfit_fields_list_those_there_are(fixtures: Path, change: dict[str, Any], message: str) -> None:
    source = RldsSource(replace(PLAIN, **change), fixtures / "plain_types" / "1.0.0")
    with pytest.raises(SourceError, match=message):
        source.read(source.episode_ids()[0], FrameSampling(2))


def test_joints_of_another_width_are_rejected(fixtures: Path) -> None:
    source = RldsSource(
        replace(PLAIN, joints=(JointField("steps/joints", ("a", "b")),)), fixtures / "plain_types/1.0.0"
    )
    with pytest.raises(RejectedEpisodeError, match=r"shape \(3, 4\), but the joint_names \('a', 'b'\) name 2 columns"):
        source.read(source.episode_ids()[0], FrameSampling(3))


def test_a_folder_without_description_names_its_versions(fixtures: Path) -> None:
    with pytest.raises(SourceError, match=r"features.json: no such file.*give one of its versions: 1.0.0"):
        read_features(fixtures / "droid")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a/b"}, "name: an episode_id must be"),
        ({"rate_hz": 0.0}, "rate_hz must be finite and above 0, got 0.0"),
        ({"robot": "panda.yaml"}, "robot 'panda.yaml' needs joints and calibration"),
        (
            {"robot": "panda.yaml", "joints": (JointField("steps/joints", tuple("abcd")),)},
            "needs calibration in the same",
        ),
    ],
)
def test_a_wrong_configuration_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        replace(PLAIN, **change)
