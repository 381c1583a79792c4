"""Parameters of k4d_playback_node."""

from dataclasses import dataclass

from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.parameters import described
from k4d_world_model.playback_clock import FASTEST, SLOWEST


@dataclass(frozen=True)
class PlaybackNodeConfig:
    """Parameters of k4d_playback_node. Raises ConfigurationError on values outside the described ones."""

    camera: str = described("camera", "Camera whose predictions are played, from <camera>/predicted.")
    file: str = described("", "Rollout to play, as k4d-predict writes it; empty plays what is predicted.")
    autoplay: bool = described(True, "Whether a rollout plays as soon as it is there; otherwise resume starts it.")
    rate: float = described(1.0, "Speed as a ratio to real time.", (SLOWEST, FASTEST))
    loop: bool = described(False, "Whether playback begins again at the end.")
    points_frame: str = described("", "TF frame of the points; empty is the camera's optical frame.")
    base_frame: str = described("", "TF frame of the robot's root link; empty takes that of the predicted frames.")

    def __post_init__(self) -> None:
        if self.file and self.points_frame and not self.base_frame:
            raise ConfigurationError("points_frame needs base_frame with a file, which does not name the robot's frame")
