"""The published layout: files mean what the published ones do, and come back as an affine episode."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from k4d_world_model.dataset.episode import Episode, EpisodeInfo
from k4d_world_model.dataset.layout import Robo4DLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.robo4d import Robo4DConfig, Robo4DSource
from k4d_world_model.dataset.storage.robo4d_sample import read_robo4d_sample, write_robo4d_lists, write_robo4d_sample
from k4d_world_model.errors import EpisodeError, RejectedEpisodeError, SampleError, SourceError

MakeEpisode = Callable[..., Episode]
FIVE = FrameSampling(5)
STANDING = np.tile(np.eye(4), (5, 1, 1))


@pytest.fixture
def published(tmp_path: Path) -> Robo4DLayout:
    return Robo4DLayout(tmp_path / "robo4d")


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 24
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def expected_colours(points: np.ndarray, scene: np.ndarray, robot: np.ndarray) -> np.ndarray:
    """The per-sequence min-max of the whole scene, axis by axis, in 8 bits; black where nothing is."""
    colours = np.zeros(points.shape, np.uint8)
    for axis in range(3):
        everything = np.concatenate([scene[..., axis].ravel(), robot[..., axis].ravel()]).astype(np.float64)
        low, high = np.nanmin(everything), np.nanmax(everything)
        scaled = 255 * (points[..., axis] - low) / (high - low)
        colours[..., axis] = np.where(np.isnan(scaled), 0, np.round(scaled))
    return colours


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_files_are_those_of_the_published_data_set(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    episode = make_episode(T_world_cam=STANDING)
    write_robo4d_sample(published, episode, crf=None, sampling=FIVE)
    files = {str(path.relative_to(published.root)) for path in published.root.rglob("*") if path.is_file()}
    assert files == {
        "first_frames/take_1.png", "videos/take_1.mp4", "pointmap/take_1.mp4", "mask_videos/take_1.mp4",
        "mask_pointmap/take_1.mp4",
    }  # fmt: skip
    scene, robot, mask = episode.scene_points, episode.robot_points, episode.robot_mask
    np.testing.assert_array_equal(np.array(Image.open(published.root / "first_frames/take_1.png")), episode.rgb[0])
    np.testing.assert_array_equal(decode(published.root / "videos/take_1.mp4"), episode.rgb)
    np.testing.assert_array_equal(decode(published.root / "pointmap/take_1.mp4"), expected_colours(scene, scene, robot))
    np.testing.assert_array_equal(decode(published.root / "mask_videos/take_1.mp4"), episode.rgb * mask[..., None])
    np.testing.assert_array_equal(
        decode(published.root / "mask_pointmap/take_1.mp4"), expected_colours(robot, scene, robot)
    )


def test_what_is_read_is_affine_and_in_the_unit_cube(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    whole = np.random.default_rng(5).uniform(-3, 4, (5, 12, 18, 3)).astype(np.float32)
    episode = make_episode(scene_points=whole, robot_points=None)
    write_robo4d_sample(published, replace(episode, T_world_cam=None), crf=None, sampling=FIVE)
    read = read_robo4d_sample(published, "take_1", mask_threshold=0)
    assert (read.scale, read.camera, read.joints, read.T_world_cam) == ("affine", None, None, None)
    np.testing.assert_allclose(read.times, np.arange(5) / 24)
    np.testing.assert_array_equal(read.rgb, episode.rgb)
    low, high = whole.min(axis=(0, 1, 2)), whole.max(axis=(0, 1, 2))
    assert np.abs(read.scene_points - (whole - low) / (high - low)).max() <= 0.5 / 255 + 1e-6
    assert iou(read.robot_mask, episode.robot_mask) == 1.0
    np.testing.assert_array_equal(read.robot_points[read.robot_mask], read.scene_points[read.robot_mask])


def test_points_of_a_moving_camera_are_those_of_its_first_frame(
    make_episode: MakeEpisode, published: Robo4DLayout
) -> None:
    episode = make_episode()
    T_world_cam = episode.T_world_cam
    moved = np.empty((5, 12, 18, 3))
    for t in range(5):
        T_cam0_cam = np.linalg.inv(T_world_cam[0]) @ T_world_cam[t]
        moved[t] = episode.scene_points[t] @ T_cam0_cam[:3, :3].T + T_cam0_cam[:3, 3]
    low, high = np.nanmin(moved, axis=(0, 1, 2)), np.nanmax(moved, axis=(0, 1, 2))
    write_robo4d_sample(published, replace(episode, robot_points=None), crf=None, sampling=FIVE)
    read = read_robo4d_sample(published, "take_1").scene_points
    seen = ~np.isnan(moved)
    assert np.abs(read - (moved - low) / (high - low))[seen].max() <= 0.5 / 255 + 1e-5


def test_short_episodes_are_mirrored_only_when_asked(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    episode = make_episode(T_world_cam=STANDING)
    with pytest.raises(RejectedEpisodeError, match="it has 5 frames, 49 are needed"):
        write_robo4d_sample(published, episode)
    write_robo4d_sample(published, episode, crf=None, sampling=FrameSampling(8, mirror_short=True))
    np.testing.assert_array_equal(decode(published.video("take_1")), episode.rgb[[0, 1, 2, 3, 4, 4, 3, 2]])
    source = Robo4DSource(Robo4DConfig(), published.root)
    long = source.read("take_1", FrameSampling(15, mirror_short=True))
    np.testing.assert_array_equal(long.rgb[8:], long.rgb[7:0:-1])
    np.testing.assert_array_equal(source.read("take_1", FrameSampling(3)).rgb, long.rgb[[0, 4, 7]])
    with pytest.raises(RejectedEpisodeError, match="mirror"):
        source.read("take_1", FrameSampling(9))


def smooth(make_episode: MakeEpisode, robot_colour: tuple[int, int, int]) -> Episode:
    """A large robot of one colour before a plain wall, as lossy coding is made for."""
    height, width = 96, 144
    mask = np.zeros((5, height, width), bool)
    for t in range(5):
        mask[t, 20:70, 30 + 4 * t : 80 + 4 * t] = True
    v, u = np.mgrid[:height, :width]
    scene = np.broadcast_to(np.stack([u / width, v / height, 2 - v / height], axis=-1), (5, height, width, 3))
    scene = np.where(mask[..., None], scene - [0.0, 0.0, 0.4], scene).astype(np.float32)
    rgb = np.where(mask[..., None], np.uint8(robot_colour), np.uint8([90, 120, 160]))
    return make_episode(5, height, width, rgb=rgb, camera=None, scene_points=scene, robot_points=None, robot_mask=mask)


@pytest.mark.parametrize("robot_colour", [(220, 220, 210), (2, 2, 2)], ids=["white", "black"])
def test_a_threshold_recovers_the_mask_from_lossy_videos(
    make_episode: MakeEpisode, published: Robo4DLayout, robot_colour: tuple[int, int, int]
) -> None:
    episode = smooth(make_episode, robot_colour)
    write_robo4d_sample(published, replace(episode, T_world_cam=None), crf=28, sampling=FIVE)
    found = {
        threshold: iou(read_robo4d_sample(published, "take_1", mask_threshold=threshold).robot_mask, episode.robot_mask)
        for threshold in (0, 8, 24)
    }
    assert found[0] < found[8] < 1.0
    assert found[8] > 0.9
    assert found[24] > 0.95


@pytest.mark.parametrize("threshold", [-1, 255])
def test_a_threshold_without_a_meaning_is_refused(published: Robo4DLayout, threshold: int) -> None:
    with pytest.raises(SampleError, match="mask_threshold must be from 0 to 254"):
        read_robo4d_sample(published, "take_1", mask_threshold=threshold)
    with pytest.raises(SourceError, match="mask_threshold be from 0 to 254"):
        Robo4DConfig(mask_threshold=threshold)


def test_what_the_layout_cannot_hold_is_refused(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    for missing in ({"scene_points": None}, {"robot_points": None, "robot_mask": None}):
        with pytest.raises(RejectedEpisodeError, match="needs scene_points and robot_mask"):
            write_robo4d_sample(published, make_episode(**missing), sampling=FIVE)
    with pytest.raises(EpisodeError, match=r"even height and width, got \(11, 18\)"):
        write_robo4d_sample(published, make_episode(5, 11, 18), sampling=FIVE)
    with pytest.raises(EpisodeError, match="crf must be from 0 to 51"):
        write_robo4d_sample(published, make_episode(), crf=52, sampling=FIVE)
    assert not published.root.exists()
    write_robo4d_sample(published, make_episode(5, 11, 17), crf=None, sampling=FIVE)
    with pytest.raises(SampleError, match=r"take_1\.mp4: exists already"):
        write_robo4d_sample(published, make_episode(5, 11, 17), crf=None, sampling=FIVE)
    assert list(published.staging.iterdir()) == []


def test_damaged_samples_are_rejected_with_the_reason(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    for name, frames in (("a", 5), ("b", 5), ("c", 5), ("d", 6)):
        episode = make_episode(frames, info=EpisodeInfo(name, "x"))
        write_robo4d_sample(published, episode, sampling=FrameSampling(frames))
    published.mask_pointmap("a").unlink()
    shutil.copy(published.pointmap("d"), published.pointmap("b"))
    published.mask_video("c").write_bytes(published.mask_video("c").read_bytes()[:300])
    source = Robo4DSource(Robo4DConfig(), published.root)
    with pytest.raises(RejectedEpisodeError, match=r"mask_pointmap/a\.mp4: the file is missing"):
        source.read("a", FIVE)
    with pytest.raises(RejectedEpisodeError, match=r"pointmap \(6, 12, 18\), mask_videos \(5, 12, 18\)"):
        source.read("b", FIVE)
    with pytest.raises(SourceError, match=r"mask_videos/c\.mp4: cannot be decoded"):
        source.read("c", FIVE)
    with pytest.raises(RejectedEpisodeError, match="it has 6 frames, 7 are needed"):
        source.read("d", FrameSampling(7))
    with pytest.raises(SourceError, match="must be 1 to 128"):
        source.read("../a", FIVE)


def test_lists_are_the_published_ones(make_episode: MakeEpisode, published: Robo4DLayout) -> None:
    for name in ("b", "a", "videos.mp4"):
        write_robo4d_sample(published, make_episode(info=EpisodeInfo(name, "x")), sampling=FIVE)
    write_robo4d_lists(published, ["videos.mp4", "a"], ["b"])
    assert (published.root / "train_shuffled.txt").read_text() == "videos/videos.mp4.mp4\nvideos/a.mp4\n"
    assert (
        published.root / "train_img_shuffled.txt"
    ).read_text() == "first_frames/videos.mp4.png\nfirst_frames/a.png\n"
    assert (published.root / "val_sel.txt").read_text() == "videos/b.mp4\n"
    ids = {
        split: Robo4DSource(Robo4DConfig(split=split), published.root).episode_ids()
        for split in ("train", "val", "all")
    }
    assert ids == {"train": ("videos.mp4", "a"), "val": ("b",), "all": ("a", "b", "videos.mp4")}
    read = Robo4DSource(Robo4DConfig(name="mine"), published.root).read("videos.mp4", FIVE)
    assert (read.info.episode_id, read.info.source) == ("videos.mp4", "mine")
    (published.root / "val_sel.txt").rename(published.root / "val_sample.txt")
    assert Robo4DSource(Robo4DConfig(split="val"), published.root).episode_ids() == ("b",)


@pytest.mark.parametrize(
    "line",
    [
        "../videos/a.mp4",
        "/videos/a.mp4",
        "videos/../a.mp4",
        "videos/a.mkv",
        "a.mp4",
        "videos/a/b.mp4",
        "",
        "videos/ä.mp4",
    ],
)
def test_a_line_that_names_no_video_is_refused(published: Robo4DLayout, line: str) -> None:
    published.root.mkdir()
    (published.root / "train_shuffled.txt").write_text(f"videos/ok.mp4\n{line}\n")
    with pytest.raises(SourceError, match=r"train_shuffled\.txt:2: "):
        Robo4DSource(Robo4DConfig(split="train"), published.root).episode_ids()


def test_a_list_that_is_missing_or_repeats_itself_is_refused(published: Robo4DLayout) -> None:
    published.root.mkdir()
    with pytest.raises(SourceError, match=r"val_sel\.txt"):
        Robo4DSource(Robo4DConfig(split="val"), published.root).episode_ids()
    with pytest.raises(SourceError, match="videos: no such folder"):
        Robo4DSource(Robo4DConfig(), published.root).episode_ids()
    (published.root / "train_shuffled.txt").write_text("videos/a.mp4\nvideos/b.mp4\nvideos/a.mp4\n")
    with pytest.raises(SourceError, match="repeated are a"):
        Robo4DSource(Robo4DConfig(split="train"), published.root).episode_ids()


def test_a_linked_video_outside_is_not_read(make_episode: MakeEpisode, published: Robo4DLayout, tmp_path: Path) -> None:
    write_robo4d_sample(published, make_episode(), sampling=FIVE)
    shutil.move(published.video("take_1"), tmp_path / "outside.mp4")
    published.video("take_1").symlink_to(tmp_path / "outside.mp4")
    with pytest.raises(SourceError, match="leaves the data set"):
        Robo4DSource(Robo4DConfig(), published.root).read("take_1", FIVE)
