"""A learnt policy: a small diffusion model that saw demonstrations, and sees only what a camera and its joints tell."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from k4d_kinematics import ConfiguredRobot, DampedLeastSquaresIk, IkSettings, se3
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.diffusion.checkpoint import load_policy
from k4d_world_model.policy_evaluation.diffusion.instruction import read_instruction
from k4d_world_model.policy_evaluation.diffusion.network import PolicyNetwork, SeenBatch
from k4d_world_model.policy_evaluation.diffusion.noise import sample_goals
from k4d_world_model.policy_evaluation.diffusion.tool_goals import tool_goal, tool_numbers
from k4d_world_model.policy_evaluation.file_names import check_policy_name
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation

Array = NDArray[np.float64]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiffusionPolicyConfig:
    """A trained diffusion policy and how it is used: the schema of config/policies/diffusion.yaml.

    name: in reports. checkpoint: folder with architecture.json and policy.safetensors, relative to this configuration.
    executed: how many goals of a chunk are carried out before it looks again. sampling_steps: of DDIM.

    Raises PolicyError on a name that is none, and values below 1.
    """

    name: str
    checkpoint: str
    executed: int = 8
    sampling_steps: int = 10

    def __post_init__(self) -> None:
        check_policy_name(self.name)
        for name in ("executed", "sampling_steps"):
            if getattr(self, name) < 1:
                raise PolicyError(f"{name} must be at least 1, got {getattr(self, name)}")


class DiffusionPolicy:
    """A ``Policy`` that leads its tool to goals which a diffusion model draws from pictures, points and joints."""

    privileged = False

    def __init__(self, network: PolicyNetwork, robot: ConfiguredRobot, config: DiffusionPolicyConfig) -> None:
        """Raises PolicyError where more goals are to be executed, or sampled in more steps, than there are."""
        architecture = network.architecture
        for name, most in (("executed", architecture.horizon), ("sampling_steps", architecture.diffusion_steps)):
            if getattr(config, name) > most:
                raise PolicyError(f"{name} must be within 1..{most} for this checkpoint, got {getattr(config, name)}")
        self.name = config.name
        self._network, self._robot, self._config = network, robot, config
        # However far a goal is, the world leads joints to it no faster than they can move.
        settings = IkSettings(max_jump=np.inf, max_slide=np.inf)
        self._ik = DampedLeastSquaresIk(robot.robot, robot.tool_link, settings=settings)
        chain = set(self._ik.chain.joint_indices)
        slides = np.flatnonzero(~robot.robot.is_revolute)
        self._fingers = np.array([k for k in slides if k not in chain], np.intp)
        self._noise = torch.Generator()

    @classmethod
    def load(cls, config: DiffusionPolicyConfig, folder: Path, robot: ConfiguredRobot) -> "DiffusionPolicy":
        """The policy of a configuration in ``folder``. Raises CheckpointError and PolicyError."""
        return cls(load_policy(folder / config.checkpoint), robot, config)

    def reset(self, briefing: Briefing) -> None:
        """See ``Policy``."""
        self._noise.manual_seed(briefing.seed)

    @torch.no_grad()
    def act(self, observation: Observation) -> ActionChunk:
        """See ``Policy``. Raises PolicyError on pictures of another size, unknown words, and goals out of reach."""
        robot = self._robot.robot
        positions = robot.order_positions(observation.joint_names, observation.positions)
        seen, _ = self._network.encode(self._batch(observation, positions))
        goals = sample_goals(self._network, seen, self._config.sampling_steps, self._noise)[0, : self._config.executed]
        poses = [tool_goal(self._network.architecture, numbers) for numbers in goals.numpy()]
        targets = self._reach(np.stack([T for T, _ in poses]), positions)
        share = np.array([opening for _, opening in poses]) / self._network.architecture.widest_opening
        lower, upper = robot.lower[self._fingers], robot.upper[self._fingers]
        targets[:, self._fingers] = lower + share[:, None] * (upper - lower)
        return ActionChunk(robot.joint_names, targets, self._network.architecture.period)

    def _batch(self, observation: Observation, positions: Array) -> SeenBatch:
        architecture = self._network.architecture
        size = observation.rgb.shape[:2]
        if size != (architecture.height, architecture.width):
            raise PolicyError(
                f"this policy reads pictures of {architecture.height} x {architecture.width} pixels, got "
                f"{size[0]} x {size[1]}"
            )
        told = read_instruction(observation.task, architecture)
        (top, bottom), (left, right) = architecture.rows, architecture.columns
        rgb, points_cam = (part[top:bottom, left:right] for part in (observation.rgb, observation.points_cam))
        points = se3.transform_points(se3.inverse(observation.T_cam_base), points_cam)
        T_base_tool = self._robot.robot.forward_kinematics(positions)[
            self._robot.robot.link_index(self._robot.tool_link)
        ]
        state = tool_numbers(architecture, T_base_tool, observation.gripper_opening)
        return SeenBatch(
            _picture(rgb.astype(np.float32) / 255.0), _picture(points.astype(np.float32)),
            torch.tensor([[told.object_colour, told.target_colour]]), torch.tensor([told.verb]),
            torch.from_numpy(state)[None],
        )  # fmt: skip

    def _reach(self, T_base_tool: Array, positions: Array) -> Array:
        """Joint positions (N, J) along goals (N, 4, 4); where one is out of reach the joints are held."""
        robot = self._robot.robot
        solution = self._ik.solve_path(T_base_tool, np.clip(positions, robot.lower, robot.upper))
        if len(solution.failures) == len(T_base_tool):
            raise PolicyError(
                f"none of the {len(T_base_tool)} goals can be reached; the first is at "
                f"{T_base_tool[0, :3, 3].round(3).tolist()} m in the base frame, {solution.failures[0].reason}"
            )
        if solution.failures:
            _logger.info("%d of %d goals hold the joints: out of reach", len(solution.failures), len(T_base_tool))
        return np.array(solution.positions)


def _picture(pixels: NDArray[np.float32]) -> Tensor:
    return rearrange(torch.from_numpy(pixels), "h w c -> 1 c h w")
