"""The SROS 2 policies allow each node exactly what it does: compared with the running graph, name by name."""

import importlib.metadata
import re
from fnmatch import fnmatch
from xml.etree import ElementTree

import pytest

from .conftest import ROOT, RunningGraph

FOLDER = ROOT / "config" / "sros2"
MOVEIT = ROOT / "ros2_ws" / "src" / "k4d_kinematics" / "k4d_kinematics" / "ros"
QUALIFIERS = {"topics": ("publish", "subscribe"), "services": ("reply", "request"), "actions": ("execute", "call")}
KINDS = [kind for kinds in QUALIFIERS.values() for kind in kinds]
# What a node does only with certain parameters or installations, which the graph of these tests lacks.
SOMETIMES = {
    "k4d_pointmap_node": {"/robot_description"},  # no robot YAML
    "k4d_plan_gate_node": {"/robot_description"},
    "k4d_compare_node": {"/robot_description"},
    "k4d_prediction_node": {"/tf", "/tf_static"},  # points_frame
    "k4d_playback_node": {"/tf", "/tf_static"},  # points_frame
    "k4d_bag_player_node": {"/tf", "/wrist/image_raw", "/wrist/depth"},  # what another recording holds
    "k4d_bag_recorder_node": {"/*"},  # whatever there is
    "robot_state_publisher": {"/parameter_events"},  # every node of C++; here it is ours
}
# Other programs, whose nodes do not run here.
FOREIGN = {"/move_group", "/operator", "/playback_root", "/rviz2"}
# What the arm's driver offers.
ELSEWHERE = {"/panda_arm_controller/follow_joint_trajectory"}


def policies() -> dict[str, list[ElementTree.Element]]:
    """The profiles of each enclave, its own node's first; each file holds the enclave of its name."""
    found = {}
    for path in sorted(FOLDER.rglob("*.xml")):
        (enclave,) = ElementTree.parse(path).getroot().iter("enclave")
        assert enclave.get("path") == f"/{path.relative_to(FOLDER).with_suffix('')}"
        found[str(enclave.get("path"))] = list(enclave.iter("profile"))
    return found


def allowed(profile: ElementTree.Element) -> dict[str, set[str]]:
    """Full names by kind of access, expanded as sros2 does."""
    namespace, node = str(profile.get("ns")).rstrip("/"), str(profile.get("node"))
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for rules in profile:
        for kind in QUALIFIERS[rules.tag]:
            if rules.get(kind) is not None:
                assert rules.get(kind) == "ALLOW", "what is not allowed is denied already"
                found[kind] |= {expanded(str(rule.text), namespace, node) for rule in rules}
    return found


def expanded(name: str, namespace: str, node: str) -> str:
    if name.startswith("~"):
        return f"{namespace}/{node}{name[1:]}"
    return name if name.startswith("/") else f"{namespace}/{name}"


POLICIES = policies()
PROFILES = {path: profiles[0] for path, profiles in POLICIES.items() if path not in FOREIGN}


def everything(kind: str) -> set[str]:
    return {name for profiles in POLICIES.values() for profile in profiles for name in allowed(profile)[kind]}


def test_each_node_has_an_enclave_of_its_own_name() -> None:
    assert set(POLICIES) >= FOREIGN
    for path, profile in PROFILES.items():
        assert f"{str(profile.get('ns')).rstrip('/')}/{profile.get('node')}" == path
    others = {path: profiles[1:] for path, profiles in POLICIES.items() if profiles[1:]}
    assert list(others) == ["/k4d_pointmap_node"]


def test_nodes_and_profiles_are_the_same(graph: RunningGraph) -> None:
    installed = {name for name in PROFILES if _is_installed(name.rsplit("/", 1)[1])}
    assert set(graph.nodes) == installed


def _is_installed(node: str) -> bool:
    scripts = importlib.metadata.entry_points(group="console_scripts")
    return bool(scripts.select(name=node) or node == "robot_state_publisher")


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_node_does_is_allowed_and_no_more(name: str, graph: RunningGraph) -> None:
    node = name.rsplit("/", 1)[1]
    for kind, may in allowed(PROFILES[name]).items():
        does = getattr(graph.nodes[name], kind)
        forbidden = {topic for topic in does if not any(fnmatch(topic, rule) for rule in may)}
        assert not forbidden, f"{name} may not {kind} {sorted(forbidden)}"
        # The second camera of the policy is not in this graph.
        seen = does | {topic.replace("/front/", "/wrist/", 1) for topic in does}
        unused = may - seen - SOMETIMES.get(node, set()) - {"/clock"}
        assert not unused, f"{name} may {kind} {sorted(unused)}, which it never does"


def test_the_pointmap_node_may_use_both_moveit_backends() -> None:
    _, services, python = POLICIES["/k4d_pointmap_node"]
    client = (MOVEIT / "moveit_services.py").read_text()
    assert f'"{services.get("node")}"' in client
    asked = {f"/{name}" for name in re.findall(r'create_client\([\w.]+, "(\w+)"\)', client)}
    assert asked
    assert allowed(services)["request"] == asked
    assert asked <= allowed(POLICIES["/move_group"][0])["reply"]
    assert f'_NODE = "{python.get("node")}"' in (MOVEIT / "moveit_python.py").read_text()


def test_what_one_may_ask_another_may_answer() -> None:
    assert everything("request") <= everything("reply")
    assert everything("call") <= everything("execute") | ELSEWHERE
    assert "/execute_plan" in allowed(POLICIES["/operator"][0])["request"]
