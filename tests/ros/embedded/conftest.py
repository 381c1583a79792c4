"""Nodes spun until something has happened, and the command that reads and runs launch files."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def node(self, name: str) -> Node:
        return self.add(rclpy.create_node(name, context=self.context))

    def spin_until(self, is_done: Callable[[], object], limit: float = 20.0) -> bool:
        end = time.monotonic() + limit
        while not is_done() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return bool(is_done())


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


class Launches:
    """Writes launch files into a folder and runs `k4d-launch` on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def write(self, body: str, name: str = "test.launch.xml") -> Path:
        path = self.folder / name
        path.write_text(f"<launch>{body}</launch>")
        return path

    def start(self, *words: object) -> "subprocess.Popen[str]":
        command = [str(Path(sys.prefix) / "bin" / "k4d-launch"), *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._running.append(process)
        return process

    def run(self, *words: object) -> tuple[int, str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)


@pytest.fixture
def launches(tmp_path: Path) -> Iterator[Launches]:
    made = Launches(tmp_path)
    yield made
    made.close()
