"""Parameters of k4d_overlay_node."""

from dataclasses import dataclass

from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.parameters import described
from k4d_kinematics.ros.pointmap_config import check_cameras


@dataclass(frozen=True)
class OverlayNodeConfig:
    """Parameters of k4d_overlay_node. Raises ConfigurationError on values outside the described ones."""

    cameras: tuple[str, ...] = described(("camera",), "Cameras whose pictures and robot pointmaps are compared.")
    image_topic: str = described("image_raw", "Pictures (sensor_msgs/Image) are on <camera>/<image_topic>.")
    image_tolerance: float = described(0.02, "Most seconds between a picture and its pointmap.", (0.0, 10.0))
    period: float = described(1.0, "Seconds from one judgement of the calibration to the next.", (0.05, 60.0))
    reach_px: float = described(20.0, "How far across the outline edges are looked for.", (2.0, 200.0))
    warn_px: float = described(
        4.0, "Distance of outline and edges from which the calibration is doubted.", (0.1, 200.0)
    )
    error_px: float = described(7.0, "Distance from which the calibration is wrong.", (0.1, 200.0))
    min_confidence: float = described(0.5, "Confidence below which nothing is said.", (0.0, 1.0))
    opacity: float = described(0.4, "How much of the picture the shaded robot covers.", (0.0, 1.0))

    def __post_init__(self) -> None:
        check_cameras(self.cameras)
        # Edges that have nothing to do with the outline are on average half of the reach away.
        if not self.warn_px <= self.error_px <= self.reach_px / 2:
            raise ConfigurationError(
                f"warn_px <= error_px <= reach_px / 2 must hold, got {self.warn_px:g}, {self.error_px:g} and "
                f"{self.reach_px:g}: an error beyond the reach reads as half of it"
            )
