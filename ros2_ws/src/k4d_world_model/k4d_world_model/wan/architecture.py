"""What belongs to a model's weights and travels with them: sizes, conditions, normalisation, head."""

from dataclasses import dataclass, field
from typing import Literal

from k4d_world_model.errors import ArchitectureError

# Channels of the mask beside the latents.
MASK_CHANNELS = 4

Condition = Literal[
    "robot_rgb_and_pointmap", "robot_pointmap", "robot_rgb", "robot_silhouette", "robot_mask", "robot_depth", "actions",
    "text", "none", "pictures",
]  # fmt: skip
# Conditions told as ``action_size`` numbers a frame.
NUMBERS = ("actions", "text")


@dataclass(frozen=True)
class TransformerSize:
    """Numbers of diffusers' WanTransformer3DModel; the defaults are those of Wan2.1-I2V-14B-480P.

    image_dim: width of the image encoder's tokens, 0 where there is no image encoder.
    """

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    ffn_dim: int = 13824
    num_layers: int = 40
    freq_dim: int = 256
    image_dim: int = 1280
    eps: float = 1e-6
    rope_max_seq_len: int = 1024

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True)
class RobotTokenSize:
    """How the robot's latents become context tokens: ``patch`` cells a side, pooled to ``grid`` (t, h, w) a half."""

    patch: int = 15
    grid: tuple[int, int, int] = (13, 4, 6)


@dataclass(frozen=True)
class CodecSize:
    """Which codec turns pictures into latents, and how many pixels a side and frames a latent cell covers.

    kind: "wan_vae" is Wan's autoencoder, stored beside the weights; "pixels" rearranges pixels without loss.
    """

    kind: Literal["wan_vae", "pixels"] = "wan_vae"
    spatial: int = 8
    temporal: int = 4
    latent_channels: int = 16


