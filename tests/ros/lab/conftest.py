"""What every node of ours offers and asks for while all of them run at once, recorded from the graph itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformListener

from k4d_bringup.ros.bag_player_node import BagPlayerNode
from k4d_bringup.ros.bag_recorder_node import BagRecorderNode
from k4d_embedded.robot_state_publisher import RobotStatePublisher
from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.resources import resolve
from k4d_kinematics.ros.overlay_node import OverlayNode
from k4d_kinematics.ros.pointmap_node import PointmapNode
from k4d_kinematics.urdf import read_description
from k4d_simulation.ros.simulated_robot_node import SimulatedRobotNode
from k4d_world_model.ros.compare_node import CompareNode
from k4d_world_model.ros.plan_gate_node import PlanGateNode
from k4d_world_model.ros.playback_node import PlaybackNode
from k4d_world_model.ros.prediction_node import PredictionNode

ROOT = Path(__file__).resolve().parents[3]
PANDA = ROOT / "config" / "robots" / "panda.yaml"
RVIZ_LAUNCH = ROOT / "launch" / "rviz.launch.xml"
# The scene's node first: the others listen to it.
NODES = (
    SimulatedRobotNode,
    PointmapNode,
    OverlayNode,
    PredictionNode,
    PlanGateNode,
    CompareNode,
    PlaybackNode,
    BagRecorderNode,
    BagPlayerNode,
)
PATIENCE = 120.0


@dataclass(frozen=True)
class Names:
    """Full names of what one node has, by kind; actions stand for the topics and services that they are made of."""

    publish: frozenset[str]
    subscribe: frozenset[str]
    reply: frozenset[str]
    request: frozenset[str]
    execute: frozenset[str]
    call: frozenset[str]


@dataclass(frozen=True)
class Publisher:
    """A publisher's type and the quality of service that it offers."""

    type_name: str
    qos: QoSProfile


@dataclass(frozen=True)
class RunningGraph:
    """Nodes by full name, publishers by topic, and all TF frames."""

    nodes: dict[str, Names]
    publishers: dict[str, list[Publisher]]
    frames: frozenset[str]


def playback_frames() -> tuple[str, str, str]:
    """What rviz.launch.xml says of the predicted robot: its publisher's namespace and prefix, and its root frame."""
    nodes = {str(node.get("exec")): node for node in ElementTree.parse(RVIZ_LAUNCH).iter("node")}
    publisher, root = nodes["robot_state_publisher"], nodes["static_transform_publisher"]
    (prefix,) = (item.get("value") for item in publisher.iter("param") if item.get("name") == "frame_prefix")
    child = str(root.get("args")).split("--child-frame-id ")[1]
    return str(publisher.get("namespace")), str(prefix), child.replace("$(var root)", "panda_link0")


def parameters(folder: Path) -> dict[str, dict[str, object]]:
    model = ROOT / "config" / "world_models" / "frozen_world.yaml"
    scene = ROOT / "config" / "scenes" / "medium.yaml"
    surfaces = folder / "surfaces"
    return {
        "k4d_simulated_robot_node": {
            "robot": PANDA, "scene": scene, "task": "reach", "height": 12, "width": 18, "surface_cache": surfaces,
            "shadows": False, "samples": 0, "meshes": "full",
        },
        "k4d_pointmap_node": {"robot": PANDA, "cameras": "[front]", "surface_cache": surfaces},
        "k4d_overlay_node": {"cameras": "[front]"},
        "k4d_prediction_node": {"model": model, "cameras": "[front]", "require_calibration": True},
        "k4d_plan_gate_node": {
            "robot": PANDA, "camera": "front", "command_topic": "joint_trajectory", "surface_cache": surfaces,
        },
        "k4d_compare_node": {"robot": PANDA, "camera": "front", "surface_cache": surfaces},
        "k4d_playback_node": {"cameras": "[front]"},
        "k4d_bag_recorder_node": {"bag": folder / "recording", "topics": "nothing"},
        "k4d_bag_player_node": {
            "bag": ROOT / "examples" / "panda_pick_place", "plan_of": "/joint_states",
            "wait_for": "[nobody_listens]", "wait_timeout": 3600.0, "end_service": "k4d_bag_recorder_node/is_quiet",
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> RunningGraph:
    """The graph of all nodes, which have ended again."""
    words = [
        word
        for node, values in parameters(tmp_path_factory.mktemp("lab")).items()
        for name, value in values.items()
        for word in ("-p", f"{node}:{name}:={value}")
    ]
    rclpy.init(args=["--ros-args", *words])
    nodes: list[Node] = []
    try:
        nodes += [make() for make in NODES]
        namespace, prefix, playback_root = playback_frames()
        nodes += [state_publisher("", ""), state_publisher(namespace, prefix)]
        return recorded(nodes, playback_root)
    finally:
        for node in nodes:
            if hasattr(node, "close"):
                node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def state_publisher(namespace: str, prefix: str) -> Node:
    config = read_configuration(PANDA, RobotConfig)
    urdf = read_description(resolve(config.urdf, PANDA.parent, ()))
    values = [Parameter("robot_description", value=urdf), Parameter("frame_prefix", value=prefix)]
    return RobotStatePublisher(namespace=namespace, parameter_overrides=values)


def recorded(nodes: list[Node], playback_root: str) -> RunningGraph:
    driver = Node("driver")
    executor = SingleThreadedExecutor()
    for node in (*nodes, driver):
        executor.add_node(node)
    transforms = Buffer()
    listener = TransformListener(transforms, driver)
    static = TransformStamped(child_frame_id=playback_root)
    static.header.frame_id = "panda_link0"
    StaticTransformBroadcaster(driver).sendTransform(static)
    zero = rclpy.time.Time()
    until(executor, lambda: transforms.can_transform("world", "panda_hand", zero), "the robot's transforms")
    until(executor, lambda: transforms.can_transform("world", playback_root, zero), "the predicted robot's root")
    names = {node.get_fully_qualified_name(): names_of(driver, node) for node in nodes}
    topics = {topic for known in names.values() for topic in known.publish}
    publishers = {
        topic: [Publisher(info.topic_type, info.qos_profile) for info in driver.get_publishers_info_by_topic(topic)]
        for topic in topics
    }
    frames = frozenset(line.split()[1] for line in transforms.all_frames_as_string().splitlines())
    del listener
    executor.shutdown()
    driver.destroy_node()
    return RunningGraph(names, publishers, frames)


def names_of(driver: Node, node: Node) -> Names:
    where = (node.get_name(), node.get_namespace())

    def named(pairs: list[tuple[str, list[str]]]) -> frozenset[str]:
        return frozenset(name for name, _ in pairs if "/_action/" not in name)

    return Names(
        named(driver.get_publisher_names_and_types_by_node(*where)),
        named(driver.get_subscriber_names_and_types_by_node(*where)),
        named(driver.get_service_names_and_types_by_node(*where)),
        named(driver.get_client_names_and_types_by_node(*where)),
        named(get_action_server_names_and_types_by_node(driver, *where)),
        named(get_action_client_names_and_types_by_node(driver, *where)),
    )


def until(executor: SingleThreadedExecutor, condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"waited {PATIENCE} s in vain for {what}"
        executor.spin_once(timeout_sec=0.02)
