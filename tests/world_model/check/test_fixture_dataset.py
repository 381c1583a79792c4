"""The small simulated data set that comes with the repository is sound and small, and holds successes and failures."""

import shutil
from pathlib import Path

import pytest

from k4d_world_model.dataset.clips import ClipDataset, ClipSettings
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.review.check import check_dataset
from k4d_world_model.dataset.review.stats import dataset_statistics

FIXTURE = Path(__file__).resolve().parent.parent / "fixture_dataset"
LARGEST_BYTES = 3_000_000


def test_it_passes_the_check(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "dataset")
    report = check_dataset(tmp_path / "dataset")
    assert report.passed, report
    assert sum(path.stat().st_size for path in FIXTURE.rglob("*") if path.is_file()) <= LARGEST_BYTES


def test_it_holds_every_task_with_a_success_and_a_failure() -> None:
    strata = {stratum.name: stratum.success_share for stratum in dataset_statistics(NativeLayout(FIXTURE)).strata}
    for task in ("pick_place", "push", "reach"):
        shares = [share for name, share in strata.items() if f"/{task}/" in name]
        assert sorted(shares) == [0.0, 1.0], strata


@pytest.mark.parametrize("normalization", ["scene", "robot"])
def test_both_parts_make_clips(normalization: str) -> None:
    settings = ClipSettings(normalization)  # type: ignore[arg-type]
    for part, count in (("train", 5), ("val", 1)):
        clips = ClipDataset(FIXTURE, part, settings)  # type: ignore[arg-type]
        assert len(clips) == count
        clip = clips[count - 1]
        assert tuple(clip.rgb.shape) == (3, 49, 64, 96)
        assert clip.is_metric
        depths = clip.robot_affine.points(clip.robot_points)[2][clip.robot_mask]
        assert depths.min() > 0.3
        assert depths.max() < 3.0
