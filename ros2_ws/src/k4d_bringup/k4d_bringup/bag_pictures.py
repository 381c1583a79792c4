"""Pictures of a recording of the pointmap graph: a video and a contact sheet of what each camera saw of the robot."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys.store import Typestore

from k4d_bringup.bag_report import recorded_messages
from k4d_bringup.errors import BagError
from k4d_kinematics.pictures import Picture, contact_sheet, coordinates_as_colours, side_by_side, write_png, write_video

_SHEET_COLUMNS = 5


@dataclass
class _View:
    """What one camera saw, by stamp: previews, pointmaps (H, W, 3) in metres."""

    previews: dict[int, Picture] = field(default_factory=dict)
    points: dict[int, Any] = field(default_factory=dict)


def write_pictures(bag: Path, store: Typestore, cameras: tuple[str, ...], video: Path, sheet: Path) -> int:
    """Writes the video and the contact sheet of the stamps that all ``cameras`` have; returns how many there are.

    Each camera shows its preview and its pointmap, x, y, z as red, green, blue. Raises BagError when there is no stamp
    that every camera has.
    """
    views = {camera: _read_view(bag, store, camera) for camera in cameras}
    stamps = sorted(set.intersection(*(set(view.previews) & set(view.points) for view in views.values())))
    if not stamps:
        raise BagError(f"{bag} holds no preview and pointmap of one stamp for all of {', '.join(cameras)}")
    pictures: dict[str, list[tuple[Picture, Picture]]] = {}
    for camera, view in views.items():
        points = np.stack([view.points.pop(stamp) for stamp in stamps])  # (T, H, W, 3)
        colours = coordinates_as_colours(points, np.isfinite(points[..., 2]))
        pictures[camera] = [(view.previews[stamp], colour) for stamp, colour in zip(stamps, colours, strict=True)]
    rate_hz = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) * 1e-9) if len(stamps) > 1 else 1.0
    frames = zip(*pictures.values(), strict=True)
    write_video(video, (side_by_side([part for pair in pairs for part in pair]) for pairs in frames), round(rate_hz, 3))
    chosen = np.linspace(0, len(stamps) - 1, _SHEET_COLUMNS).round().astype(int)
    rows = [[pictures[camera][index][kind] for index in chosen] for camera in cameras for kind in (0, 1)]
    write_png(sheet, contact_sheet(rows))
    return len(stamps)


def _read_view(bag: Path, store: Typestore, camera: str) -> _View:
    view = _View()
    topics = (f"/{camera}/robot/preview", f"/{camera}/robot/pointmap")
    for topic, _, _, message in recorded_messages(bag, store, topics):
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        if topic == topics[0]:
            view.previews[stamp_ns] = message.data.reshape(message.height, message.width, 3)
        else:
            view.points[stamp_ns] = message.data.view(np.float32).reshape(message.height, message.width, 3)
    return view
