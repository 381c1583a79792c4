"""The page in a real browser: it loads, its controls move the cloud, nothing is blank."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from k4d_kinematics import configured_robot
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import write_rollout
from k4d_world_model.viewer.contents import read_contents
from k4d_world_model.viewer.page import Page


@pytest.fixture
def page(rollout: Rollout, recorded: Episode, robot_yaml: Path, tmp_path: Path) -> Iterator[Page]:
    write_rollout(tmp_path / "out", rollout, recorded=recorded)
    contents = read_contents(tmp_path / "out", robot=configured_robot(robot_yaml))
    served = Page(contents, host="127.0.0.1", port=18_080)
    yield served
    served.close()


def coloured(picture: np.ndarray, red: bool, green: bool, blue: bool) -> np.ndarray:
    """Where the scene, left of the panel, has strong channels as named and weak others: (n, 2) rows and columns."""
    scene = picture[:, : picture.shape[1] * 2 // 3].astype(int)
    wanted = [scene[..., k] > 140 if strong else scene[..., k] < 90 for k, strong in enumerate((red, green, blue))]
    return np.argwhere(np.logical_and.reduce(wanted))


def place(picture: np.ndarray) -> float:
    """How far right the red patch stands in the cloud, 0 to 1, however the cloud is seen; NaN where it is not."""
    red, green = (coloured(picture, *strong)[:, 1] for strong in ((True, False, False), (False, True, False)))
    if len(red) < 100 or len(green) < 1000:
        return np.nan
    columns = np.concatenate([red, green])
    return float((red.mean() - columns.min()) / np.ptp(columns))


@pytest.mark.timeout(900)  # software OpenGL on a busy core
def test_the_page_shows_and_moves_the_cloud(
    page: Page, tab: Any, wait_for: Callable[[Callable[[], object], str], None]
) -> None:
    tab.open(f"http://127.0.0.1:{page.port}")
    page.display(robot=True, camera=False)  # the camera's picture shows the patch too
    wait_for(lambda: place(tab.picture()) < 0.4, "green wall with a red patch on its left")
    wait_for(lambda: len(coloured(tab.picture(), True, True, False)) > 50, "yellow arm")

    page.show(6)
    wait_for(lambda: place(tab.picture()) > 0.6, "patch on the right after show")
    assert tab.evaluate("document.querySelector('[role=slider]').getAttribute('aria-valuenow')") == "6"
    tab.evaluate("document.querySelector('[role=slider]').focus()")
    for _ in range(6):
        tab.press("ArrowLeft")
    wait_for(lambda: page.index == 0, "frame 0 after six keys on the slider")
    wait_for(lambda: place(tab.picture()) < 0.4, "patch back on the left")

    def patches() -> tuple[bool, bool]:
        picture = tab.picture()
        return len(coloured(picture, True, False, False)) > 100, len(coloured(picture, False, False, True)) > 100

    page.choose("recorded")
    wait_for(lambda: patches() == (False, True), "blue patch instead of the red")
    page.show(3)  # the patch in the middle, so that neither of two leaves the picture
    page.choose("both")
    wait_for(lambda: patches() == (True, True), "blue patch beside the red")

    tab.evaluate("[...document.querySelectorAll('button')].find(b => b.textContent.includes('Play')).click()")
    wait_for(lambda: page.is_playing and page.index > 4, "playback after the button")
    assert not tab.complaints


def test_the_page_plays_holds_and_stays_on_this_machine(page: Page, wait_for: Any) -> None:
    assert page.server.get_host() == "127.0.0.1"
    page.show(4)
    assert page.index == 4
    assert not page.is_playing
    page.play()
    wait_for(lambda: page.index < 4, "next round")
    page.pause()
    held = page.index
    page.show(5)
    page.choose("both")
    assert (held < 7, page.index, page.is_playing) == (True, 5, False)
