"""Where the robot is seen in a recording's pictures: from mask files or from depth."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_kinematics.errors import CalibrationError
from k4d_world_model.dataset.sources.bag_contents import read_chosen
from k4d_world_model.dataset.sources.bag_frames import BagFrames
from k4d_world_model.dataset.sources.image_messages import depth_image, picture
from k4d_world_model.errors import RejectedEpisodeError, SourceError

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]

BACKGROUND, UNKNOWN, ROBOT = 0, 128, 255

_DAMAGE = (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class RecordedMasks:
    """Masks (N, H, W) of the robot, and where each is ``known`` (N, H, W).

    changed: (H, W), where the recording ever showed another thing; what stands still in all of it, such as the robot's
    base, is in no mask. None where masks were given, which say so themselves.
    """

    masks: Mask
    known: Mask
    changed: Mask | None


def mask_files(folder: Path, frames: BagFrames, places: NDArray[np.intp]) -> dict[int, Path]:
    """The mask of each usable picture that has one, by its index (0 to N - 1).

    Files are called STAMP.png with the stamp in nanoseconds, or PLACE.png (such as 00012.png) with the picture's place
    in order of time, from 0. Raises CalibrationError on a folder without such files, and on one that fits no picture.
    """
    if not folder.is_dir():
        raise CalibrationError(f"--masks must be a folder of PNG files, got {folder}")
    by_stamp = {int(stamp): index for index, stamp in enumerate(frames.stamps_ns)}
    by_place = {int(place): index for index, place in enumerate(places)}
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.png")):
        number = int(path.stem) if path.stem.isdecimal() else -1
        index = by_stamp.get(number, by_place.get(number))
        if index is None:
            raise CalibrationError(
                f"{path}: must be called STAMP.png or PLACE.png after a usable picture: stamps {min(by_stamp)} to "
                f"{max(by_stamp)} ns, places {min(by_place)} to {max(by_place)}"
            )
        if index in found:
            raise CalibrationError(f"{path} and {found[index]} are masks of the same picture")
        found[index] = path
    if not found:
        raise CalibrationError(f"{folder} has no file STAMP.png or PLACE.png")
    return found


def read_masks(paths: list[Path], size: tuple[int, int]) -> RecordedMasks:
    """Masks of PNG files: 255 robot, 0 background, 128 unknown. Raises CalibrationError on others, naming the file."""
    values = []
    for path in paths:
        try:
            with Image.open(path, formats=("PNG",)) as image:
                grey = np.asarray(image.convert("L"))
        except _DAMAGE as error:
            raise CalibrationError(f"{path}: no readable PNG: {error}") from error
        if grey.shape != size:
            raise CalibrationError(f"{path}: must have the camera's (height, width) {size}, got {grey.shape}")
        others = sorted(set(np.unique(grey).tolist()) - {BACKGROUND, UNKNOWN, ROBOT})
        if others:
            raise CalibrationError(
                f"{path}: grey values must be {BACKGROUND} (background), {UNKNOWN} (unknown) or {ROBOT} (robot), "
                f"got {', '.join(map(str, others[:5]))}"
            )
        values.append(grey)
    stack = np.stack(values)
    return RecordedMasks(stack == ROBOT, stack != UNKNOWN, None)


def depth_masks(
    bag: Path, topic: str, everything: BagFrames, chosen: BagFrames, size: tuple[int, int], tolerance: float
) -> RecordedMasks:
    """What is nearer by more than ``tolerance`` metres than the farthest depth ever measured in the same pixel."""
    if not 0.0 < tolerance < np.inf:
        raise CalibrationError(f"--depth-tolerance must be a positive length in metres, got {tolerance}")
    assert everything.depth_places is not None
    assert chosen.depth_places is not None
    farthest, nearest = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
    for _, depth in _depths(bag, topic, everything.depth_places, size):
        farthest, nearest = np.fmax(farthest, depth), np.fmin(nearest, depth)
    seen = dict(_depths(bag, topic, chosen.depth_places, size))
    depths = np.stack([seen[place] for place in chosen.depth_places.tolist()])
    return RecordedMasks(depths < farthest - tolerance, np.isfinite(depths), nearest < farthest - tolerance)


def read_pictures(bag: Path, topic: str, places: Integers, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures (N, H, W, 3) at ``places`` of a topic. Raises RejectedEpisodeError when they are of another size."""
    found: dict[int, NDArray[np.uint8]] = {}
    for _, place, message in read_chosen(bag, {topic: places}):
        with _naming(bag, topic, place):
            found[place] = picture(message)
        _check_size(topic, found[place].shape[:2], size)
    return np.stack([found[place] for place in places.tolist()])


def _depths(
    bag: Path, topic: str, places: Integers, size: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for _, place, message in read_chosen(bag, {topic: places}):
        with _naming(bag, topic, place):
            depth = depth_image(message)
        _check_size(topic, depth.shape, size)
        yield place, depth


@contextmanager
def _naming(bag: Path, topic: str, place: int) -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{bag}: message {place} of {topic}: {error}") from error


def _check_size(topic: str, found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != size:
        raise RejectedEpisodeError(f"images of {topic} must have its camera's (height, width) {size}, got {found}")
