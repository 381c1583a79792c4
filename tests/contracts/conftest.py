"""Nodes in one executor, spun until something has happened."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class Graph:
    """Nodes of one context; `spin_until` runs their callbacks."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.executor = SingleThreadedExecutor(context=context)
        self.nodes: list[Node] = []

    def node(self, name: str, **kwargs: object) -> Node:
        node = rclpy.create_node(name, context=self.context, **kwargs)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def spin_until(self, is_done: Callable[[], bool], limit: float = 20.0) -> bool:
        end = time.monotonic() + limit
        while not is_done() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return is_done()


@pytest.fixture
def graph() -> Iterator[Graph]:
    context = Context()
    rclpy.init(context=context)
    made = Graph(context)
    yield made
    made.executor.shutdown()
    for node in made.nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
