"""RViz, which cannot run here, would find everything that it is configured to show: topics, types, quality, frames."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from k4d_embedded.launcher.elements import read_launch_file
from k4d_kinematics.ros.plan_inputs import plan_topics

from .conftest import ROOT, RVIZ_LAUNCH, RunningGraph, playback_frames

VIEWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config" / "rviz").glob("*.rviz"))}
# Displays by the type of what they show, and the property that names its topic.
SHOWN = {
    "rviz_default_plugins/RobotModel": ("std_msgs/msg/String", "Description Topic"),
    "rviz_default_plugins/PointCloud2": ("sensor_msgs/msg/PointCloud2", "Topic"),
    "rviz_default_plugins/Image": ("sensor_msgs/msg/Image", "Topic"),
}
TOPICLESS = {"rviz_default_plugins/Grid", "rviz_default_plugins/TF"}
PLANNED_PATH = "moveit_rviz_plugin/Trajectory"
RELIABILITY = {"Reliable": ReliabilityPolicy.RELIABLE, "Best Effort": ReliabilityPolicy.BEST_EFFORT}
DURABILITY = {"Volatile": DurabilityPolicy.VOLATILE, "Transient Local": DurabilityPolicy.TRANSIENT_LOCAL}
# Encodings that RViz refuses to draw: 32FC3.
UNDRAWABLE = {"front/robot/pointmap"}


def displays(view: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = VIEWS[view]["Visualization Manager"]["Displays"]
    return found


def shown() -> Iterator[Any]:
    for view in VIEWS:
        for display in displays(view):
            if display["Class"] in SHOWN:
                yield pytest.param(display, id=f"{view}-{display['Name']}")


def test_there_are_three_views_of_known_displays() -> None:
    assert set(VIEWS) == {"live", "playback", "preview"}
    for view in VIEWS:
        classes = {display["Class"] for display in displays(view)}
        assert classes <= {*SHOWN, *TOPICLESS, PLANNED_PATH}
        assert {"rviz_default_plugins/RobotModel", "rviz_default_plugins/PointCloud2"} <= classes
        names = [display["Name"] for display in displays(view)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("display", shown())
def test_what_is_shown_is_published(display: dict[str, Any], graph: RunningGraph) -> None:
    type_name, key = SHOWN[display["Class"]]
    topic = display[key]
    name = f"/{topic['Value']}"
    assert name in graph.publishers, f"nobody publishes {name}"
    wanted = QoSProfile(
        depth=topic["Depth"],
        reliability=RELIABILITY[topic["Reliability Policy"]],
        durability=DURABILITY[topic["Durability Policy"]],
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
    for publisher in graph.publishers[name]:
        assert publisher.type_name == type_name
        compatibility, reason = qos_check_compatible(publisher.qos, wanted)
        assert compatibility == QoSCompatibility.OK, reason
        # A late subscriber that does not ask for what is latched never gets it.
        assert publisher.qos.durability == wanted.durability


def test_images_can_be_drawn() -> None:
    for view in VIEWS:
        images = {item["Topic"]["Value"] for item in displays(view) if item["Class"] == "rviz_default_plugins/Image"}
        assert images
        assert not images & UNDRAWABLE


@pytest.mark.parametrize("view", VIEWS)
def test_frames_exist(view: str, graph: RunningGraph) -> None:
    assert VIEWS[view]["Visualization Manager"]["Global Options"]["Fixed Frame"] in graph.frames
    namespace, prefix, root = playback_frames()
    for display in displays(view):
        if display["Class"] == "rviz_default_plugins/RobotModel" and display["TF Prefix"]:
            assert (f"{display['TF Prefix']}/", root) == (prefix, f"{prefix}panda_link0")
            assert display["Description Topic"]["Value"] == f"{namespace}/robot_description"
            assert root in graph.frames


def test_the_planned_path_is_read_where_pointmaps_are_made_of_it() -> None:
    (display,) = (item for item in displays("preview") if item["Class"] == PLANNED_PATH)
    assert display["Trajectory Topic"] in {topic.name for topic in plan_topics("nav_msgs/Path")}


def test_views_show_the_camera_that_is_asked_for() -> None:
    """They name the camera front; the launch file moves each of its topics to the argument's."""
    named = {
        display[key]["Value"]
        for view in VIEWS
        for display in displays(view)
        for key in ("Topic", "Description Topic")
        if key in display and display[key]["Value"].startswith("front/")
    }
    launch = read_launch_file(RVIZ_LAUNCH)
    (rviz,) = (node for node in launch.named("node") if node["exec"] == "rviz2")
    moved = {remap["from"]: remap["to"] for remap in rviz.named("remap")}
    assert moved == {topic: f"$(var camera){topic.removeprefix('front')}" for topic in named}
    (camera,) = (argument for argument in launch.named("arg") if argument["name"] == "camera")
    assert camera["default"] == "front"


def test_the_launch_file_is_well_formed_and_shows_these_views() -> None:
    launch = read_launch_file(RVIZ_LAUNCH)
    (rviz,) = (node for node in launch.named("node") if node["exec"] == "rviz2")
    assert "config/rviz/$(var view).rviz" in rviz["args"]
    (view,) = (argument for argument in launch.named("arg") if argument["name"] == "view")
    assert view["default"] in VIEWS
