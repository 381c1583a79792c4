"""What the compare node says of one camera: figures, the worst frames, and where they differ."""

from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from k4d_kinematics.ros.camera_output import summary_qos
from k4d_kinematics.ros.conversions import time_message
from k4d_world_model.comparison.comparison import Comparison
from k4d_world_model.comparison.execution_watch import Execution
from k4d_world_model.comparison.frame_figures import FIGURES
from k4d_world_model.comparison.pictures import ComparisonPictures
from k4d_world_model.comparison.titles import FRAME_TITLES, middle_and_worst, overall_figures, shown
from k4d_world_model.evaluation.figure import Figure

# What numbers in messages keep: more than anything here is measured to.
_DIGITS = 6


class ComparisonOutput:
    """Publishes comparisons under ``<camera>/comparison/``, latched, stamped with the start of the execution."""

    def __init__(self, node: Node, camera: str) -> None:
        self._camera, self._bridge = camera, CvBridge()
        prefix = f"{camera}/comparison"
        self._figures = node.create_publisher(DiagnosticArray, f"{prefix}/figures", summary_qos())
        self._side_by_side = node.create_publisher(Image, f"{prefix}/side_by_side", summary_qos())
        self._error_map = node.create_publisher(Image, f"{prefix}/error_map", summary_qos())

    def publish(self, execution: Execution, comparison: Comparison, pictures: ComparisonPictures) -> None:
        """Publishes one comparison in place of the one before."""
        stamp = time_message(round(execution.following.start * 1e9))
        header = Header(stamp=stamp, frame_id=comparison.rollout.camera.frame_id)
        self._side_by_side.publish(self._bridge.cv2_to_imgmsg(pictures.worst_rows, "rgb8", header=header))
        self._error_map.publish(self._bridge.cv2_to_imgmsg(pictures.mean_distance, "32FC1", header=header))
        statuses = [self._whole(execution, comparison), *self._frames(comparison)]
        self._figures.publish(DiagnosticArray(header=header, status=statuses))

    def _whole(self, execution: Execution, comparison: Comparison) -> DiagnosticStatus:
        pairing = comparison.pairing
        values = {
            "sequence_id": execution.awaited.name,
            "start_s": f"{pairing.start:.9f}",
            "plan_error_rad_or_m": f"{execution.following.error:.6f}",
            "frames": str(len(comparison.figures)),
            "frames_with_partner": str(len(pairing.paired)),
        }
        for name, figure in overall_figures(comparison).items():
            values[f"overall_{name}"] = shown(figure, _DIGITS)
        for title in FRAME_TITLES:
            middle, worst, _ = middle_and_worst(comparison, title)
            values[f"{title.name}_median"] = shown(middle, _DIGITS)
            values[f"{title.name}_worst"] = shown(worst, _DIGITS)
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN if comparison.remarks else DiagnosticStatus.OK,
            name=f"{self._camera}/comparison",
            message="; ".join(comparison.remarks) or "every predicted frame was compared",
            hardware_id=comparison.rollout.camera.frame_id,
            values=_entries(values),
        )

    def _frames(self, comparison: Comparison) -> list[DiagnosticStatus]:
        statuses = []
        for k, figures in enumerate(comparison.figures):
            found: dict[str, Figure] = {name: getattr(figures, name) for name in FIGURES}
            values = {
                "index": str(k),
                "time_s": f"{comparison.rollout.times[k]:.9f}",
                "offset_s": f"{comparison.pairing.offsets[k]:.9f}",
                **{name: shown(figure, _DIGITS) for name, figure in found.items()},
            }
            level = DiagnosticStatus.WARN if figures.psnr_db.value is None else DiagnosticStatus.OK
            message = figures.psnr_db.reason
            statuses.append(
                DiagnosticStatus(
                    level=level, name=f"{self._camera}/comparison/{k}", message=message, values=_entries(values)
                )
            )
        return statuses


def _entries(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]
