"""Sources by their YAML files."""

from pathlib import Path
from typing import Any

import pytest

from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.dataset.sources.rosbag import RosbagSource
from k4d_world_model.errors import SourceError


def test_a_source_is_opened_by_its_kind(site: Any) -> None:
    source = open_source(site.source, root=site.root)
    assert isinstance(source, RosbagSource)
    assert source.episode_ids() == site.good


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source: rosbags\n", r"one of simulation, robo4d, .*, rosbag, got 'rosbags'; did you mean 'rosbag'\?"),
        ("name: lab\n", "source must be one of .* got None"),
        ("- rosbag\n", "source must be one of"),
        ("source: [rosbag]\n", "source must be one of"),
        ("source: {\n", "cannot be read as YAML"),
        ("source: rosbag\nname: lab\nimage_topics: /image\n", "unknown key 'image_topics'; did you mean 'image_topic'"),
        ("source: rosbag\nname: lab\n", 'missing value for field "image_topic"'),
        ("source: rosbag\nname: ''\nimage_topic: /image\n", "name must not be empty"),
        (
            "source: rosbag\nname: lab\nimage_topic: /i\ncamera_info_topic: /c\nworld_frame: w\nbase_frame: b\n"
            "joint_topic: /j\nrobot: no.yaml\n",
            r"no\.yaml",
        ),
    ],
)
def test_what_is_wrong_in_a_source_is_named_with_its_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(text)
    with pytest.raises(SourceError, match=complaint) as raised:
        open_source(path, root=tmp_path)
    assert str(path) in str(raised.value)


def test_recordings_need_a_root(site: Any) -> None:
    with pytest.raises(SourceError, match="'rosbag' needs the root folder of recordings"):
        open_source(site.source)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.yaml: cannot be read"):
        open_source(tmp_path / "nowhere.yaml")
