"""Measures the scoring of finished rollouts of 49 frames at 96 x 144 pixels, every figure but LPIPS, FID and FVD.

    python bench/evaluation.py --out out/bench

The rollouts are the frozen world's, read from the files that they were written to; the frozen world itself, which is a
row of every evaluation, is predicted and scored beside them.
"""

import tempfile
import time
from pathlib import Path

import tyro
from records import Record, write_records

from k4d_kinematics import configured_robot
from k4d_world_model.dataset.building.build import build_dataset
from k4d_world_model.dataset.building.build_settings import BuildSettings
from k4d_world_model.evaluation.evaluate import evaluate
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.held_out import conditioning_with_robot, of_split
from k4d_world_model.rollout_files import write_rollout
from k4d_world_model.world_model import open_world_model

CONFIG = Path(__file__).resolve().parent.parent / "config"
SOURCE = CONFIG / "sources" / "held_out_medium.yaml"
ROBOT = CONFIG / "robots" / "panda.yaml"
EPISODES = 3
CORES = 2


def write_rollouts(data: Path, rollouts: Path) -> None:
    """Simulates a data set, and writes the frozen world's rollout of every episode in it."""
    build_dataset(SOURCE, data, BuildSettings(episodes=EPISODES, validation_share=0.0, workers=1))
    held_out = of_split(data, "train", configured_robot(ROBOT))
    model = open_world_model(CONFIG / "world_models" / "frozen_world.yaml")
    for episode_id in held_out.episode_ids:
        start = conditioning_with_robot(held_out.read(episode_id), held_out.robot)
        write_rollout(rollouts / episode_id, model.predict(start, seed=0))


def main(out: Path = Path("out/bench")) -> None:
    """Writes ``evaluation.json``.

    Args:
        out: Folder of the JSON file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rollouts(folder / "data", folder / "finished")
        seconds = []
        for count in (1, EPISODES):  # the first one loads and compiles
            settings = EvaluationSettings(
                out=folder / f"of_{count}", data=(folder / "data",), split="train", robot=ROBOT, episodes=count,
                predictions=(folder / "finished",), size=(49, 96, 144), sheets=0,
            )  # fmt: skip
            started = time.process_time()
            evaluate(settings)
            seconds.append(time.process_time() - started)
    episode_s = seconds[1] / EPISODES
    conditions = (
        f"CPU seconds an episode with two rollouts, one read from files and one predicted, mean of {EPISODES}; 50 take "
        f"{50 * episode_s / CORES / 60:.1f} minutes of {CORES} cores with --ray local"
    )
    write_records(out / "evaluation.json", [Record("evaluation_cpu_s", episode_s, "s", None, None, conditions)])


if __name__ == "__main__":
    tyro.cli(main)
