"""Gates for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy

from .gate_graph import Graph
from .press import press


@pytest.fixture
def make_graph(tmp_path: Path) -> Iterator[Callable[..., Graph]]:
    rclpy.init()
    graphs: list[Graph] = []

    def make(command_topic: str = "arm/joint_trajectory", joint_state_age: float = 60.0) -> Graph:
        graphs.append(Graph(*press(tmp_path), command_topic, joint_state_age))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.node.close()
        graph.executor.shutdown()
    rclpy.try_shutdown()
