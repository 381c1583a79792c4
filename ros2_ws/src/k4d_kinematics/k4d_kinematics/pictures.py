"""Pictures of robot pointmaps for people: coordinates as colours, contact sheets and videos."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from k4d_kinematics.errors import RenderingError

Picture = NDArray[np.uint8]


def coordinates_as_colours(points: NDArray[np.float32], mask: NDArray[np.bool_]) -> Picture:
    """Points (..., 3) as RGB (..., 3): x, y, z between their extrema within ``mask`` as 0 to 255, black outside."""
    colours = np.zeros(points.shape, np.uint8)
    if mask.any():
        seen = points[mask]  # (n, 3)
        low, span = seen.min(axis=0), np.ptp(seen, axis=0)
        colours[mask] = np.round(255.0 * (seen - low) / np.where(span > 0, span, 1.0)).astype(np.uint8)
    return colours


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Pictures (H_i, W_i, 3) in one row (max H, sum W, 3), black below the shorter ones."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(picture, ((0, height - picture.shape[0]), (0, 0), (0, 0))) for picture in pictures]
    return np.concatenate(padded, axis=1)


def contact_sheet(rows: Sequence[Sequence[Picture]], *, width_px: int = 360) -> Picture:
    """Pictures in rows, each scaled to ``width_px`` with its aspect kept. Raises RenderingError when there are none."""
    if not rows or not all(rows):
        raise RenderingError("a contact sheet needs at least one picture in each row")
    return np.concatenate(
        [
            _padded_width(side_by_side([_scaled(p, width_px) for p in row]), width_px * max(map(len, rows)))
            for row in rows
        ]
    )


def write_png(path: Path, picture: Picture) -> None:
    """Writes a picture (H, W, 3)."""
    Image.fromarray(picture).save(path)


def write_video(path: Path, pictures: Iterable[Picture], rate_hz: float) -> None:
    """Writes pictures (H, W, 3) of one size as H.264; an odd height or width gets one black row or column.

    Raises RenderingError when there are none.
    """
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            even = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)))
            if stream is None:
                rate = Fraction(rate_hz).limit_denominator(1000)
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
                stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        if stream is None:
            raise RenderingError(f"a video needs at least one picture, got none for {path.name}")
        container.mux(stream.encode(None))


def _scaled(picture: Picture, width_px: int) -> Picture:
    height_px = max(1, round(picture.shape[0] * width_px / picture.shape[1]))
    return np.asarray(Image.fromarray(picture).resize((width_px, height_px), Image.Resampling.LANCZOS))


def _padded_width(picture: Picture, width_px: int) -> Picture:
    return np.pad(picture, ((0, 0), (0, width_px - picture.shape[1]), (0, 0)))
