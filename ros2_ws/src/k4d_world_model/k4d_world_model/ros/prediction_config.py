"""Parameters of k4d_prediction_node."""

from dataclasses import dataclass

from k4d_kinematics.ros.parameters import described
from k4d_kinematics.ros.pointmap_config import check_cameras


@dataclass(frozen=True)
class PredictionNodeConfig:
    """Parameters of k4d_prediction_node. Raises ConfigurationError on values outside the described ones."""

    model: str = described("", "Path of a world model's YAML as in config/world_models.")
    device: str = described("", "Device as torch names it, such as cpu or cuda:1; empty takes the model YAML's.")
    cameras: tuple[str, ...] = described(
        ("camera",), "Cameras: each one's pictures, and its plans from k4d_pointmap_node under <camera>/robot/plan."
    )
    image_topic: str = described("image_raw", "Pictures (sensor_msgs/Image) are on <camera>/<image_topic>.")
    depth: bool = described(True, "Whether there is a depth image on the picture's pixels; the small model needs it.")
    depth_topic: str = described("depth", "Depth images, 32FC1 metres or 16UC1 millimetres, are on <camera>/<this>.")
    image_tolerance: float = described(
        0.25, "Most seconds between a plan's start and the picture it starts from.", (0.0, 60.0)
    )
    image_history: float = described(2.0, "Seconds of pictures to remember before a plan comes.", (0.0, 60.0))
    require_calibration: bool = described(
        False, "Whether to refuse predictions unless k4d_overlay_node finds the camera where it is said to be."
    )
    predict_automatically: bool = described(False, "Whether each new plan is predicted; the newest plan wins.")
    seed: int = described(0, "Seed of automatic predictions.", (0, 2**63 - 1))
    steps: int = described(0, "Denoising steps of automatic predictions; 0 takes the model's own.", (0, 1000))
    points_frame: str = described("", "TF frame of predicted/points; empty is the camera's optical frame.")
    frame_patience: float = described(
        1.0, "Seconds that a consumer may hold up the frames of a rollout, before it loses some.", (0.0, 600.0)
    )
    autostart: bool = described(True, "Whether the node configures and activates itself when it starts.")

    def __post_init__(self) -> None:
        check_cameras(self.cameras)
