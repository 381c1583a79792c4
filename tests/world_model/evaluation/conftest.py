"""A small truth with every kind of pixel, rollouts that are wrong in known ways, and evaluations of fake models."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, configured_robot
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.evaluation import entrants
from k4d_world_model.evaluation.evaluate import Evaluation
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.fitted_episode import fitted_episode, shortened
from k4d_world_model.evaluation.held_out import HeldOut, of_split
from k4d_world_model.evaluation.judges import JudgeSettings
from k4d_world_model.evaluation.report import write_report
from k4d_world_model.evaluation.truth import Truth, truth_of
from k4d_world_model.rollout import MetricFit, Provenance, Rollout
from k4d_world_model.world_model import OnStep, WorldModel
from k4d_world_model.world_model_config import WorldModelConfig

ROOT = Path(__file__).resolve().parents[3]
DATASET = ROOT / "tests" / "world_model" / "fixture_dataset"
ROBOT = ROOT / "config" / "robots" / "panda.yaml"
SIZE = (7, 24, 36)  # frames, height and width that are scored

Make = Callable[..., EvaluationSettings]

FRAMES, HEIGHT, WIDTH = 7, 25, 31
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 30.0, 32.0, 15.2, 12.1, frame_id="optical")


def make_rollout(
    rgb: NDArray[np.uint8],
    points: NDArray[np.float32],
    camera: Camera = CAMERA,
    times: NDArray[np.float64] | None = None,
) -> Rollout:
    """A rollout of these pictures and points; a point is valid where all of it is finite."""
    count = len(rgb)
    fit = MetricFit(np.ones(3), np.zeros(3), 0.0, 1)
    provenance = Provenance("fake", "", "", 0, 1, "none", "cpu", 0.0, 0, ())
    return Rollout(
        rgb, points, np.isfinite(points).all(axis=-1), np.arange(count) / 10.0 if times is None else times, camera,
        np.tile(np.eye(4), (count, 1, 1)), fit, provenance,
    )  # fmt: skip


@pytest.fixture
def truth() -> Truth:
    """A robot block that moves right, an object that starts to move in frame 2, missing points, some noise."""
    generator = np.random.default_rng(3)
    shape = (FRAMES, HEIGHT, WIDTH)
    rgb = np.broadcast_to(generator.integers(0, 256, (HEIGHT, WIDTH, 3)), (*shape, 3)).astype(np.int64)
    rgb = rgb + generator.integers(-6, 7, (*shape, 3))
    points = np.broadcast_to(generator.uniform(-0.2, 0.2, (HEIGHT, WIDTH, 3)) + [0, 0, 1.2], (*shape, 3)).copy()
    robot = np.full((*shape, 3), np.nan)
    for t in range(FRAMES):
        points[t, 3:6, 2 + max(0, t - 1) : 7 + max(0, t - 1), 2] -= 0.15
        block = (t, slice(8, 22), slice(4 + 2 * t, 17 + 2 * t))
        robot[block] = generator.uniform([-0.3, -0.2, 0.6], [0.3, 0.4, 1.0], (14, 13, 3))
        points[block], rgb[block] = robot[block], 40 + t
    points[generator.random(shape) < 0.05] = np.nan
    mask = np.isfinite(robot[..., 2])
    seen = mask.copy()
    seen[:, 7] |= mask[:, 8]  # the simulator sees a row more
    return Truth(
        np.clip(rgb, 0, 255).astype(np.uint8), points.astype(np.float32), robot.astype(np.float32), mask | seen
    )


@dataclass
class FakeModel:
    """A world model that knows the truth, but for a shift of all its levels and points by what it is told."""

    truth: Truth
    name: str
    levels: int
    metres: float
    predicted: int = 0

    @property
    def config(self) -> WorldModelConfig:
        """A baseline's, since that needs no checkpoint."""
        frames, height, width = self.frame_shape
        return WorldModelConfig(self.name, "frozen_world", frames=frames, height=height, width=width)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """The truth's."""
        frames, height, width = self.truth.rgb.shape[:3]
        return frames, height, width

    @property
    def weights_sha256(self) -> str:
        """None."""
        return ""

    def predict(
        self, conditioning: Conditioning, *, seed: int, on_step: OnStep | None = None, steps: int | None = None
    ) -> Rollout:
        """The shifted truth."""
        self.predicted += 1
        assert conditioning.first_frame.shape == self.truth.rgb.shape[1:]
        rgb = np.clip(self.truth.rgb.astype(int) + self.levels, 0, 255).astype(np.uint8)
        points = self.truth.points + np.float32(self.metres)
        return make_rollout(rgb, points, conditioning.camera, conditioning.times)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("surfaces")


@pytest.fixture(scope="session")
def robot(cache: Path) -> ConfiguredRobot:
    return configured_robot(ROBOT, cache)


@pytest.fixture(scope="session")
def held_out(robot: ConfiguredRobot) -> HeldOut:
    return of_split(DATASET, "train", robot).first(2)


@pytest.fixture(scope="session")
def episode(held_out: HeldOut) -> Episode:
    return held_out.read(held_out.episode_ids[0])


def small(episode: Episode) -> Episode:
    """The episode as it is scored."""
    return fitted_episode(shortened(episode, SIZE[0]), *SIZE[1:])


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, episode: Episode) -> dict[str, FakeModel]:
    """Fake models by the name of the YAML file that they are opened from."""
    truth = truth_of(small(episode))
    known = {name: FakeModel(truth, name, *off) for name, off in (("better", (2, 0.001)), ("worse", (20, 0.01)))}

    def opened(path: Path, *, device: str | None = None) -> WorldModel:
        return known[path.stem]

    monkeypatch.setattr(entrants, "open_world_model", opened)
    return known


@pytest.fixture
def settings(tmp_path: Path, cache: Path) -> Callable[..., EvaluationSettings]:
    """Settings for one episode of the fixture's data set, judged without networks."""

    def make(*names: str, out: str = "out", **others: object) -> EvaluationSettings:
        plain = {
            "data": (DATASET,), "split": "train", "robot": ROBOT, "models": tuple(map(Path, names)), "episodes": 1,
            "size": SIZE, "seed": 5, "judges": JudgeSettings(efficientnet_lite0=False), "sheets": 0, "cache": cache,
        }  # fmt: skip
        return EvaluationSettings(out=tmp_path / out, **{**plain, **others})  # type: ignore[arg-type]

    return make


def written(evaluation: Evaluation, out: Path) -> dict[str, Any]:
    """The summary of the evaluation's report, which is written into ``out``."""
    assert write_report(out, evaluation) == (out / "table.md").read_text()
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content
