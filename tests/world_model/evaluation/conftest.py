"""A small truth with every kind of pixel, and rollouts that are wrong in known ways."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from k4d_kinematics import Camera
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import MetricFit, Provenance, Rollout
from k4d_world_model.world_model import OnStep
from k4d_world_model.world_model_config import WorldModelConfig

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
