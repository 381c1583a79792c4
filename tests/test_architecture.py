"""The walls of the house: who may import what, and where files may lie."""

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "ros2_ws" / "src"
PACKAGES = sorted(path.parent.name for path in SOURCE.glob("*/setup.py"))
ROS = {
    "action_msgs", "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "geometry_msgs",
    "k4d_msgs", "launch", "launch_ros", "lifecycle_msgs", "message_filters", "moveit", "moveit_msgs", "nav_msgs",
    "rcl_interfaces", "rclpy", "rosgraph_msgs", "sensor_msgs", "sensor_msgs_py", "shape_msgs", "std_msgs", "std_srvs",
    "tf2_msgs", "tf2_ros", "trajectory_msgs",
}  # fmt: skip
HEAVY = {"torch", "diffusers", "peft", "transformers", "accelerate"}
# Each package may import those before it; bring-up stands outside the row and starts whatever there is.
UPSTREAM = ("k4d_kinematics", "k4d_simulation", "k4d_world_model")
DRAWERS = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "tools"}


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)


def modules(package: str) -> list[Path]:
    files = sorted((SOURCE / package / package).rglob("*.py"))
    assert files, f"{package} has no source"
    return files


@pytest.mark.parametrize("package", PACKAGES)
def test_only_ros_folders_import_ros(package: str) -> None:
    for path in modules(package):
        if "ros" not in path.relative_to(SOURCE / package / package).parts[:-1]:
            wrong = {name for name in imports(path) if name.split(".")[0] in ROS}
            assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)} outside a ros/ folder"


def test_core_modules_do_not_reach_ros_through_their_own_ros_folder() -> None:
    for path in modules("k4d_kinematics"):
        inside = path.relative_to(SOURCE / "k4d_kinematics" / "k4d_kinematics").parts[:-1]
        if not {"ros", "cli"} & set(inside):
            wrong = {name for name in imports(path) if "ros" in name.split(".")}
            assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_kinematics_imports_no_heavy_library() -> None:
    for path in modules("k4d_kinematics"):
        wrong = {name for name in imports(path) if name.split(".")[0] in HEAVY}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", [name for name in PACKAGES if name in UPSTREAM])
def test_imports_point_upstream(package: str) -> None:
    allowed = {*UPSTREAM[: UPSTREAM.index(package) + 1], "k4d_msgs"}
    for path in modules(package):
        ours = {name.split(".")[0] for name in imports(path) if name.startswith("k4d_")}
        assert ours <= allowed, f"{path.relative_to(ROOT)} imports {sorted(ours - allowed)}"


def test_colcon_never_sees_the_stand_ins() -> None:
    assert (ROOT / "ros2_ws" / "embedded" / "COLCON_IGNORE").exists()
    assert not [path for path in SOURCE.rglob("package.xml") if "embedded" in path.parent.name]


def test_each_folder_of_tests_is_one_packages() -> None:
    own = []
    for path in SOURCE.glob("*/pytest.ini"):
        ini = configparser.ConfigParser()
        ini.read(path)
        own += ini["pytest"]["own_tests"].split()
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")} - {".", "ros/embedded"}
    assert len(own) == len(set(own))
    owners = {folder: [each for each in own if f"{folder}/".startswith(f"{each}/")] for folder in folders}
    assert all(len(each) == 1 for each in owners.values()), owners
    assert set(own) == {each for (each,) in owners.values()}


def test_no_drawers() -> None:
    drawers = [path for path in ROOT.glob("ros2_ws/**/*.py") if path.stem in DRAWERS]
    assert not drawers, f"name the concept instead: {drawers}"
