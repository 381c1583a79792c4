"""Predictions of any model from their files: what is read, and what is refused by name."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from k4d_kinematics import Camera
from k4d_kinematics.pictures import write_png
from k4d_world_model.dataset.storage.video_files import encode_mp4
from k4d_world_model.errors import EvaluationError, PredictionError, RolloutError
from k4d_world_model.evaluation.foreign_predictions import ForeignPredictions
from k4d_world_model.evaluation.prediction import Prediction
from k4d_world_model.rollout_files import write_rollout

from .conftest import make_rollout

SHAPE = (5, 16, 24)
CAMERA = Camera.pinhole(16, 24, 20.0, 21.0, 11.3, 7.9, frame_id="optical")


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)


def points_on_rays() -> NDArray[np.float32]:
    depth = np.random.default_rng(2).uniform(0.5, 2.0, (*SHAPE, 1)).astype(np.float32)
    points = np.concatenate([CAMERA.rays().astype(np.float32) * depth, depth], axis=-1)
    points[2, 3:7, 4] = np.nan
    return np.asarray(points, np.float32)


def write_pngs(folder: Path, rgb: NDArray[np.uint8], first: int = 0) -> None:
    folder.mkdir()
    for t, picture in enumerate(rgb):
        write_png(folder / f"{t + first:04d}.png", picture)


def test_videos_pictures_and_rollouts_are_read_as_they_are(tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    (tmp_path / "video.mp4").write_bytes(encode_mp4(rgb, None))
    write_pngs(tmp_path / "pictures", rgb, first=1)
    write_rollout(tmp_path / "rollout", make_rollout(rgb, points_on_rays(), CAMERA))
    files = ForeignPredictions(tmp_path)
    assert files.name == tmp_path.name
    for name in ("video", "pictures", "rollout"):
        prediction = files.read(name)
        np.testing.assert_array_equal(prediction.rgb, rgb)
        assert (prediction.points is None) == (name != "rollout")
        assert prediction.seconds.value is None
    np.testing.assert_array_equal(files.read("rollout").points, points_on_rays())


def test_a_change_of_its_files_changes_the_identity(tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    write_pngs(tmp_path / "one", rgb)
    files = ForeignPredictions(tmp_path)
    before = files.identity("one")
    assert before == ForeignPredictions(tmp_path).identity("one") != ""
    write_png(tmp_path / "one" / "0003.png", rgb[0])
    assert files.identity("one") != before
    assert files.identity("two") == ""


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    files = ForeignPredictions(tmp_path)
    with pytest.raises(PredictionError, match=r"has no prediction of nothing; it would be nothing.mp4"):
        files.read("nothing")
    write_pngs(tmp_path / "gap", rgb)
    (tmp_path / "gap" / "0002.png").unlink()
    with pytest.raises(PredictionError, match="without a gap from 0 or 1, got 4 pictures from 0 to 4"):
        files.read("gap")
    write_pngs(tmp_path / "late", rgb, first=2)
    with pytest.raises(PredictionError, match="got 5 pictures from 2 to 6"):
        files.read("late")
    write_pngs(tmp_path / "named", rgb)
    write_png(tmp_path / "named" / "last.png", rgb[0])
    with pytest.raises(PredictionError, match=r"named by their frame's number, got last.png"):
        files.read("named")
    write_pngs(tmp_path / "twice", rgb)
    write_png(tmp_path / "twice" / "2.png", rgb[0])
    with pytest.raises(PredictionError, match=r"each frame must be there once, got others beside 0002.png"):
        files.read("twice")
    write_pngs(tmp_path / "sizes", rgb)
    write_png(tmp_path / "sizes" / "0001.png", rgb[0, 1:])
    with pytest.raises(PredictionError, match="of several sizes"):
        files.read("sizes")
    write_pngs(tmp_path / "folders", rgb)
    (tmp_path / "folders" / "0005.png").mkdir()
    with pytest.raises(PredictionError, match=r"pictures must be files, which 0005\.png are not"):
        files.read("folders")
    (tmp_path / "cut.mp4").write_bytes(encode_mp4(rgb, None)[:300])
    with pytest.raises(PredictionError, match=r"cut\.mp4"):
        files.read("cut")
    before = files.identity("gap")
    (tmp_path / "gap.mp4").write_bytes(b"")
    assert files.identity("gap") not in ("", before)
    with pytest.raises(PredictionError, match=r"has gap more than once: gap, gap.mp4"):
        files.read("gap")
    with pytest.raises(EvaluationError, match="no such folder of predictions"):
        ForeignPredictions(tmp_path / "nowhere")


def test_a_half_finished_rollout_and_a_cloud_of_nan_are_named(tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    write_rollout(tmp_path / "half", make_rollout(rgb, points_on_rays(), CAMERA))
    (tmp_path / "half" / "summary.json").unlink()
    with pytest.raises(RolloutError, match=r"has no summary\.json, which is written last"):
        ForeignPredictions(tmp_path).read("half")
    write_rollout(tmp_path / "empty", make_rollout(rgb, np.full_like(points_on_rays(), np.nan), CAMERA))
    with pytest.raises(PredictionError, match="none of its points is known, all are NaN"):
        ForeignPredictions(tmp_path).read("empty")
    broken = points_on_rays()
    broken[1, 2, 3, 0], broken[4, 5, 6] = np.nan, np.inf
    write_rollout(tmp_path / "broken", make_rollout(rgb, broken, CAMERA))
    with pytest.raises(PredictionError, match=r"or NaN in all three coordinates; 2 of 1920 are neither"):
        ForeignPredictions(tmp_path).read("broken")


def test_other_sizes_and_frames_are_fitted_or_refused(tmp_path: Path, rgb: NDArray[np.uint8]) -> None:
    prediction = Prediction.of_rollout(make_rollout(rgb, points_on_rays(), CAMERA))
    half = Camera.pinhole(8, 12, 10.0, 10.5, (11.3 + 0.5) / 2 - 0.5, (7.9 + 0.5) / 2 - 0.5, frame_id="optical")
    small = prediction.fitted(3, half, "it")
    expected = rgb[::2].reshape(3, 8, 2, 12, 2, 3).astype(float).mean(axis=(2, 4))
    assert np.abs(small.rgb - expected).max() <= 0.5 + 1e-3
    assert small.points is not None
    np.testing.assert_array_equal(small.points[..., 2], points_on_rays()[::2, 1::2, 1::2, 2])
    np.testing.assert_allclose(half.project(small.points[0, 3, 5]), [5, 3], atol=1e-4)
    with pytest.raises(
        PredictionError, match=r"it has 5 frames, 4 are scored: it must have those, or 1 \+ a multiple of 3"
    ):
        prediction.fitted(4, half, "it")
    with pytest.raises(PredictionError, match="it has 5 frames, 9 are scored"):
        prediction.fitted(9, half, "it")
    wide = Camera.pinhole(8, 13, 10.0, 10.5, 6.0, 4.0, frame_id="optical")
    with pytest.raises(PredictionError, match="it is of 16 x 24 px, whose shape is not that of 8 x 13"):
        prediction.fitted(5, wide, "it")
