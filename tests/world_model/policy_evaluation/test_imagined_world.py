"""A policy's world in a prediction: what it starts from, and that nothing of the simulator is in it."""

import ast
import gc
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import ConfiguredRobot
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.policy_evaluation import imagined_world
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.imagined_world import ImaginedWorld
from k4d_world_model.policy_evaluation.policy import ActionChunk
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

from .conftest import HEIGHT, RED, WIDTH, Block, observe


@dataclass
class Brightening:
    """A model whose frame k is the first frame and k levels brighter, everything a centimetre farther each time."""

    frames: int
    asked: list[Conditioning] = field(default_factory=list)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        return self.frames, HEIGHT, WIDTH

    def predict(self, conditioning: Conditioning, *, seed: int) -> Rollout:
        self.asked.append(conditioning)
        steps = np.arange(self.frames)
        rgb = (conditioning.first_frame + steps[:, None, None, None]).astype(np.uint8)
        points = (conditioning.first_points + 0.01 * steps[:, None, None, None]).astype(np.float32)
        valid = np.isfinite(points).all(axis=-1)
        points[~valid] = np.nan
        fit = MetricFit(np.ones(3), np.zeros(3), 0.0, 1)
        provenance = Provenance("fake", "", "", seed, 1, "none", "cpu", 0.0, 0, ())
        return Rollout(
            rgb,
            points,
            valid,
            conditioning.times,
            conditioning.camera,
            conditioning.T_cam_base,
            fit,
            provenance,
            conditioning.joints,
        )


def chunk(robot: ConfiguredRobot, count: int, by: float) -> ActionChunk:
    """``count`` steps of slide_y, ``by`` metres in all, from 0.2."""
    return ActionChunk(("slide_y",), (0.2 + by * np.arange(1, count + 1) / count)[:, None], PERIOD)


def test_the_whole_past_is_predicted_from_the_first_observation(gantry: ConfiguredRobot) -> None:
    first = observe(gantry, [Block((0.5, 0.0), (0.03, 0.03, 0.03), RED)])
    small, large = Brightening(5), Brightening(9)
    world = ImaginedWorld((large, small), gantry, first, seed=3)
    assert world.observe() is first
    assert world.footage().rgb.shape == (1, HEIGHT, WIDTH, 3)
    world.act(chunk(gantry, 16, -0.1))
    assert (len(small.asked), len(large.asked)) == (1, 0)
    seen = world.observe()
    assert (seen.rgb == first.rgb + 4).all()
    assert seen.positions == pytest.approx([0.3, 0.1, 0.4, 0.04, 0.04])
    assert (seen.time, seen.gripper_opening) == (pytest.approx(16 * PERIOD), pytest.approx(0.08))
    world.act(ActionChunk(("slide_left", "slide_right"), np.zeros((1, 2)), PERIOD))
    assert (len(small.asked), len(large.asked)) == (1, 1)
    asked = large.asked[0]
    assert asked.first_frame is first.rgb
    assert asked.first_points is first.points_cam
    assert asked.joints is not None
    assert asked.joints.positions[[0, -1], 1] == pytest.approx([0.2, 0.1])
    assert asked.times[-1] == pytest.approx(17 * PERIOD)
    assert asked.robot_mask.any()
    assert world.observe().gripper_opening == pytest.approx(0.04)  # led no faster than 0.4 m/s a finger
    assert len(world.footage().rgb) == 9
    assert world.predictions == 2


def test_with_the_last_frame_as_memory_predictions_are_chained(gantry: ConfiguredRobot) -> None:
    first, model = observe(gantry, [], time=1.0), Brightening(5)
    world = ImaginedWorld((model,), gantry, first, seed=3, memory="last_frame")
    world.act(chunk(gantry, 16, -0.1))
    world.act(chunk(gantry, 3, -0.05))
    assert (model.asked[1].first_frame == first.rgb + 4).all()
    assert model.asked[1].times[-1] == pytest.approx(3 * PERIOD)
    footage = world.footage()
    assert len(footage.rgb) == 9
    assert (footage.rgb[-1] == first.rgb + 8).all()
    assert footage.joints.times[[0, 4, -1]] == pytest.approx([1.0, 1.0 + 16 * PERIOD, 1.0 + 19 * PERIOD])


def test_nothing_of_the_simulator_can_be_reached_from_a_prediction(gantry: ConfiguredRobot) -> None:
    world = ImaginedWorld((Brightening(5),), gantry, observe(gantry, []), seed=3)
    world.act(chunk(gantry, 4, -0.1))
    assert not from_the_simulator([world])
    assert from_the_simulator([replace(world.observe(), task=Simulated())])  # the search does find one


class Simulated:
    """Stands for an object of the simulator."""

    __module__ = "mujoco"


def from_the_simulator(roots: Iterable[object]) -> list[type]:
    """Types of the simulator among all objects that can be reached, but not through modules, types and functions."""
    found, seen, waiting = [], set[int](), list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | type(ast) | type(from_the_simulator)):
            continue
        seen.add(id(thing))
        if type(thing).__module__.split(".")[0] in ("mujoco", "k4d_simulation"):
            found.append(type(thing))
        waiting.extend(gc.get_referents(thing))
    return found


@pytest.mark.parametrize(
    "name", ["imagined_world", "closed_loop", "policy", "world", "commands", "judge", "table_view"]
)
def test_what_makes_a_prediction_imports_no_simulator(name: str) -> None:
    path = Path(imagined_world.__file__).with_name(f"{name}.py")
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported
    assert not imported & {"k4d_simulation", "mujoco"}
