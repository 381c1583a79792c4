"""Keeps the ROS graph of one test session to itself: an own domain on this machine, and an own log folder.

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
