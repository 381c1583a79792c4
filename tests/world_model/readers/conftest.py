import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k4d_kinematics import ConfiguredRobot, configured_robot

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return HERE / "fixtures"


@pytest.fixture(scope="session")
def golden(fixtures: Path) -> Callable[[str], Any]:
    """What the real reader of a fixture reported."""
    return lambda name: json.loads((fixtures / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def source_file() -> Callable[[str], Path]:
    return lambda name: ROOT / "config" / "sources" / f"{name}.yaml"


@pytest.fixture(scope="session")
def panda(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    return configured_robot(ROOT / "config" / "robots" / "panda.yaml", tmp_path_factory.mktemp("surfaces"))


@pytest.fixture
def libero(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of a folder that a test may damage."""
    return Path(shutil.copytree(fixtures / "libero", tmp_path / "libero"))
