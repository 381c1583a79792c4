"""What a RoboArena server says of itself when a client connects: the pictures that it demands, and its actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.errors import RemotePolicyError

_MOST_CAMERAS = 2


@dataclass(frozen=True)
class Greeting:
    """A server's configuration under RoboArena's own names; ``image_resolution`` is (height, width) or None for any."""

    image_resolution: tuple[int, int] | None = None
    needs_wrist_camera: bool = True
    n_external_cameras: int = 1
    needs_stereo_camera: bool = False
    needs_session_id: bool = False
    action_space: str = "joint_position"

    @property
    def image_keys(self) -> tuple[str, ...]:
        """The pictures that each request must hold."""
        sides = ("left", "right") if self.needs_stereo_camera else ("left",)
        names = ["wrist_image"] * self.needs_wrist_camera
        names += [f"exterior_image_{k}" for k in range(min(self.n_external_cameras, _MOST_CAMERAS))]
        return tuple(f"observation/{name}_{side}" for name in names for side in sides)


def read_greeting(metadata: Mapping[Any, Any]) -> Greeting:
    """The greeting in a server's first message. Raises RemotePolicyError for anything else."""
    try:
        return from_mapping({str(key): value for key, value in metadata.items()}, Greeting)
    except ConfigurationError as error:
        raise RemotePolicyError(f"its greeting is not RoboArena's: {error}") from error
