"""A model that does as a test says, and that a test may stop half-way."""

import threading
from collections.abc import Callable

import numpy as np

from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import RobotNotVisibleError
from k4d_world_model.rollout import MetricFit, Provenance
from k4d_world_model.rollout import Rollout as PredictedRollout
from k4d_world_model.world_model import OnStep
from k4d_world_model.world_model_config import RuntimeConfig, WorldModelConfig

COUNT, STEPS = 5, 3
MODEL_SHAPE = (COUNT, 6, 9)
PATIENCE = 60.0


class FakeModel:
    """Predicts the first frame, ever darker, on a plane; ``at_step`` is called before each step is told."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        self.config = WorldModelConfig(
            "fake", "frozen_world", frames=COUNT, height=6, width=9, runtime=RuntimeConfig("cpu")
        )
        self.frame_shape, self.weights_sha256 = MODEL_SHAPE, "ab" * 32
        self.at_step = at_step
        self.conditionings: list[Conditioning] = []
        self.seeds: list[int] = []
        self.steps: list[int] = []
        self.is_closed = False

    def predict(
        self, conditioning: Conditioning, *, seed: int, on_step: OnStep | None = None, steps: int | None = None
    ) -> PredictedRollout:
        assert not self.is_closed
        self.conditionings.append(conditioning)
        self.seeds.append(seed)
        if not conditioning.robot_mask.any():
            raise RobotNotVisibleError("the robot is in none of the frames")
        total = steps or STEPS
        self.steps.clear()
        for step in range(total + 1):
            self.at_step(step)
            self.steps.append(step)
            on_step(step, total)
        dark = np.arange(1, COUNT + 1, dtype=np.uint8)[:, None, None, None]
        z = np.full((*MODEL_SHAPE, 1), 1.5, np.float32) + dark.astype(np.float32) / 8
        points = np.concatenate([conditioning.camera.rays().astype(np.float32) * z, z], axis=-1)
        points[:, 0, 1] = np.nan
        provenance = Provenance(
            "fake", self.weights_sha256, conditioning.robot_sha256, seed, total, "none", "cpu", 0.25, 12_000_000,
            (("numpy", np.__version__),),
        )  # fmt: skip
        fit = MetricFit(np.ones(3), np.zeros(3), 0.004, 77)
        return PredictedRollout(
            conditioning.first_frame // dark, points, np.isfinite(points).all(axis=-1), conditioning.times,
            conditioning.camera, conditioning.T_cam_base, fit, provenance, conditioning.joints,
        )  # fmt: skip

    def close(self) -> None:
        self.is_closed = True


class Gate:
    """Stops a model before it tells of one step, until it is opened."""

    def __init__(self, step: int) -> None:
        self._step, self.reached, self.opened = step, threading.Event(), threading.Event()

    def __call__(self, step: int) -> None:
        if step == self._step and not self.opened.is_set():
            self.reached.set()
            assert self.opened.wait(PATIENCE)
