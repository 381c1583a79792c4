"""What people see: the contact sheet, the review page, the description and the figures."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from k4d_world_model.cli import dataset as command
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.review.check import CheckReport, EpisodeCheck, check_dataset
from k4d_world_model.dataset.review.flags import FlagThresholds
from k4d_world_model.dataset.review.review_page import review_page, write_review_page
from k4d_world_model.dataset.review.show import MISSING_COLOUR, describe, episode_sheet
from k4d_world_model.dataset.review.stats import StratumStatistics, dataset_statistics

from .conftest import HEIGHT, WIDTH, make_dataset, make_episode


def test_the_sheet_shows_pictures_depths_and_where_the_robot_is_seen_hidden_or_impossible() -> None:
    episode = make_episode()
    assert episode.scene_points is not None
    assert episode.robot_points is not None
    assert episode.robot_mask is not None
    robot, scene = episode.robot_points.copy(), episode.scene_points.copy()
    robot[0] *= np.float32(0.5)
    scene[0, :2] = np.nan
    sheet = episode_sheet(replace(episode, robot_points=robot, scene_points=scene), columns=3, width_px=WIDTH)
    assert sheet.shape == (3 * HEIGHT, 3 * WIDTH, 3)
    tiles = sheet.reshape(3, HEIGHT, 3, WIDTH, 3).swapaxes(1, 2)  # (rows, columns, H, W, 3)
    np.testing.assert_array_equal(tiles[0, 1], episode.rgb[4])
    assert (tiles[1, 0, :2] == MISSING_COLOUR).all()
    near, far = tiles[1, 1, 15, 25].astype(int), tiles[1, 1, 0, 0].astype(int)
    assert (near > far + 100).all()  # the box and the floor behind it
    mask, hidden = episode.robot_mask[4], np.zeros((HEIGHT, WIDTH), bool)
    hidden[12:22, 20:30] = True
    red, green, blue = np.moveaxis(tiles[2, 1].astype(int), -1, 0)
    assert (mask & hidden).any()
    assert ((green > red) & (green > blue))[mask & ~hidden].all()
    assert (blue > green)[mask & hidden].all()
    assert ((red == green) & (green == blue))[~mask].all()
    red, green, _ = np.moveaxis(tiles[2, 0].astype(int), -1, 0)
    assert (red > green + 50)[episode.robot_mask[0]].all()


def test_an_episode_of_pictures_alone_has_a_sheet_and_a_description() -> None:
    episode = make_episode()
    bare = Episode(episode.info, episode.rgb[:2], episode.times[:2])
    assert episode_sheet(bare, columns=5, width_px=19).shape == (13, 2 * 19, 3)
    text = describe(bare)
    assert "pictures    2 x 26 x 38" in text
    assert "scene not there; robot not there" in text
    assert "shoulder, slide" in describe(episode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    episodes = [make_episode(f"s-{i}", seed=i, success=(True, False, None, True)[i]) for i in range(4)]
    return make_dataset(tmp_path / "dataset", episodes, ["s-2"]).root


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["k4d-dataset", *map(str, arguments)])
    return command.main()


def test_show_writes_the_sheet_and_prints_the_description(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", root, "s-1", "--columns", 4, "--width", 50) == 0
    assert "stratum     simulation/push/-/failure" in capsys.readouterr().out
    with Image.open(root / "review" / "sheets" / "s-1.png") as sheet:
        assert sheet.size == (200, 3 * 34)
    assert run(monkeypatch, "show", root, "s-9") == 1
    assert "s-9" in capsys.readouterr().err


def test_the_figures_are_those_of_the_samples(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "stats", root, "--json", tmp_path / "stats.json") == 0
    assert "simulation/push/-      4 67 % succeed" in capsys.readouterr().out
    figures = json.loads((tmp_path / "stats.json").read_text())
    assert (figures["samples"], figures["train"], figures["val"]) == (4, 3, 1)
    assert figures["bytes"] == sum(path.stat().st_size for path in root.glob("samples/*/*"))
    assert figures["sizes"] == [[[9, 26, 38], 4]]
    assert figures["total_duration"] == pytest.approx(3.2)
    assert (figures["nearest"], figures["farthest"]) == (pytest.approx(0.9, abs=1e-4), pytest.approx(2.0, abs=1e-4))
    assert figures["depth_samples"] == 4


def test_shares_leave_out_what_carries_no_label(root: Path) -> None:
    figures = dataset_statistics(NativeLayout(root), depth_samples=2)
    assert figures.strata == (StratumStatistics("simulation/push/-", 4, 2, 1, 1),)
    assert figures.depth_samples == 2
    assert StratumStatistics("x", 3, 0, 0, 3).success_share is None


class Page(HTMLParser):
    """Collects a page's pictures, and holds that its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.names: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag == "img":
            self.pictures.append(str(dict(attrs)["src"]))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_review_page_stands_alone_and_links_every_sheet(root: Path) -> None:
    report = check_dataset(root)
    write_review_page(root / "review" / "index.html", report, FlagThresholds())
    text = (root / "review" / "index.html").read_text()
    page = Page(text)
    assert page.pictures == [f"sheets/s-{i}.png" for i in range(4)]
    assert all((root / "review" / picture).exists() for picture in page.pictures)
    assert not page.names & {"script", "link", "iframe"}
    assert "://" not in text
    assert "4 sound" in text


def test_text_on_the_review_page_is_escaped(root: Path) -> None:
    evil = '<script>alert("1")</script>'
    checks = (
        EpisodeCheck("a", failures=(evil,), warnings=(evil,), summary=evil),
        EpisodeCheck("b", failures=(), summary="not drawn"),
    )
    text = review_page(CheckReport(root, (evil,), checks), FlagThresholds(), root / "review")
    assert "script" not in Page(text).names
    assert text.count("&lt;script&gt;alert(&quot;1&quot;)") == 4
    assert "And 1 without a sheet." in text
    assert "failed</h1>" in text
