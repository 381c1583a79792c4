"""Pictures are what they say: sizes, colours, and a video that decodes to the same frames."""

from pathlib import Path

import av
import numpy as np
import pytest

from k4d_kinematics.errors import RenderingError
from k4d_kinematics.pictures import contact_sheet, coordinates_as_colours, side_by_side, write_video


def test_coordinates_span_the_colours() -> None:
    points = np.full((3, 5, 7, 3), np.nan, np.float32)
    mask = np.zeros((3, 5, 7), bool)
    mask[:, 2:4, 1:6] = True
    points[mask] = np.random.default_rng(0).uniform(-2, 3, (mask.sum(), 3))
    colours = coordinates_as_colours(points, mask)
    assert (colours[~mask] == 0).all()
    for axis in range(3):
        inside = colours[mask][:, axis]
        assert (inside.min(), inside.max()) == (0, 255)
        order = np.argsort(points[mask][:, axis])
        assert (np.diff(inside[order].astype(int)) >= 0).all()


def test_no_robot_is_black_and_one_depth_is_no_division_by_zero() -> None:
    points = np.full((4, 6, 3), np.nan, np.float32)
    assert (coordinates_as_colours(points, np.zeros((4, 6), bool)) == 0).all()
    points[1, 2] = 1.0
    mask = np.isfinite(points[..., 0])
    assert (coordinates_as_colours(points, mask) == 0).all()


def test_sheets_and_rows_have_the_size_of_their_parts() -> None:
    small, large = np.full((4, 6, 3), 9, np.uint8), np.full((10, 5, 3), 7, np.uint8)
    row = side_by_side([small, large])
    assert row.shape == (10, 11, 3)
    assert (row[4:, :6] == 0).all()
    sheet = contact_sheet([[small, small, small], [large]], width_px=12)
    assert sheet.shape == (8 + 24, 36, 3)
    with pytest.raises(RenderingError, match="at least one picture"):
        contact_sheet([[], [small]])


def test_a_video_holds_its_frames(tmp_path: Path) -> None:
    frames = [np.full((31, 45, 3), level, np.uint8) for level in (20, 120, 220)]
    write_video(tmp_path / "v.mp4", iter(frames), 12.5)
    with av.open(str(tmp_path / "v.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert float(container.streams.video[0].average_rate) == 12.5
    assert [frame.shape for frame in decoded] == [(32, 46, 3)] * 3
    for frame, expected in zip(decoded, (20, 120, 220), strict=True):
        assert abs(int(frame[10, 10, 0]) - expected) <= 4
    with pytest.raises(RenderingError, match="at least one picture"):
        write_video(tmp_path / "none.mp4", iter([]), 10.0)
