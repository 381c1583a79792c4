"""What a RoboArena server says of itself when a client connects: the pictures that it demands, and its actions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
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

    def missing(self, sent: Collection[str]) -> list[str]:
        """The pictures that each request must hold and that are not among the names of those that are ``sent``.

        RoboArena's evaluator counts external cameras from 1, the test script beside its server from 0; either will do.
        """
        return min((sorted(set(self._image_keys(first)) - set(sent)) for first in (1, 0)), key=len)

    def _image_keys(self, first: int) -> list[str]:
        sides = ("left", "right") if self.needs_stereo_camera else ("left",)
        names = ["wrist_image"] * self.needs_wrist_camera
        names += [f"exterior_image_{first + k}" for k in range(min(self.n_external_cameras, _MOST_CAMERAS))]
        return [f"observation/{name}_{side}" for name in names for side in sides]


def read_greeting(metadata: Mapping[Any, Any]) -> Greeting:
    """The greeting in a server's first message, which may say more than is known here.

    Raises RemotePolicyError where a value has another type.
    """
    known = {field.name for field in fields(Greeting)}
    try:
        return from_mapping({key: value for key, value in metadata.items() if key in known}, Greeting)
    except ConfigurationError as error:
        raise RemotePolicyError(f"its greeting is not RoboArena's: {error}") from error
