"""Keeps the ROS graph of one test session to itself: an own domain on this machine, and an own log folder.

Where tests share the cores (``pytest -n 2 --dist loadgroup``), those of one folder stay together with its fixtures, and
those of the ROS graph, which are about time, run one after the other.

``colcon test`` runs for each package the folders that its pytest.ini names as ``own_tests``. They are not its
``testpaths``: pytest gives the fixtures of those, which are outside its rootdir, to all tests.

Waiting threads of torch sleep, which keeps tests fast on a busy machine.
"""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="k4d_test_logs_")


@pytest.fixture(scope="session", autouse=True)
def at_the_root_of_the_checkout() -> None:
    """Commands have paths of the checkout as defaults, wherever the tests were started, as by colcon."""
    os.chdir(Path(__file__).resolve().parent.parent)


GRAPH = ("bringup", "contracts", "ros")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("own_tests", "folders of tests/ that are a package's", type="args", default=[])


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is neither on the way to a package's own tests nor below them is not its."""
    own = [Path(__file__).parent / folder for folder in config.getini("own_tests")]
    on_the_way = any(folder.is_relative_to(collection_path) or collection_path.is_relative_to(folder) for folder in own)
    return True if own and not on_the_way else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): tests that one process runs, where several do")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        folder = item.path.parent.relative_to(here)
        group = "graph" if folder.parts[:1] and folder.parts[0] in GRAPH else str(folder)
        item.add_marker(pytest.mark.xdist_group(group))
