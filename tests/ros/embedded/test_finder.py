"""The finder serves stand-ins, and only where no real package has the name."""

import subprocess
import sys
from pathlib import Path

import pytest

import k4d_embedded
from k4d_embedded.finder import STANDIN_NAMES, StandinFinder, install

STANDINS = Path(k4d_embedded.__file__).parent / "standins"


def python(code, **environment):
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", STANDIN_NAMES)
def test_the_standin_is_imported_under_the_real_name(name):
    assert Path(python(f"import {name}; print({name}.__file__)")).parent == STANDINS / name


@pytest.mark.parametrize("name", STANDIN_NAMES)
def test_a_real_package_wins(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("REAL = True")
    assert python(f"import {name}; print({name}.REAL)", PYTHONPATH=str(tmp_path)) == "True"


def test_a_real_package_wins_whose_finder_was_appended_later(tmp_path):
    (tmp_path / "tf2_ros").mkdir()
    (tmp_path / "tf2_ros" / "__init__.py").write_text("REAL = True")
    code = f"""
import sys
from importlib.machinery import PathFinder
class Late:
    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, [{str(tmp_path)!r}]) if name == "tf2_ros" else None
sys.meta_path.append(Late())
import tf2_ros
print(tf2_ros.REAL)
"""
    assert python(code) == "True"


def test_submodules_have_the_names_of_the_real_package():
    code = """
import tf2_ros, tf2_ros.buffer, tf2_ros.transform_listener
print(tf2_ros.transform_listener.TransformListener is tf2_ros.TransformListener)
print(tf2_ros.buffer.Buffer is tf2_ros.Buffer)
"""
    assert python(code).split() == ["True", "True"]


def test_other_names_are_left_alone():
    assert StandinFinder().find_spec("tf2_geometry_msgs") is None
    assert StandinFinder().find_spec("tf2_rosx") is None


def test_installing_twice_adds_one_finder():
    install()
    install()
    assert sum(isinstance(finder, StandinFinder) for finder in sys.meta_path) == 1
