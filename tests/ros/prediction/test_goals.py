"""Goals of the prediction node: cancelled within a step, and one at a time."""

from collections.abc import Callable

import pytest
from action_msgs.msg import GoalStatus
from k4d_msgs.msg import Rollout

from .conftest import Graph, Inputs
from .fake_model import STEPS, FakeModel, Gate

Start = Callable[..., Graph]


@pytest.mark.parametrize("step", range(STEPS + 1))
def test_a_goal_is_cancelled_within_one_step(start: Start, step: int) -> None:
    gate = Gate(step)
    model = FakeModel(gate)
    graph = start(model)
    graph.show(Inputs())
    goal = graph.send()
    graph.until(gate.reached.is_set, "the step")
    graph.cancel(goal)
    gate.opened.set()
    status, result = graph.result(goal)
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_CANCELED, Rollout.CANCELED)
    assert model.steps == list(range(step + 1))
    assert not graph.received["predicted/frames"]
    assert graph.predict()[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_goal_is_cancelled_while_its_frames_are_published(start: Start) -> None:
    graph = start(FakeModel())
    graph.show(Inputs())
    goal = graph.send()
    graph.node._outputs["front"]._arrived = lambda: False  # as if a consumer took its time
    graph.until(lambda: graph.received["predicted/rollout"] or _waiting(graph), "the rollout")
    graph.cancel(goal)
    status, result = graph.result(goal)
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_CANCELED, Rollout.CANCELED)
    assert not _waiting(graph)


def test_a_second_goal_is_refused_while_the_first_runs(start: Start) -> None:
    gate = Gate(1)
    graph = start(FakeModel(gate))
    graph.show(Inputs())
    first = graph.send(seed=1)
    graph.until(gate.reached.is_set, "the first prediction")
    status, result = graph.predict(seed=2)
    assert (status, result.rollout.error_code) == (GoalStatus.STATUS_ABORTED, Rollout.BUSY)
    gate.opened.set()
    status, result = graph.result(first)
    assert (status, result.rollout.seed) == (GoalStatus.STATUS_SUCCEEDED, 1)


def _waiting(graph: Graph) -> bool:
    return not graph.node._outputs["front"].is_idle
