"""Parameters of k4d_compare_node."""

from dataclasses import dataclass
from pathlib import Path

from k4d_kinematics.ros.parameters import described
from k4d_world_model.comparison.execution_watch import WatchLimits


@dataclass(frozen=True)
class CompareNodeConfig:
    """Parameters of k4d_compare_node. Raises ConfigurationError on values outside the described ones."""

    camera: str = described("camera", "Camera whose predictions (<camera>/predicted) and pictures are compared.")
    robot: str = described("", "Path of a robot YAML as in config/robots; empty takes the topic robot_description.")
    mesh_folders: tuple[str, ...] = described(
        ("",), "Folders outside of installed packages that robot_description may name meshes in; [''] for none."
    )
    image_topic: str = described("image_raw", "Pictures (sensor_msgs/Image) are on <camera>/<image_topic>.")
    depth: bool = described(True, "Whether there is a depth image on the picture's pixels; without, clouds have none.")
    depth_topic: str = described("depth", "Depth images, 32FC1 metres or 16UC1 millimetres, are on <camera>/<this>.")
    depth_tolerance: float = described(0.02, "Most seconds between a picture and its depth image.", (0.0, 1.0))
    tolerance: float = described(0.05, "Most seconds between a predicted frame and its executed one.", (0.0, 1.0))
    joint_error: float = described(
        0.05, "How far joints may be from a plan that they follow, rad or m (root mean square).", (0.0001, 1.0)
    )
    rollouts: int = described(3, "How many of the newest predictions are waited for.", (1, 100))
    wait: float = described(60.0, "Seconds after its observation within which a plan must begin.", (0.1, 3600.0))
    history: float = described(60.0, "Seconds of pictures and joint states to remember while waiting.", (1.0, 600.0))
    history_mb: float = described(512.0, "Most megabytes of pictures to remember.", (1.0, 65536.0))
    max_rate_hz: float = described(20.0, "Most pictures a second that are kept while waiting.", (0.5, 240.0))
    report_folder: str = described("", "Folder that gets a report of each comparison; empty writes none.")
    surface_cache: str = described("", "Folder for prepared surfaces; empty prepares them anew at each start.")

    @property
    def limits(self) -> WatchLimits:
        """What is kept while a prediction waits for its execution."""
        return WatchLimits(
            self.history, self.history_mb, self.max_rate_hz, self.rollouts, self.wait, self.joint_error
        )  # fmt: skip

    @property
    def cache_dir(self) -> Path | None:
        """Where prepared surfaces are kept, None for nowhere."""
        return Path(self.surface_cache) if self.surface_cache else None
