"""Launch files: every argument is used and handed on, every node has its enclave, whichever launcher reads them."""

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from k4d_embedded.launcher.launch_file import plan_launch

from .conftest import ROOT

LAUNCH = ROOT / "launch"
FILES = {path.name: ElementTree.parse(path).getroot() for path in sorted(LAUNCH.glob("*.launch.xml"))}
MOVEIT = ast.parse((LAUNCH / "moveit.launch.py").read_text())
# What playback.launch.xml is given for a file, which the stack does not play.
FOR_A_FILE = {"file", "base_frame"}


def arguments(file: str) -> set[str]:
    return {str(argument.get("name")) for argument in FILES[file].findall("arg")}


def moveit_arguments() -> tuple[set[str], set[str]]:
    """The arguments of moveit.launch.py, and those of them that it gives to pointmaps.launch.xml."""
    named = {
        target.id: {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
        for node in MOVEIT.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return named["ARGUMENTS"] | named["POINTMAPS"], named["POINTMAPS"]


@pytest.mark.parametrize("file", FILES)
def test_every_argument_is_used(file: str) -> None:
    used = {value for element in FILES[file].iter() for value in element.attrib.values()}
    for name in arguments(file):
        assert any(f"$(var {name})" in value for value in used), f"{file} does not use {name}"


@pytest.mark.parametrize("file", FILES)
def test_what_is_included_gets_all_of_its_arguments(file: str) -> None:
    for include in FILES[file].iter("include"):
        part = str(include.get("file")).rsplit("/", 1)[1]
        given = {str(argument.get("name")): argument.get("value") for argument in include.iter("arg")}
        assert arguments(part) - set(given) <= FOR_A_FILE, part
        assert given == {name: f"$(var {name})" for name in given}


@pytest.mark.parametrize("file", FILES)
def test_each_node_names_its_enclave(file: str) -> None:
    for node in FILES[file].iter("node"):
        words = str(node.get("ros_args")).split()
        enclave = words[words.index("--enclave") + 1]
        inside = "/playback" if node.get("namespace") == "playback" else ""
        assert enclave == f"{inside}/{node.get('name') or node.get('exec')}"
        check_policy(enclave)
        for variable in node.iter("env"):
            if variable.get("name") == "ROS_SECURITY_ENCLAVE_OVERRIDE":
                assert variable.get("value") == enclave


def check_policy(enclave: str) -> None:
    assert (ROOT / "config" / "sros2" / f"{enclave[1:]}.xml").exists(), enclave


def test_the_launcher_passes_the_enclaves_on(tmp_path: Path) -> None:
    plans = plan_launch(LAUNCH / "pointmaps.launch.xml", {"namespace": "cell"}, {}, tmp_path)
    assert len(plans) == 2
    for plan in plans:
        assert plan.command[plan.command.index("--enclave") + 1] == f"/{Path(plan.command[0]).name}"


@pytest.mark.parametrize(("asked", "robot"), [("true", ""), ("false", "arm.yaml")])
def test_the_robot_comes_from_its_topic_where_that_is_asked_for(asked: str, robot: str, tmp_path: Path) -> None:
    given = {"robot": "arm.yaml", "use_robot_description": asked, "overlay": "false"}
    plan_launch(LAUNCH / "pointmaps.launch.xml", given, {}, tmp_path)
    written = [yaml.safe_load(path.read_text())["/**"]["ros__parameters"] for path in tmp_path.iterdir()]
    assert [values["robot"] for values in written if "robot" in values] == [robot]


def test_moveit_starts_the_pointmap_node_as_the_stack_does() -> None:
    declared, given = moveit_arguments()
    assert given <= arguments("pointmaps.launch.xml")
    assert {"camera", "namespace", "params_file", "plan_frames"} <= given
    assert {"kinematics_backend", "planning_group", "tool_link"} <= given & arguments("stack.launch.xml")
    read = {match[1] for match in re.finditer(r"value\['(\w+)'\]", ast.unparse(MOVEIT))}
    assert declared - given <= read <= declared


def test_moveit_names_enclaves_that_have_a_policy() -> None:
    started = [
        node for node in ast.walk(MOVEIT) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_node"
    ]
    executables = {ast.literal_eval(call.args[1]) for call in started}
    assert executables == {"robot_state_publisher", "move_group"}
    assert "f'/{executable}'" in ast.unparse(MOVEIT)
    for executable in executables:
        check_policy(f"/{executable}")
