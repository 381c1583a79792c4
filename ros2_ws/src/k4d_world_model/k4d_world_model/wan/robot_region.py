"""Where what is told of the robot enters the latents."""

from typing import NamedTuple


class Region(NamedTuple):
    """Where the robot enters the latents: from which latent frame on, and whether in the left and the right half."""

    first_frame: int
    left: bool
    right: bool

    @property
    def halves(self) -> int:
        """How many halves it covers."""
        return self.left + self.right


# As published for the first two; the paper's ablations accordingly. None: told by tokens alone, or not at all.
REGIONS: dict[str, Region | None] = {
    "robot_rgb_and_pointmap": Region(1, left=True, right=True),
    "robot_pointmap": Region(0, left=False, right=True),
    "robot_rgb": Region(0, left=True, right=False),
    "robot_silhouette": Region(0, left=True, right=False),
    "robot_mask": Region(1, left=True, right=True),
    "robot_depth": Region(0, left=False, right=True),
    "pictures": Region(0, left=True, right=False),
    "actions": None,
    "text": None,
    "none": None,
}


def region_of(condition: str, *, in_both_halves: bool) -> Region | None:
    """Where the robot of a condition enters; ``in_both_halves`` is the architecture's ``robot_in_both_halves``."""
    region = REGIONS[condition]
    return Region(1, left=True, right=True) if region is not None and in_both_halves else region
