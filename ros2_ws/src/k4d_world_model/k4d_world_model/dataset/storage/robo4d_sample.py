"""Samples of the published Robo4D-200k layout: four videos and a picture each, points as colours of 8 bits.

Each axis of the points runs from colour 0 at its least to 255 at its largest value in the sequence, of the whole scene
and of the robot alike. Neither these extrema nor the camera are kept, so what is read is affine. Points are given in
the optical frame that the camera has in the first frame.
"""

import io
import os
import shutil
import uuid
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_kinematics import se3
from k4d_world_model.dataset.episode import Episode, EpisodeInfo, check_episode_id
from k4d_world_model.dataset.layout import Robo4DLayout
from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.rooted_path import rooted_path
from k4d_world_model.dataset.storage import depth_codec
from k4d_world_model.dataset.storage.flushed_files import flush_folder, write_flushed
from k4d_world_model.dataset.storage.video_files import decode_pictures, encode_mp4
from k4d_world_model.errors import RejectedEpisodeError, SampleError

RATE_HZ = 24.0
MASK_THRESHOLD = 8
"""Colours up to this are taken for the black outside the robot, which lossy coding does not keep at 0."""

Pictures = NDArray[np.uint8]
Points = NDArray[np.float32]


def write_robo4d_sample(
    layout: Robo4DLayout, episode: Episode, *, crf: int | None = 18, sampling: FrameSampling | None = None
) -> None:
    """Writes the frames of an episode that ``sampling`` chooses (49 where None) as the published data set has them.

    ``crf`` is as in ``video_files.encode_mp4``. Missing points become black. Raises RejectedEpisodeError when the
    episode has no scene points or no robot mask or is too short, SampleError when the sample exists, EpisodeError on a
    size or ``crf`` that the codec does not have, and OSError naming a file that cannot be written. The video, by which
    samples are listed, gets its place last: where it is, the sample is complete.
    """
    name = episode.info.episode_id
    if os.path.lexists(layout.video(name)):
        raise SampleError(f"{layout.video(name)}: exists already; a sample is written once")
    frames = (sampling or FrameSampling()).indices(episode.frame_count)
    scene, robot, mask = _published_points(episode, frames)
    low, high = _extrema(scene, robot)
    rgb = episode.rgb[frames]
    robot_rgb = np.where(mask[..., None], rgb, np.uint8(0))
    picture = io.BytesIO()
    Image.fromarray(rgb[0]).save(picture, "PNG")
    contents = (
        (layout.first_frame(name), picture.getvalue()),
        (layout.pointmap(name), encode_mp4(_colours(scene, low, high), crf)),
        (layout.mask_video(name), encode_mp4(robot_rgb, crf)),
        (layout.mask_pointmap(name), encode_mp4(_colours(robot, low, high), crf)),
        (layout.video(name), encode_mp4(rgb, crf)),
    )
    _place(layout, name, contents)


def read_robo4d_sample(
    layout: Robo4DLayout,
    name: str,
    *,
    mask_threshold: int = MASK_THRESHOLD,
    sampling: FrameSampling | None = None,
    source: str = "robo4d",
) -> Episode:
    """The affine episode of a published sample: those frames that ``sampling`` chooses, all where it is None.

    Points lie in [0, 1]. The robot is where any colour of its two videos exceeds ``mask_threshold`` (0 to 254): a black
    gripper shows in its points only. Raises RejectedEpisodeError when a file is missing, the videos differ in length or
    size, or the sample is too short, and SampleError or SourceError naming a file that cannot be read or lies outside.
    """
    if not 0 <= mask_threshold <= 254:
        raise SampleError(f"mask_threshold must be from 0 to 254, got {mask_threshold}")
    paths = (layout.video(name), layout.pointmap(name), layout.mask_video(name), layout.mask_pointmap(name))
    videos = [_decode(layout, path) for path in paths]
    if len({video.shape for video in videos}) != 1:
        found = ", ".join(f"{path.parent.name} {video.shape[:3]}" for path, video in zip(paths, videos, strict=True))
        raise RejectedEpisodeError(f"its videos must agree in frames, height and width, got {found}")
    count = len(videos[0])
    sampling = sampling or FrameSampling(count)
    rgb, scene, robot_rgb, robot = (video[sampling.indices(count)] for video in videos)
    mask = _brightest(robot_rgb, robot) > mask_threshold
    robot_points = np.where(mask[..., None], _points(robot), np.float32(np.nan))
    return Episode(
        info=EpisodeInfo(name, source, provenance=f"videos/{name}.mp4, robot above colour {mask_threshold}"),
        rgb=rgb,
        times=sampling.times(np.arange(count) / RATE_HZ),
        scale="affine",
        scene_points=_points(scene),
        robot_points=robot_points,
        robot_mask=mask,
    )


