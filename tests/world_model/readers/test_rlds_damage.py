"""RLDS data sets with damaged, missing or contradictory files."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4d_world_model.dataset.sampling import FrameSampling
from k4d_world_model.dataset.sources.rlds import RldsConfig, RldsSource
from k4d_world_model.dataset.sources.rlds_schema import read_features, read_splits
from k4d_world_model.errors import SourceError

PLAIN = RldsConfig("plain", "steps/image", 4.0)


@pytest.fixture
def plain(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of a data set that a test may damage."""
    return Path(shutil.copytree(fixtures / "plain_types" / "1.0.0", tmp_path / "plain"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_files_are_named(plain: Path) -> None:
    source = RldsSource(PLAIN, plain)
    ids = source.episode_ids()
    shard = plain / "plain_types-train.tfrecord-00001-of-00002"
    shard.unlink()
    assert source.read(ids[0], FrameSampling(2)).frame_count == 2
    with pytest.raises(SourceError, match=f"{shard.name}: no such file"):
        source.read(ids[1], FrameSampling(2))
    (plain / "dataset_info.json").unlink()
    with pytest.raises(SourceError, match=r"dataset_info\.json: cannot be read"):
        RldsSource(PLAIN, plain).episode_ids()


def test_a_picture_that_is_damaged_names_its_frame(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = plain / "plain_types-train.tfrecord-00000-of-00002"
    content = shard.read_bytes()
    signature = b"\x89PNG\r\n\x1a\n"
    shard.write_bytes(content.replace(signature, b"\x89PNX\r\n\x1a\n"))
    source = RldsSource(PLAIN, plain)
    with pytest.raises(SourceError, match="00000-of-00002: wrong checksum of the 4080 bytes of record 0 at offset 12"):
        source.read(source.episode_ids()[0], FrameSampling(2))
    monkeypatch.setattr("k4d_world_model.dataset.sources.tfrecord.masked_crc", lambda data: 0)
    monkeypatch.setattr(
        "k4d_world_model.dataset.sources.rlds.read_record", lambda path, index: path.read_bytes()[12:-4]
    )
    with pytest.raises(SourceError, match="record 0, frame 0: no readable PNG or JPEG picture"):
        source.read(source.episode_ids()[0], FrameSampling(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(fileFormat="array_record"), "format 'array_record', only 'tfrecord' is supported"),
        (lambda info: info["splits"][0].pop("shardLengths"), "'train' has no shardLengths"),
        (lambda info: info["splits"][0].update(shardLengths=["one"]), "shardLengths of 'train' must be whole numbers"),
        (
            lambda info: info["splits"][0].update(shardLengths=["1", "10000000000"]),
            "may have 5000000 episodes, got 100",
        ),
        (lambda info: info["splits"][0].update(filepathTemplate="{SECRET}"), "unknown placeholder"),
        (lambda info: info.pop("splits"), "no 'splits'; it has fileFormat, moduleName, name, version"),
        (lambda info: info["splits"].append(3), "a split must be an object, got 3"),
    ],
)
def test_a_wrong_description_is_named(plain: Path, change: Callable[[Any], None], message: str) -> None:
    edit(plain / "dataset_info.json", change)
    with pytest.raises(SourceError, match=f"dataset_info.json: .*{message}"):
        read_splits(plain)


def test_a_shard_outside_the_folder_is_refused(plain: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.tfrecord"
    shutil.copy(plain / "plain_types-train.tfrecord-00000-of-00002", outside)
    for template, message in (("../outside.tfrecord", "must stay inside"), (str(outside), "must stay inside")):
        edit(plain / "dataset_info.json", lambda info, t=template: info["splits"][0].update(filepathTemplate=t))
        with pytest.raises(SourceError, match=message):
            RldsSource(PLAIN, plain).read("plain-train-00000-00000", FrameSampling(2))
    (plain / "link").symlink_to(outside)
    edit(plain / "dataset_info.json", lambda info: info["splits"][0].update(filepathTemplate="link"))
    with pytest.raises(SourceError, match="this link leaves the data set's folder"):
        RldsSource(PLAIN, plain).read("plain-train-00000-00000", FrameSampling(2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["featuresDict", "features", "sequence", "feature", "tensor", "image", "shape", "dimensions",
                         "steps", "dtype", "splits", "name", "shardLengths", "filepathTemplate", "fileFormat"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_json_raises_nothing_but_source_errors(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    root = tmp_path_factory.getbasetemp()
    for name, read in (("features.json", read_features), ("dataset_info.json", read_splits)):
        (root / name).write_text(json.dumps(content))
        with suppress(SourceError):
            read(root)
