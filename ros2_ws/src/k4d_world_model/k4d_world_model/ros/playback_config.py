"""Parameters of k4d_playback_node."""

from dataclasses import dataclass

from k4d_kinematics.errors import ConfigurationError
from k4d_kinematics.ros.parameters import described
from k4d_kinematics.ros.pointmap_config import check_cameras
from k4d_world_model.playback_clock import FASTEST, SLOWEST


@dataclass(frozen=True)
class PlaybackNodeConfig:
    """Parameters of k4d_playback_node. Raises ConfigurationError on values outside the described ones."""

    cameras: tuple[str, ...] = described(("camera",), "Cameras whose predictions are played, from <camera>/predicted.")
    files: tuple[str, ...] = described(
        ("",), "Rollouts to play, as k4d-predict writes them, side by side; one empty name plays what is predicted."
    )
    autoplay: bool = described(True, "Whether a rollout plays as soon as it is there; otherwise resume starts it.")
    rate: float = described(1.0, "Speed as a ratio to real time.", (SLOWEST, FASTEST))
    loop: bool = described(False, "Whether playback begins again at the end.")
    points_frame: str = described("", "TF frame of the points; empty is the camera's optical frame.")
    base_frame: str = described("", "TF frame of the robot's root link; empty takes that of the predicted frames.")

    @property
    def recordings(self) -> tuple[str, ...]:
        """The files to play, none where predictions are."""
        return () if self.files == ("",) else self.files

    @property
    def names(self) -> tuple[str, ...]:
        """What the rollouts side by side are called: cameras, or rollout_0 and so on for files."""
        return tuple(f"rollout_{index}" for index in range(len(self.recordings))) or self.cameras

    def __post_init__(self) -> None:
        check_cameras(self.cameras)
        if "" in self.recordings or not self.files:
            raise ConfigurationError(f"files must be paths, or one empty name for none, got {list(self.files)}")
        if self.recordings and self.points_frame and not self.base_frame:
            raise ConfigurationError("points_frame needs base_frame with files, which do not name the robot's frame")