def write_robo4d_lists(layout: Robo4DLayout, train: Sequence[str], val: Sequence[str]) -> None:
    """Writes the lists of samples to train on and to validate on, in the order given.

    Raises EpisodeError on a name that is no safe file name, and OSError naming a file that cannot be written.
    """
    videos = "".join(f"videos/{check_episode_id(name)}.mp4\n" for name in train)
    pictures = "".join(f"first_frames/{name}.png\n" for name in train)
    held_out = "".join(f"videos/{check_episode_id(name)}.mp4\n" for name in val)
    lists = ((layout.train_list, videos), (layout.train_image_list, pictures), (layout.val_list, held_out))
    _place(layout, "lists", tuple((path, text.encode()) for path, text in lists))


def _published_points(episode: Episode, frames: NDArray[np.intp]) -> tuple[Points, Points, NDArray[np.bool_]]:
    """Points of scene and robot in the first frame's optical frame, and the robot's mask."""
    if episode.scene_points is None or episode.robot_mask is None:
        raise RejectedEpisodeError("the published layout needs scene_points and robot_mask, which the episode lacks")
    mask, scene = episode.robot_mask[frames], episode.scene_points[frames]
    whole_robot = scene if episode.robot_points is None else episode.robot_points[frames]
    robot = np.where(mask[..., None], whole_robot, np.float32(np.nan))
    if episode.T_world_cam is not None:
        T_world_cam = episode.T_world_cam[frames]
        if (T_world_cam != T_world_cam[0]).any():
            T_cam0_cam = se3.inverse(T_world_cam[0]) @ T_world_cam  # (T, 4, 4)
            scene, robot = _moved(T_cam0_cam, scene), _moved(T_cam0_cam, robot)
    return scene, robot, mask


def _moved(T_a_b: NDArray[np.float64], points_b: Points) -> Points:
    moved = [se3.transform_points(T, points).astype(np.float32) for T, points in zip(T_a_b, points_b, strict=True)]
    return np.stack(moved)


def _extrema(scene: Points, robot: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = depth_codec.extrema("scene_points", scene)
    robot_low, robot_high = depth_codec.extrema("robot_points", robot)
    return np.minimum(low, robot_low), np.maximum(high, robot_high)


def _colours(points: Points, low: NDArray[np.float64], high: NDArray[np.float64]) -> Pictures:
    """Points between ``low`` and ``high`` (3,) as 0 to 255, black where missing."""
    span = np.where(high > low, high - low, 1.0)
    colours = np.zeros(points.shape, np.uint8)
    for frame, out in zip(points, colours, strict=True):
        seen = ~np.isnan(frame[..., 0])
        out[seen] = np.rint(255.0 * (frame[seen] - low) / span)
    return colours


def _brightest(*videos: Pictures) -> Pictures:
    """The largest of all colours at each pixel (T, H, W)."""
    channels = [video[..., channel] for video in videos for channel in range(3)]
    return reduce(np.maximum, channels)


def _points(colours: Pictures) -> Points:
    return colours.astype(np.float32) / np.float32(255)


def _decode(layout: Robo4DLayout, path: Path) -> Pictures:
    if not path.exists():
        raise RejectedEpisodeError(f"{path}: the file is missing")
    return decode_pictures(rooted_path(layout.root, str(path.relative_to(layout.root))).read_bytes(), str(path))


def _place(layout: Robo4DLayout, label: str, contents: tuple[tuple[Path, bytes], ...]) -> None:
    """Writes all files aside, then moves one after the other to its place."""
    staged = layout.inside(layout.staging) / f"{label}.{uuid.uuid4().hex}"
    staged.mkdir(parents=True)
    try:
        for number, (_, data) in enumerate(contents):
            write_flushed(staged / str(number), data)
        for number, (path, _) in enumerate(contents):
            layout.inside(path.parent).mkdir(exist_ok=True)
            os.replace(staged / str(number), path)
            flush_folder(path.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
