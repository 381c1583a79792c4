"""What a diffusion policy's weights mean: sizes, units and words. It travels with them as architecture.json."""

from dataclasses import dataclass, field

from k4d_simulation.objects import COLOURS
from k4d_world_model.errors import ArchitectureError

Range = tuple[float, float]


@dataclass(frozen=True)
class PolicyArchitecture:
    """Sizes of a diffusion policy, and what its numbers stand for.

    height, width: pixels of the pictures that it sees. rows, columns: first and one past the last of those that it
        looks at, multiples of ``cell`` of them; cameras look at the workspace, so it lies in the middle.
    horizon: goals of one chunk. period: seconds between two of them.
    workspace: (x, y, z) ranges in metres, in the robot's base frame, of the points that it attends to.
    centre, scale: metres; positions are learnt as (position - centre) / scale.
    widest_opening: metres between fully open fingers.
    keypoints: points that it finds in a picture, at least 2: the first is the object, the second the target.
    cell, pixel_channels, grid_channels, grid_layers: of the picture's encoder, which looks at single pixels and at a
        grid of cell x cell pixels.
    width_of_denoiser, blocks: of the network that takes noise off a chunk. diffusion_steps: noise levels in training.
    verbs: what each task's sentence says, and colours: what its colours look like, red, green and blue in [0, 1].

    Raises ArchitectureError on sizes that do not fit each other.
    """

    height: int = 96
    width: int = 144
    rows: tuple[int, int] = (26, 90)
    columns: tuple[int, int] = (36, 108)
    horizon: int = 16
    period: float = 0.1
    workspace: tuple[Range, Range, Range] = ((0.2, 0.85), (-0.45, 0.45), (-0.02, 0.5))
    centre: tuple[float, float, float] = (0.5, 0.0, 0.15)
    scale: float = 0.1
    widest_opening: float = 0.08
    keypoints: int = 6
    cell: int = 4
    pixel_channels: int = 16
    grid_channels: int = 48
    grid_layers: int = 3
    width_of_denoiser: int = 256
    blocks: int = 3
    diffusion_steps: int = 50
    verbs: tuple[str, ...] = ("picks",)
    colours: dict[str, tuple[float, float, float]] = field(default_factory=lambda: dict(COLOURS))

    def __post_init__(self) -> None:
        for name, (first, end), most in (("rows", self.rows, self.height), ("columns", self.columns, self.width)):
            if not 0 <= first < end <= most or (end - first) % self.cell:
                raise ArchitectureError(
                    f"{name} must be a multiple of cell {self.cell} within 0..{most}, got {first} to {end}"
                )
        if self.keypoints < 2 or self.horizon < 1 or self.diffusion_steps < 2:
            raise ArchitectureError(
                "keypoints and diffusion_steps must be at least 2 and horizon 1, got "
                f"{self.keypoints}, {self.diffusion_steps} and {self.horizon}"
            )
        if not (self.period > 0 and self.scale > 0 and self.widest_opening > 0):
            raise ArchitectureError(
                f"period, scale and widest_opening must be above 0, got {self.period}, {self.scale} and "
                f"{self.widest_opening}"
            )
        if not self.verbs or not self.colours:
            raise ArchitectureError("verbs and colours must be at least one, got none")
