"""Commands that work, fail, hang, and write what they should not."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.annotation.command_annotator import CommandAnnotator
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

Tool = Callable[..., CommandAnnotator]

SAVE_POINTS = 'save_file({"points": points}, out / "points.safetensors", metadata={"scale": "affine"})\n'


def test_a_tool_gets_pictures_and_gives_everything(episode: Episode, tool: Tool, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    annotator = tool(f"""
pictures = np.stack([np.asarray(Image.open(p)) for p in sorted((source / "rgb").iterdir())])
Path({str(seen)!r}).write_text(json.dumps(about))
points[:] = pictures  # so that the test sees that nothing was lost
save_file({{"points": points}}, out / "points.safetensors", metadata={{"scale": "metric"}})
save_file({{"robot_mask": mask.astype(np.uint8)}}, out / "masks.safetensors")
(out / "captions.json").write_text(json.dumps({{"caption": "It pushes.", "scene_caption": "A table."}}))
""")
    found = annotator.annotate(episode)
    np.testing.assert_array_equal(found.scene_points, episode.rgb.astype(np.float32))
    assert found.scale == "metric"
    assert found.robot_mask.sum() == 5 * 3 * 6
    assert (found.caption, found.scene_caption) == ("It pushes.", "A table.")
    assert "tool.py" in found.tool
    about = json.loads(seen.read_text())
    assert about["times"] == episode.times.tolist()
    assert about["intrinsics"] == [[20.0, 0.0, 8.5], [0.0, 21.0, 5.5], [0.0, 0.0, 1.0]]
    assert (about["frames"], about["height"], about["width"], about["version"]) == (5, 12, 18, 1)
    assert not list((tmp_path / "work").iterdir()), "exchange folders were left"


@pytest.mark.parametrize("mode", ["1", "L"])
def test_masks_as_pictures(episode: Episode, tool: Tool, mode: str) -> None:
    found = tool(f"""
(out / "masks").mkdir()
for index, frame in enumerate(mask):
    frame[index, index] = True
    Image.fromarray(frame.astype(np.uint8) * 255).convert({mode!r}).save(out / "masks" / f"{{index:05d}}.png")
""").annotate(episode)
    expected = np.zeros((5, 12, 18), bool)
    expected[:, 2:5, 3:9] = True
    expected[np.arange(5), np.arange(5), np.arange(5)] = True
    np.testing.assert_array_equal(found.robot_mask, expected)
    assert found.scene_points is None


WRONG = {
    "neither points, nor masks": "",
    r"'points' must be F32|points must be F32 of shape \(5, 12, 18, 3\), got F32 \(5, 12, 17, 3\)":
        "points = points[:, :, 1:].copy()\n" + SAVE_POINTS,
    r"must be F32 of shape .*, got F64": "points = points.astype(float)\n" + SAVE_POINTS,
    "the tensor 'points' alone, got": 'save_file({"point": points}, out / "points.safetensors")',
    "'metric' or 'affine', got None": 'save_file({"points": points}, out / "points.safetensors")',
    "'metric' or 'affine', got 'mm'":
        'save_file({"points": points}, out / "points.safetensors", metadata={"scale": "mm"})',
    r"points\.safetensors: not a readable": '(out / "points.safetensors").write_bytes(b"\\x80\\x04pickled")',
    "no links and nothing else, got 'point.safetensors'":
        'save_file({"points": points}, out / "point.safetensors")',
    "no links and nothing else, got 'captions.json'": '(out / "captions.json").symlink_to("/etc/passwd")',
    "no links and nothing else, got 'points.safetensors'": '(out / "points.safetensors").mkdir()',
    "no links and nothing else, got 'masks'":
        '(out / "masks").symlink_to(source / "rgb", target_is_directory=True)',
    "must hold 0 and 1, got 7": 'save_file({"robot_mask": mask.astype(np.uint8) * 7}, out / "masks.safetensors")',
    "must hold 5 pictures, 00000.png is missing": '(out / "masks").mkdir()',
    "nothing else, got '00005.png'": """
