"""What is written comes back: exactly, or points to half a step, for every size and every set of fields."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_kinematics import Camera, se3
from k4d_kinematics.camera import RegionOfInterest
from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import (
    list_samples,
    read_sample,
    read_sample_record,
    verify_sample,
    write_sample,
)
from k4d_world_model.errors import EpisodeError

OPTIONAL = ("camera", "T_world_cam", "T_world_base", "joints", "scene_points", "robot_points", "robot_mask")
MakeEpisode = Callable[..., Episode]
SLOWLY = settings(deadline=None, max_examples=30)


def assert_same_but_points(read: Episode, written: Episode) -> None:
    assert read.info == written.info
    assert read.scale == written.scale
    for name in ("rgb", "times", "T_world_cam", "T_world_base", "robot_mask"):
        found, expected = getattr(read, name), getattr(written, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_array_equal(found, expected, err_msg=name, strict=True)
    assert (read.joints is None) == (written.joints is None)
    if written.joints is not None:
        assert asdict(read.joints).keys() == asdict(written.joints).keys()
        assert read.joints.joint_names == written.joints.joint_names
        for name in ("times", "positions", "velocities"):
            np.testing.assert_array_equal(getattr(read.joints, name), getattr(written.joints, name), strict=True)
    assert (read.camera is None) == (written.camera is None)
    if written.camera is not None:
        for name in Camera.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(read.camera, name), getattr(written.camera, name), err_msg=name)


def steps_of(folder: Path, name: str) -> list[float]:
    return [axis["step"] for axis in json.loads((folder / "meta.json").read_text())[name]["axes"]]


def assert_points_within_half_a_step(read: np.ndarray, written: np.ndarray, steps: list[float]) -> None:
    np.testing.assert_array_equal(np.isnan(read), np.isnan(written))
    rounding = np.spacing(np.nanmax(np.abs(written), initial=1.0))  # of float32
    errors = np.abs(read.astype(np.float64) - written)[..., -len(steps) :]
    assert (np.isnan(errors) | (errors <= np.array(steps) / 2 + rounding)).all(), np.nanmax(errors, axis=(0, 1, 2))


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    """(T, H, W), odd ones and single pixels among them."""
    return draw(st.integers(1, 4)), draw(st.integers(1, 19)), draw(st.integers(1, 19))


@SLOWLY
@given(size=sizes(), seed=st.integers(0, 99), missing=st.sets(st.sampled_from(OPTIONAL)), affine=st.booleans())
def test_every_episode_comes_back(
    make_episode: MakeEpisode, size: tuple[int, int, int], seed: int, missing: set[str], affine: bool
) -> None:
    if "robot_mask" in missing:
        missing = missing | {"robot_points"}
    episode = make_episode(*size, seed, scale="affine" if affine else "metric", **dict.fromkeys(missing))
    with tempfile.TemporaryDirectory() as root:
        layout = NativeLayout(Path(root))
        record = write_sample(layout, episode)
        read = read_sample(layout, "take_1")
        assert verify_sample(layout, "take_1") == ()
        assert read_sample_record(layout, "take_1") == record
        assert_same_but_points(read, episode)
        for name in {"scene_points", "robot_points"} - missing:
            steps = steps_of(layout.sample_folder("take_1"), name)
            assert len(steps) == (3 if affine or episode.camera is None else 1)
            assert_points_within_half_a_step(getattr(read, name), getattr(episode, name), steps)
        again = replace(read, info=replace(read.info, episode_id="take_2"))
        write_sample(layout, again)
        reread = read_sample(layout, "take_2")
    for name in {"scene_points", "robot_points"} - missing:
        np.testing.assert_array_equal(getattr(reread, name), getattr(read, name), err_msg="copying changes nothing")


@SLOWLY
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    success=st.sampled_from([None, True, False]),
    seed=st.none() | st.integers(-(2**70), 2**70),
    place=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
)
def test_every_description_and_number_comes_back_exactly(
    make_episode: MakeEpisode, text: str, success: bool | None, seed: int | None, place: tuple[float, float, float]
) -> None:
    info = EpisodeInfo("x" * 128, text or "s", text, text, text, text, text, success, seed, text)
    episode = make_episode(2, 3, 4, info=info, T_world_base=se3.from_xyz_rpy(place, (0.4, -0.5, 0.6)))
    with tempfile.TemporaryDirectory() as root:
        write_sample(NativeLayout(Path(root)), episode)
        read = read_sample(NativeLayout(Path(root)), "x" * 128)
    assert_same_but_points(read, episode)
    np.testing.assert_array_equal(np.signbit(read.T_world_base), np.signbit(episode.T_world_base))


def test_a_camera_cut_from_a_larger_sensor_comes_back(
    make_episode: MakeEpisode, points_of_depth: Callable[[Camera, np.ndarray], np.ndarray], layout: NativeLayout
) -> None:
    region = RegionOfInterest(x_offset=5, y_offset=3, height=22, width=30, do_rectify=True)
    K = np.array([[90.0, 0, 33.3], [0, 85.0, 21.7], [0, 0, 1.0]])
    P = np.hstack([K, [[1.0], [2.0], [0.0]]])
    camera = Camera(48, 64, K, (0.0,) * 5, "plumb_bob", P=P, binning_x=2, binning_y=2, roi=region, frame_id="cut")
    seen_by = Camera(11, 15, camera.matrix)
    depth = np.random.default_rng(3).uniform(1.0, 2.0, (2, 11, 15))
    points = points_of_depth(seen_by, depth)
    episode = make_episode(2, 11, 15, camera=camera, scene_points=points, robot_points=None)
    write_sample(layout, episode)
    read = read_sample(layout, "take_1")
    assert_same_but_points(read, episode)
    assert_points_within_half_a_step(read.scene_points, points, [5e-5])


def test_files_mean_what_their_formats_say(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    episode = make_episode()
    record = write_sample(layout, episode)
    folder = layout.sample_folder("take_1")
    check = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert check.returncode == 0, check.stdout
    assert {file.name: file.sha256 for file in record.files} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert record.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert (record.stratum, record.success) == ("simulation/push/expert/success", True)
    assert (record.frames, record.height, record.width) == (5, 12, 18)

    axis = json.loads((folder / "meta.json").read_text())["scene_points"]["axes"][0]
    with av.open(str(folder / "scene_depth.mkv")) as container:
        codes = np.stack([frame.to_ndarray(format="gray16le") for frame in container.decode(video=0)])
    depth = episode.scene_points[..., 2]
    np.testing.assert_array_equal(codes == 0, np.isnan(depth))
    error = (axis["offset"] + axis["step"] * (codes - 1.0) - depth)[codes > 0]
    assert np.abs(error).max() <= axis["step"] / 2 * (1 + 1e-9)
    with np.load(folder / "robot_mask.npz") as archive:
        bits = np.unpackbits(archive["packed"], axis=1)[:, : 12 * 18]
    np.testing.assert_array_equal(bits.reshape(5, 12, 18).astype(bool), episode.robot_mask)


def test_equal_episodes_make_equal_files(make_episode: MakeEpisode, tmp_path: Path) -> None:
    first = write_sample(NativeLayout(tmp_path / "a"), make_episode())
    assert write_sample(NativeLayout(tmp_path / "b"), make_episode()) == first
    assert write_sample(NativeLayout(tmp_path / "c"), make_episode(seed=1)).files != first.files


def test_only_the_parts_that_are_asked_for_are_read(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    write_sample(layout, make_episode())
    whole = read_sample(layout, "take_1")
    (layout.sample_folder("take_1") / "scene_depth.mkv").unlink()
    robot = read_sample(layout, "take_1", ("robot_points", "robot_mask"))
    assert robot.scene_points is None
    np.testing.assert_array_equal(robot.robot_points, whole.robot_points)
    bare = read_sample(layout, "take_1", ())
    assert bare.robot_mask is None
    np.testing.assert_array_equal(bare.rgb, whole.rgb)
    for wrong in (("points",), ("robot_points",)):
        with pytest.raises(EpisodeError, match="robot_points only with robot_mask"):
            read_sample(layout, "take_1", wrong)


def test_samples_are_listed_in_order(make_episode: MakeEpisode, layout: NativeLayout) -> None:
    for name in ("b", "a.1", "a"):
        write_sample(layout, make_episode(2, 3, 4, info=EpisodeInfo(name, "x")))
    assert list_samples(layout) == ("a", "a.1", "b")
