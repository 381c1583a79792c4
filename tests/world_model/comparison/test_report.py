"""The report as a program reads it, as a browser opens it from a disk, and as the command makes it."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.cli.compare import Arguments, run
from k4d_world_model.comparison.charts import Series, line_chart, ticks
from k4d_world_model.comparison.comparison import Comparison, compare_execution
from k4d_world_model.comparison.frame_figures import FIGURES
from k4d_world_model.comparison.pictures import comparison_pictures
from k4d_world_model.comparison.report_files import execution_folder, write_comparison
from k4d_world_model.dataset.bag_writer import write_bag
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.sources.rosbag import RosbagConfig
from k4d_world_model.dataset.storage.native_sample import write_sample
from k4d_world_model.errors import ComparisonError, RolloutError
from k4d_world_model.rollout import Rollout
from k4d_world_model.rollout_files import SUMMARY, write_rollout

from .conftest import FRAMES, HEIGHT, START, WIDTH

HOSTILE = "</title><script>document.title='run'</script><img src=http://example.org/x>"


@pytest.fixture
def comparison(rollout: Rollout, executed: Episode, robot: ConfiguredRobot) -> Comparison:
    """With a frame that is wrong, one that nothing was executed for, and a name that would be markup."""
    rgb = rollout.rgb.copy()
    rgb[4] += 20
    wrong = replace(rollout, rgb=rgb, provenance=replace(rollout.provenance, model_name=HOSTILE))
    kept = np.delete(np.arange(executed.frame_count), 7)
    thinned = replace(
        executed, rgb=executed.rgb[kept], times=executed.times[kept], scene_points=executed.scene_points[kept],
        T_world_cam=executed.T_world_cam[kept],
        joints=replace(executed.joints, times=executed.times[kept], positions=executed.joints.positions[kept]),
    )  # fmt: skip
    return compare_execution(wrong, thinned, START, 0.03, robot)


def strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_programs_read_every_figure_or_its_reason(comparison: Comparison, tmp_path: Path) -> None:
    write_comparison(tmp_path / "out", comparison, comparison_pictures(comparison), "as given")
    content = strictly((tmp_path / "out" / "figures.json").read_text())
    assert (content["format"], content["frames"], content["frames_with_partner"]) == ("k4d comparison", FRAMES, 8)
    assert content["execution_start_s"] == START
    assert content["by_frame"][4]["psnr_db"] == pytest.approx(20 * np.log10(255 / 20))
    assert content["by_frame"][3]["psnr_db"] == "identical"
    assert content["by_frame"][6]["executed_time_s"] is None
    assert "nearest executed frame lies" in content["by_frame"][6]["ssim"]
    assert content["overall"]["psnr"] == pytest.approx(20 * np.log10(255 / 20) + 10 * np.log10(7), abs=1e-6)
    with (tmp_path / "out" / "frames.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["index", "time_s", "offset_s", *FIGURES]
    assert [len(row) for row in rows] == [len(head)] * FRAMES
    assert float(rows[4][3]) == content["by_frame"][4]["psnr_db"]
    with av.open(str(tmp_path / "out" / "side_by_side.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 8
    assert frames[0].shape == (12 * HEIGHT, 4 * 12 * WIDTH, 3)


def test_no_two_executions_share_a_folder_whatever_they_are_called(tmp_path: Path) -> None:
    named = [("front", "a"), ("front", "b"), ("wrist", "a"), ("front", "../a"), ("front", ".._a"), ("front/left", "a"),
             ("front_left", "a"), ("front", "left_a"), ("front@left", "a"), ("front", "left@a"),
             ("front", "")]  # fmt: skip
    folders = {execution_folder(START, *names) for names in named} | {execution_folder(START + 0.002, *named[0])}
    assert len(folders) == len(named) + 1
    for folder in folders:
        (tmp_path / folder).mkdir()
    assert {path.name for path in tmp_path.iterdir()} == folders


@pytest.mark.timeout(900)  # a browser on a busy core
def test_the_page_opens_from_a_disk_and_asks_for_nothing(comparison: Comparison, tab: Any, tmp_path: Path) -> None:
    write_comparison(tmp_path / "out", comparison, comparison_pictures(comparison), "as given")
    tab.open((tmp_path / "out" / "report.html").as_uri())
    others = [address for address in tab.requested if not address.startswith(("file:", "data:image/png"))]
    assert not others
    assert len([address for address in tab.requested if address.startswith("file:")]) == 1
    assert not tab.complaints
    assert tab.evaluate("document.title") == f"Predicted and executed: {HOSTILE}"
    assert tab.evaluate("document.scripts.length") == 0
    assert tab.evaluate("[...document.images].map(i => i.naturalWidth)") == [WIDTH, WIDTH, *[4 * WIDTH] * 3]
    assert tab.evaluate("document.querySelectorAll('.charts svg').length") == 6
    ssim = "document.querySelectorAll('.charts svg')[1]"
    assert tab.evaluate(f"{ssim}.querySelectorAll('circle').length") == 8
    assert tab.evaluate(f"{ssim}.querySelector('path').getAttribute('d').match(/M/g).length") == 2, "a gap at frame 6"
    assert tab.evaluate(f"{ssim}.querySelector('path').getBoundingClientRect().width") > 300
    assert "1 of 9 predicted frames have no executed one: 6" in tab.evaluate("document.body.innerText")
    assert tab.evaluate("document.querySelectorAll('details tbody tr').length") == FRAMES
    picture = tab.picture()
    assert (picture.max(axis=(0, 1)) - picture.min(axis=(0, 1)) > 100).all(), "the page is blank"


def test_the_command_compares_a_bag_by_stamp_and_by_joints(
    rollout: Rollout, executed: Episode, robot_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamp_ns = round(START * 1e9)
    write_rollout(tmp_path / "rollout", rollout, stamp_ns=stamp_ns, base_frame="base")
    config = RosbagConfig("lab", "/image", "/camera_info", "/depth", "/joint_states", world_frame="world",
                          base_frame="base")  # fmt: skip
    write_bag(executed, tmp_path / "bag", config)
    source = tmp_path / "source.yaml"
    source.write_text(
        "source: rosbag\nname: lab\nimage_topic: /image\ncamera_info_topic: /camera_info\ndepth_topic: /depth\n"
        "joint_topic: /joint_states\nworld_frame: world\nbase_frame: base\nrobot: arm.yaml\n"
    )
    arguments = Arguments(tmp_path / "rollout", tmp_path / "bag", tmp_path / "out", source=source)
    run(arguments)
    said = capsys.readouterr().out
    assert "the stamp of the picture" in said
    content = strictly((tmp_path / "out" / "figures.json").read_text())
    assert content["by_frame"][5]["psnr_db"] == "identical"
    assert content["by_frame"][5]["robot_iou"] == 1.0
    assert content["remarks"] == []
    # The rollout's stamp says nothing of an execution that a controller began when it was told to.
    write_rollout(tmp_path / "rollout", rollout, stamp_ns=stamp_ns - 77 * 10**9, base_frame="base")
    with pytest.raises(ComparisonError, match="fewer than two of 9 predicted frames"):
        run(arguments)
    run(replace(arguments, align="joints"))
    content = strictly((tmp_path / "out" / "figures.json").read_text())
    assert content["execution_start_s"] == pytest.approx(START, abs=2e-3)
    assert content["by_frame"][5]["psnr_db"] == "identical"
    with pytest.raises(ComparisonError, match="never follow the plan"):
        run(replace(arguments, align="joints", joint_error=1e-9))
    run(replace(arguments, rollout=tmp_path / "rollout" / "rollout.mcap", start=START))
    assert "as given" in capsys.readouterr().out
    (tmp_path / "rollout" / SUMMARY).unlink()
    with pytest.raises(RolloutError, match="which is written last"):
        run(arguments)


def test_the_command_reads_a_sample_of_a_data_set(
    rollout: Rollout, executed: Episode, robot_yaml: Path, tmp_path: Path
) -> None:
    write_rollout(tmp_path / "rollout", rollout, stamp_ns=round(START * 1e9))
    (tmp_path / "data").mkdir()
    layout = NativeLayout(tmp_path / "data")
    write_sample(layout, executed)
    arguments = Arguments(tmp_path / "rollout", layout.sample_folder("one"), tmp_path / "out", robot=robot_yaml)
    run(arguments)
    content = strictly((tmp_path / "out" / "figures.json").read_text())
    assert content["by_frame"][5]["psnr_db"] == "identical"
    assert content["by_frame"][5]["distance_p95_mm"] < 0.1
    assert content["by_frame"][5]["robot_iou"] == 1.0


def test_a_chart_breaks_where_there_is_no_value_and_says_where_there_is_none_at_all() -> None:
    times = np.linspace(0.0, 2.0, 6)
    chart = line_chart("A & B", "mm", times, [Series("<one>", np.array([1.0, 2.0, np.nan, 3.0, np.inf, 4.0]))])
    assert chart.count("<circle") == 4
    assert chart.split('<path d="')[1].split('"')[0].count("M") == 3
    assert "A &amp; B (mm)" in chart
    assert "&lt;one&gt;: 3 mm at 1.200 s" in chart
    assert "no frame has this figure" in line_chart("A", "", times, [Series("one", np.full(6, np.nan))])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (17.02, 22.3), (-0.003, 0.004), (5.0, 5.0), (0.0, 0.0)])
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 11
    np.testing.assert_allclose(np.diff(found), found[1] - found[0])
