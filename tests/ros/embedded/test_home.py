"""The environment of ROS processes: set where it is not, and never against the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from defusedxml import ElementTree

from k4d_embedded import home

VARIABLES = (
    "AMENT_PREFIX_PATH",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
)


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An environment prefix with the profile, and none of the variables set."""
    profile = tmp_path / "share/k4d_bringup/config/dds/fastdds_shared_memory.xml"
    profile.parent.mkdir(parents=True)
    profile.write_text("<dds/>")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def test_everything_is_set_where_nothing_was(prefix):
    home.activate()
    assert os.environ["AMENT_PREFIX_PATH"] == str(prefix)
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert Path(os.environ["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text() == "<dds/>"
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in os.environ, "Fast DDS 3 would read the profile twice and refuse it"


def test_fast_dds_2_gets_its_own_variable(prefix):
    (prefix / "share/fastrtps").mkdir()
    home.activate()
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" in os.environ
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ


def test_the_users_values_are_kept(prefix, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "mine.xml")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/first", str(prefix), "/last"]))
    home.activate()
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == "mine.xml"
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ
    assert os.environ["AMENT_PREFIX_PATH"] == os.pathsep.join(["/first", str(prefix), "/last"])


def test_the_prefix_is_put_before_others_once(prefix, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/other")
    home.activate()
    home.activate()
    assert os.environ["AMENT_PREFIX_PATH"] == os.pathsep.join([str(prefix), "/other"])


def test_a_missing_profile_is_said_and_breaks_nothing(prefix):
    (prefix / "share/k4d_bringup/config/dds/fastdds_shared_memory.xml").unlink()
    with pytest.warns(home.EmbeddedHomeWarning, match=r"fastdds_shared_memory\.xml is missing"):
        home.activate()
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ
    assert os.environ["AMENT_PREFIX_PATH"] == str(prefix)


def test_every_process_of_this_environment_is_in_the_home():
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    clean.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    clean.pop("LD_LIBRARY_PATH", None)
    code = f"import os; print(*(os.environ.get(name, '-') for name in {VARIABLES}), sep='|')"
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    ament, profile, old_profile, discovery = done.stdout.strip().split("|")
    assert ament == sys.prefix
    assert Path(profile).is_file()
    assert old_profile == "-"
    assert discovery == "LOCALHOST"
    assert done.stderr == ""


def test_starting_needs_only_the_standard_library():
    code = "import sys; import k4d_embedded.home; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"rclpy", "numpy", "yaml", "defusedxml"} & set(done.stdout.split())


def test_the_profile_gives_shared_memory_room_for_several_pointmaps():
    path = Path(home.__file__).parents[4] / "config/dds/fastdds_shared_memory.xml"
    root = ElementTree.fromstring(path.read_text())
    space = "{http://www.eprosima.com}"
    (shared,) = (descriptor for descriptor in root.iter(f"{space}transport_descriptor") if descriptor[1].text == "SHM")
    pointmap_bytes = 480 * 720 * 3 * 4
    assert int(shared.find(f"{space}maxMessageSize").text) > pointmap_bytes
    assert int(shared.find(f"{space}segment_size").text) > 10 * pointmap_bytes
    used = {element.text for element in root.find(f".//{space}userTransports")}
    assert used == {element.text for element in root.iter(f"{space}transport_id")}


def test_fast_dds_takes_the_profile_without_a_word():
    code = "import rclpy; rclpy.init(); rclpy.create_node('quiet'); rclpy.shutdown()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
