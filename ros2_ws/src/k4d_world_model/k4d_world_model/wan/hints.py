"""What small networks beside the transformer read, because geometry alone says most of it."""

from typing import NamedTuple

from k4d_world_model.wan.robot_shade import Lighting
from k4d_world_model.wan.surface_fill import Surfaces


class Hints(NamedTuple):
    """What tells the light, and what was behind the robot; None where the model is not told."""

    lighting: Lighting | None
    surfaces: Surfaces | None
