"""Who is told what when a clip is predicted: pictures of one model, points of another, disturbed pointmaps."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from k4d_world_model.ablation.held_out_clips import HeldOutClip
from k4d_world_model.ablation.pointmap_noise import PointmapNoise
from k4d_world_model.ablation.run import predicted
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.evaluation.truth import truth_of
from k4d_world_model.preparation import conditioning_of
from k4d_world_model.rollout import Rollout

from ..evaluation.conftest import make_rollout
from ..training.conftest import make_episode


@dataclass
class Model:
    """Predicts its own level everywhere, and remembers what it was told."""

    level: int
    told: list[Conditioning] = field(default_factory=list)

    def predict(self, conditioning: Conditioning, *, seed: int) -> Rollout:
        self.told.append(conditioning)
        shape = (*conditioning.robot_mask.shape, 3)
        points = np.full(shape, self.level, np.float32)
        return make_rollout(np.full(shape, self.level, np.uint8), points, conditioning.camera, conditioning.times)


@pytest.fixture
def clip() -> HeldOutClip:
    episode = make_episode("one", 2)
    return HeldOutClip("one", "first", conditioning_of(episode), truth_of(episode))


def test_a_second_model_makes_points_of_the_firsts_pictures(clip: HeldOutClip) -> None:
    pictures, points = Model(7), Model(9)
    rollout = predicted([pictures, points], clip, PointmapNoise())
    assert (rollout.rgb == 7).all()
    assert (rollout.points == 9).all()
    assert (points.told[0].pictures == 7).all()


def test_one_that_reconstructs_by_itself_gets_the_true_pictures(clip: HeldOutClip) -> None:
    model = Model(7)
    predicted([model], clip, PointmapNoise())
    assert np.array_equal(model.told[0].pictures, clip.truth.rgb)
    assert np.array_equal(model.told[0].robot_mask, clip.conditioning.robot_mask)


def test_every_model_gets_the_same_noise(clip: HeldOutClip) -> None:
    models = [Model(7), Model(9)]
    for model in models:
        predicted([model], clip, PointmapNoise(shift_px=2))
    one, other = (model.told[0].robot_mask for model in models)
    assert np.array_equal(one, other)
    assert not np.array_equal(one, clip.conditioning.robot_mask)
