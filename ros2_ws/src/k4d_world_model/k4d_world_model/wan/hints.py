"""What small networks beside the transformer read, because geometry alone says most of it."""

from typing import NamedTuple

from torch import Tensor

from k4d_world_model.wan.robot_shade import Lighting
from k4d_world_model.wan.surface_fill import Surfaces


class Hints(NamedTuple):
    """What tells the light, what was behind the robot, and what moves (``Inputs.mover_evidence``); None: not told."""

    lighting: Lighting | None
    surfaces: Surfaces | None
    movers: Tensor | None = None
