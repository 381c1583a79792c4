"""Pictures of a recording of the pointmap graph: a video and a contact sheet of what each camera saw."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from k4d_bringup.bag_report import recorded_messages, stamp_ns_of
from k4d_bringup.errors import BagError
from k4d_kinematics.pictures import Picture, contact_sheet, coordinates_as_colours, side_by_side, write_png, write_video

_SHEET_COLUMNS = 5
_OUTLINE = (0, 255, 0)


@dataclass
class _View:
    """What one camera saw, by stamp: previews, pointmaps (H, W, 3) in metres, its own images where recorded."""

    previews: dict[int, Picture] = field(default_factory=dict)
    points: dict[int, Any] = field(default_factory=dict)
    images: dict[int, Picture] = field(default_factory=dict)

    def stamps_ns(self) -> set[int]:
        """The stamps at which nothing is missing."""
        known = set(self.previews) & set(self.points)
        return known & set(self.images) if self.images else known

    def rows(self, stamps_ns: list[int]) -> list[list[Picture]]:
        """Pictures of these stamps, one row a kind: the image with the robot's outline, the preview, the pointmap."""
        points = np.stack([self.points.pop(stamp_ns) for stamp_ns in stamps_ns])  # (T, H, W, 3)
        masks = np.isfinite(points[..., 2])  # (T, H, W)
        colours = list(coordinates_as_colours(points, masks))
        rows = [[self.previews[stamp_ns] for stamp_ns in stamps_ns], colours]
        if self.images:
            images = [self.images[stamp_ns] for stamp_ns in stamps_ns]
            rows.insert(0, [outlined(image, mask) for image, mask in zip(images, masks, strict=True)])
        return rows


def write_pictures(bag: Path, store: Typestore, cameras: tuple[str, ...], video: Path, sheet: Path) -> int:
    """Writes the video and the contact sheet of the stamps that all ``cameras`` have; returns how many there are.

    Each camera shows its own image with the outline of the robot's pointmap over it, where /<camera>/image_raw is
    recorded, its preview, and its pointmap, x, y, z as red, green, blue. Raises BagError when there is no stamp that
    every camera has, or an image is not in rgb8.
    """
    views = {camera: _read_view(bag, store, camera) for camera in cameras}
    stamps_ns = sorted(set.intersection(*(view.stamps_ns() for view in views.values())))
    if not stamps_ns:
        raise BagError(f"{bag} holds no preview and pointmap of one stamp for all of {', '.join(cameras)}")
    rows = [row for view in views.values() for row in view.rows(stamps_ns)]
    rate_hz = (len(stamps_ns) - 1) / ((stamps_ns[-1] - stamps_ns[0]) * 1e-9) if len(stamps_ns) > 1 else 1.0
    write_video(video, (side_by_side(pictures) for pictures in zip(*rows, strict=True)), round(rate_hz, 3))
    chosen = np.linspace(0, len(stamps_ns) - 1, _SHEET_COLUMNS).round().astype(int)
    write_png(sheet, contact_sheet([[row[index] for index in chosen] for row in rows]))
    return len(stamps_ns)


def outlined(image: Picture, mask: NDArray[np.bool_]) -> Picture:
    """A copy of the image (H, W, 3) with the edge of ``mask`` (H, W) drawn on it, two pixels wide."""
    if image.shape[:2] != mask.shape:
        raise BagError(f"image and pointmap must have one size, got {image.shape[:2]} and {mask.shape}")
    edge = np.zeros_like(mask)
    for axis in (0, 1):
        changes = np.diff(mask, axis=axis)
        before, after = [(slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))]
        edge[before] |= changes
        edge[after] |= changes
    picture = image.copy()
    picture[edge] = _OUTLINE
    return picture


def _read_view(bag: Path, store: Typestore, camera: str) -> _View:
    view = _View()
    preview, pointmap, image = (f"/{camera}/{name}" for name in ("robot/preview", "robot/pointmap", "image_raw"))
    for topic, _, _, message in recorded_messages(bag, store, (preview, pointmap, image)):
        size = (message.height, message.width, 3)
        if topic == pointmap:
            view.points[stamp_ns_of(message)] = message.data.view(np.float32).reshape(size)
        elif message.encoding != "rgb8":
            raise BagError(f"{topic} must be in rgb8 to be shown, got {message.encoding!r}")
        else:
            (view.previews if topic == preview else view.images)[stamp_ns_of(message)] = message.data.reshape(size)
    return view