(out / "masks").mkdir()
for index in range(6):
    Image.fromarray(mask[0].astype(np.uint8) * 255).save(out / "masks" / f"{index:05d}.png")
""",
    "one channel of 12 rows x 18 columns, got RGB of 12 x 18": """
(out / "masks").mkdir()
for index in range(5):
    Image.fromarray(np.zeros((12, 18, 3), np.uint8)).save(out / "masks" / f"{index:05d}.png")
""",
    "must hold 0 and 255, got": """
(out / "masks").mkdir()
for index in range(5):
    Image.fromarray(np.full((12, 18), 100, np.uint8)).save(out / "masks" / f"{index:05d}.png")
""",
    "not a readable PNG": """
(out / "masks").mkdir()
for index in range(5):
    (out / "masks" / f"{index:05d}.png").write_bytes(b"GIF89a")
""",
    "got both": """
(out / "masks").mkdir()
save_file({"robot_mask": mask}, out / "masks.safetensors")
""",
    "must hold texts of caption and scene_caption": '(out / "captions.json").write_text(\'{"captoin": "x"}\')',
    "cannot be read as JSON": '(out / "captions.json").write_text("[" * 100000)',
    "at most 1000000 bytes": '(out / "captions.json").write_text(" " * 1000001)',
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_a_tool_should_not_write_is_named(episode: Episode, tool: Tool, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        tool(WRONG[message]).annotate(episode)


def test_a_tool_that_fails_is_quoted(episode: Episode, tool: Tool) -> None:
    failing = tool('print("x" * 9000)\nraise SystemExit("no GPU of type Q7 found")')
    with pytest.raises(
        AnnotationError, match=r"failed with status 1; it printed: x+\s+no GPU of type Q7 found$"
    ) as info:
        failing.annotate(episode)
    assert len(str(info.value)) < 3000
    with pytest.raises(AnnotationError, match="'/no/such/tool' cannot be started"):
        CommandAnnotator(("/no/such/tool", "{input}", "{output}")).annotate(episode)


def test_a_tool_that_hangs_is_killed_with_its_children(episode: Episode, tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    script = tmp_path / "hanging.py"
    script.write_text(f"""
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3000)"])
Path({str(pid_file)!r}).write_text(str(child.pid))
print("still loading", flush=True)
time.sleep(3000)
""")
    hanging = CommandAnnotator((sys.executable, str(script), "{input}", "{output}"), timeout=10.0)
    with pytest.raises(AnnotationError, match=r"killed after 10\.0 s; it printed: still loading"):
        hanging.annotate(episode)
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline, "the tool's child lives on"
        time.sleep(0.05)


def test_what_a_tool_leaves_running_is_killed_when_it_ends(episode: Episode, tool: Tool, tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    found = tool(f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3000)"])
Path({str(pid_file)!r}).write_text(str(child.pid))
(out / "captions.json").write_text(json.dumps({{"caption": "It pushes."}}))
""").annotate(episode)
    assert found.caption == "It pushes."
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline, "the tool's child lives on"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_shell_sees_the_command(episode: Episode, tool: Tool, tmp_path: Path) -> None:
    script = tool('(out / "captions.json").write_text(json.dumps({"caption": sys.argv[3]}))').command[1]
    nasty = f"$(touch {tmp_path}/pwned); `id` & | > {tmp_path}/pwned"
    annotator = CommandAnnotator((sys.executable, script, "{input}", "{output}", nasty))
    assert annotator.annotate(episode).caption == nasty
    assert not (tmp_path / "pwned").exists()


def test_settings_are_checked() -> None:
    for command in ((), ("tool",), ("tool", "{input}")):
        with pytest.raises(AnnotationError, match="must name the folders"):
            CommandAnnotator(command)
    for timeout in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(AnnotationError, match="positive number of seconds"):
            CommandAnnotator(("tool", "--in={input}", "--out={output}"), timeout)
