"""Measures a rollout of the small world model on this machine's processor, in a process that does nothing else.

    python bench/world_model.py --out out/bench

The rollout starts from a held-out simulated episode: conditioning in, pictures and metric points out. The second
process of the measurement is this one.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import tyro
from records import Record, write_records

from k4d_kinematics import Camera, ToolPath
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.evaluation.held_out import conditioning_with_robot, of_source
from k4d_world_model.world_model import open_world_model

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "config" / "world_models" / "tiny.yaml"
SOURCE = ROOT / "config" / "sources" / "held_out_medium.yaml"
FRAMES = 49
REPEATS = 5


def write_conditioning(path: Path) -> None:
    """Simulates the source's first episode and keeps what a prediction of it starts from."""
    held_out = of_source(SOURCE, FRAMES)
    start = conditioning_with_robot(held_out.read(held_out.episode_ids[0]), held_out.robot)
    names = ("first_frame", "robot_points", "robot_mask", "times", "T_cam_base", "robot_rgb", "first_points")
    assert start.tool is not None, f"{SOURCE} names no tool link"
    tool = {"T_base_tool": start.tool.T_base_tool, "opening": start.tool.opening}
    np.savez(path, K=start.camera.matrix, **tool, **{name: getattr(start, name) for name in names})


def read_conditioning(path: Path) -> Conditioning:
    """What ``write_conditioning`` kept."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    K, tool = arrays.pop("K"), ToolPath(arrays.pop("T_base_tool"), arrays.pop("opening"))
    height, width = arrays["first_frame"].shape[:2]
    camera = Camera.pinhole(height, width, K[0, 0], K[1, 1], K[0, 2], K[1, 2], frame_id="camera")
    return Conditioning(camera=camera, tool=tool, **arrays)


def measure(conditioning: Path, model: Path) -> list[float]:
    """Median seconds a rollout, median seconds a step, peak MB of this process, steps, threads; after a first one."""
    start = read_conditioning(conditioning)
    world_model = open_world_model(model)
    rollouts, steps, moments = [], [], []
    for repeat in range(1 + REPEATS):
        moments.clear()
        started = time.perf_counter()
        world_model.predict(start, seed=0, on_step=lambda step, total: moments.append(time.perf_counter()))
        if repeat:
            rollouts.append(time.perf_counter() - started)
            steps += np.diff(moments).tolist()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return [statistics.median(rollouts), statistics.median(steps), peak_mb, len(moments) - 1, torch.get_num_threads()]


def main(out: Path = Path("out/bench"), model: Path = MODEL) -> None:
    """Writes ``world_model.json``.

    Args:
        out: Folder of the JSON file.
        model: World model YAML.
    """
    with tempfile.TemporaryDirectory() as folder:
        conditioning = Path(folder) / "conditioning.npz"
        write_conditioning(conditioning)
        command = [sys.executable, __file__, "--measure", conditioning, model]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    rollout_s, step_s, peak_mb, steps, threads = map(float, done.stdout.split()[-5:])
    conditions = (
        f"{model.stem}, {FRAMES} frames of 96 x 144, {steps:.0f} steps, {threads:.0f} torch threads, from arrays to "
        f"arrays, median of {REPEATS}"
    )
    write_records(
        out / "world_model.json",
        [
            Record("tiny_rollout_s", rollout_s, "s", None, None, conditions),
            Record("tiny_step_s", step_s, "s", None, None, f"{conditions}, of all steps"),
            Record("tiny_peak_mb", peak_mb, "MB", None, None, f"largest resident set of the process; {conditions}"),
        ],
    )


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(*measure(*map(Path, sys.argv[2:4])))
    else:
        tyro.cli(main)