@dataclass(frozen=True)
class Architecture:
    """A world model without its weights.

    frames, height, width: what it was trained to predict, per modality.
    condition: what of the robot it is told. The names are Kinema4D's ablations (Table 4 and VI); "actions" are
        ``action_size`` joint positions a frame, "text" counts of the instruction's words, hashed to ``action_size``.
        "robot_silhouette" is the mask as a picture, "robot_mask" the cells of the latents alone that show the robot.
        "pictures" are those of the whole clip, no robot's: such a model reconstructs points.
    tells_robot_mask: whether it is told the robot's mask beside the robot's latents.
    robot_in_both_halves: whether a condition of one half's latents enters both halves alike, from the second latent
        frame on, so that conditions differ in nothing else; as published, it enters its own half alone.
    first_frame_geometry: what stands beside the first picture: "ramp" the published uniform pointmap, "measured" the
        first frame's points, of a depth camera or a simulator.
    normalization: whose extrema scale the points: "scene" as the published data, where they must be given or are
        estimated from what is known at the start; "robot" those of the robot's own points over the clip, which
        kinematics knows, as one scale for the three axes and widened by ``normalization_margin``; "fixed" a cube of
        ``normalization_margin`` metres to all sides of a point as far before the camera, which tells of no robot.
    robot_pictures: "rendered" from the robot's description, or "masked" out of the recorded pictures.
    prior: what the prediction starts from: "first_frame" alone; "still": the first frame and what stands beside it,
        all along; or "frozen_world": the robot moved over the first frame with the hole that it leaves filled.
    head: "velocity" of the flow; "residual" to the prior's latents; "blend": the prior's pixels changed, and over
        them a layer made of what is told of the robot there; "motion": fills, moves and lights the prior's pixels. The
        last two are for the codec "pixels".
    pointmap_latent_mean, pointmap_latent_std: of the pointmap half, after the codec's own normalisation.
    train_shift: shift of the noise levels in training.
    reads_noise: whether the transformer is shown the noisy latents; a model that is not predicts in one step.
    injection_rank: of the map by which the robot's latents enter the condition latents, 0 for a full one as published.
    light_grid: how many directions of light a side are tried to tell where the robot's shadows fall, 0 for none; they
        are spread over slopes of up to ``light_slope`` from the robot's z axis. Needs head "motion".
    continues_surfaces: whether the model is told which surfaces may go on behind the robot. Needs head "motion".
    moves_objects: whether it is told what the tool carries and pushes, as contact tells. Needs continues_surfaces.

    Raises ArchitectureError where the numbers contradict each other.
    """

    frames: int
    height: int
    width: int
    condition: Condition = "robot_rgb_and_pointmap"
    tells_robot_mask: bool = True
    robot_in_both_halves: bool = False
    first_frame_geometry: Literal["ramp", "measured"] = "ramp"
    normalization: Literal["scene", "robot", "fixed"] = "scene"
    normalization_margin: float = 1.0
    robot_pictures: Literal["masked", "rendered"] = "masked"
    prior: Literal["first_frame", "still", "frozen_world"] = "first_frame"
    head: Literal["velocity", "residual", "blend", "motion"] = "velocity"
    pointmap_latent_mean: float = -0.17
    pointmap_latent_std: float = 1.36
    train_shift: float = 1.0
    action_size: int = 0
    reads_noise: bool = True
    injection_rank: int = 0
    light_grid: int = 0
    light_slope: float = 0.8
    continues_surfaces: bool = False
    moves_objects: bool = False
    codec: CodecSize = field(default_factory=CodecSize)
    transformer: TransformerSize = field(default_factory=TransformerSize)
    robot_tokens: RobotTokenSize = field(default_factory=RobotTokenSize)

    def __post_init__(self) -> None:
        codec, patch = self.codec, self.transformer.patch_size
        cell_t, cell_h, cell_w = codec.temporal * patch[0], codec.spatial * patch[1], codec.spatial * patch[2]
        if (
            self.frames < 1
            or (self.frames - 1) % codec.temporal
            or ((self.frames - 1) // codec.temporal + 1) % patch[0]
        ):
            raise ArchitectureError(f"frames must be 1 + a multiple of {cell_t}, got {self.frames}")
        for name, size, cell in (("height", self.height, cell_h), ("width", self.width, cell_w)):
            if size < cell or size % cell:
                raise ArchitectureError(f"{name} must be a multiple of {cell} px, got {size}")
        pixels = 3 * codec.temporal * codec.spatial**2
        if codec.kind == "pixels" and codec.latent_channels != pixels:
            raise ArchitectureError(f"the codec 'pixels' has {pixels} latent channels, got {codec.latent_channels}")
        if self.head == "motion" and (codec.kind != "pixels" or self.prior != "frozen_world"):
            raise ArchitectureError("head 'motion' needs the codec 'pixels' and the prior 'frozen_world'")
        if self.head in ("residual", "blend") and self.prior == "first_frame":
            raise ArchitectureError(f"head {self.head!r} needs the prior 'still' or 'frozen_world'")
        if self.head == "blend" and codec.kind != "pixels":
            raise ArchitectureError("head 'blend' needs the codec 'pixels'")
        if not self.reads_noise and self.head == "velocity":
            raise ArchitectureError("head 'velocity' is told from noise: reads_noise must be true")
        if self.light_grid and (self.light_grid < 3 or self.head != "motion" or not self.light_slope > 0):
            raise ArchitectureError(
                "light_grid must be 0, or at least 3 with head 'motion' and light_slope above 0, got "
                f"{self.light_grid}, {self.head!r} and {self.light_slope}"
            )
        if self.continues_surfaces and self.head != "motion":
            raise ArchitectureError(f"continues_surfaces needs head 'motion', got {self.head!r}")
        if self.moves_objects and not self.continues_surfaces:
            raise ArchitectureError("moves_objects needs continues_surfaces, which shows what things stood before")
        if self.injection_rank < 0:
            raise ArchitectureError(f"injection_rank must be at least 0, got {self.injection_rank}")
        if self.prior == "frozen_world" and self.first_frame_geometry != "measured":
            raise ArchitectureError("prior 'frozen_world' needs first_frame_geometry 'measured'")
        if (self.condition in NUMBERS) != (self.action_size > 0):
            raise ArchitectureError(
                f"action_size must be above 0 for the conditions {' and '.join(NUMBERS)} only, got {self.action_size}"
            )

    @property
    def latent_grid(self) -> tuple[int, int, int]:
        """(t, h, w) of the latents of one modality; the two lie side by side along w."""
        codec = self.codec
        return (self.frames - 1) // codec.temporal + 1, self.height // codec.spatial, self.width // codec.spatial

    @property
    def in_channels(self) -> int:
        """Channels that the transformer reads: noisy latents unless it is not shown them, mask, condition latents."""
        return (1 + self.reads_noise) * self.codec.latent_channels + MASK_CHANNELS
