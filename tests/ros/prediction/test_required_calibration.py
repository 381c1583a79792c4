"""The prediction node that predicts only while the camera is where TF says."""

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from k4d_msgs.msg import Rollout

from k4d_world_model.ros.camera_inputs import CameraInputs

from .conftest import LATCHED, Graph, Inputs
from .fake_model import FakeModel

Start = Callable[..., Graph]


def test_a_camera_that_is_not_where_it_should_be_is_no_start(start: Start) -> None:
    graph = start(FakeModel(), require_calibration=True)
    judge = graph.driver.create_publisher(DiagnosticStatus, "front/robot/calibration", LATCHED)
    graph.until(judge.get_subscription_count, "the prediction node")
    graph.show(Inputs())
    refused = graph.predict()[1].rollout
    assert refused.error_code == Rollout.INVALID_INPUT
    assert "is k4d_overlay_node running?" in refused.error_string
    for level, message in ((DiagnosticStatus.ERROR, "9 px off"), (DiagnosticStatus.OK, "0.4 px off")):
        judge.publish(DiagnosticStatus(level=level, message=message))
        graph.until(lambda message=message: message in _judged(graph), "the judgement to be heard")
        rollout = graph.predict()[1].rollout
        if level == DiagnosticStatus.OK:
            assert rollout.error_code == Rollout.NONE, rollout.error_string
        else:
            assert rollout.error_code == Rollout.INVALID_INPUT
            assert "9 px off" in rollout.error_string


def test_a_judgement_from_before_the_node_listened_counts_for_nothing(start: Start) -> None:
    graph = start(FakeModel(), require_calibration=True)
    judge = graph.driver.create_publisher(DiagnosticStatus, "front/robot/calibration", LATCHED)
    judge.publish(DiagnosticStatus(level=DiagnosticStatus.OK, message="0.4 px off"))
    graph.node._inputs["front"].close()
    graph.node._inputs["front"] = CameraInputs(graph.node, "front", graph.node.config, graph.node.diagnostics, print)
    heard: list[DiagnosticStatus] = []
    graph.driver.create_subscription(DiagnosticStatus, "front/robot/calibration", heard.append, LATCHED)
    graph.until(lambda: heard and judge.get_subscription_count() == 2, "the judgement that is held")
    graph.show(Inputs())
    assert "is k4d_overlay_node running?" in graph.predict()[1].rollout.error_string
    assert _judged(graph) == ""


def _judged(graph: Graph) -> str:
    judged = graph.node._inputs["front"]._calibration
    return "" if judged is None else judged[0].message
