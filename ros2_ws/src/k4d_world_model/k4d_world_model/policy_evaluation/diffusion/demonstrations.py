"""Demonstrations of the simulator's experts: what the camera saw, and where the tool was to go from there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import ConfiguredRobot, se3
from k4d_simulation import RenderingSettings, Scene, SceneConfig, SceneRenderer, build_scene
from k4d_simulation.control import RATE_HZ, STEP_ANGLE, STEP_LENGTH, ToolController
from k4d_simulation.errors import SceneError
from k4d_simulation.experts import plan_actions
from k4d_simulation.success import check_success
from k4d_world_model.errors import TrainingError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.tool_goals import TOOL_NUMBERS, tool_numbers

Array = NDArray[np.float64]

_KNOT = 8  # actions between two draws of what an expert is pushed off its way by
_FREE_HEIGHT = 0.14  # m above the table from which on it is pushed in full
_LEAST_PUSH = 0.1  # share of it right above the table


@dataclass(frozen=True)
class DemonstrationConfig:
    """Which demonstrations are made. Of scenes that a seed draws, the expert's successes are kept.

    scenes: YAML files of scenes, relative to this configuration; they take turns.
    tasks: take turns, and may come more than once. seed: of the first scene; each further one has the next.
    count: how many scenes are tried. frames: pictures of each success.
    push: standard deviation in metres by which the expert is led off its way, and turn in radians: it goes on to where
        it wanted to be, so that the policy learns to come back. calm_share: of the scenes, in which it is not.

    Raises TrainingError on values out of range.
    """

    scenes: tuple[str, ...]
    tasks: tuple[str, ...]
    seed: int
    count: int
    frames: int = 8
    push: float = 0.02
    turn: float = 0.1
    calm_share: float = 0.25

    def __post_init__(self) -> None:
        if not self.scenes or not self.tasks:
            raise TrainingError(f"scenes and tasks must be at least one, got {self.scenes} and {self.tasks}")
        if self.count < 1 or self.frames < 1 or self.seed < 0:
            raise TrainingError(
                f"count and frames must be at least 1 and seed 0, got {self.count}, {self.frames} and {self.seed}"
            )
        if not (0 <= self.push <= 0.1 and 0 <= self.turn <= 1 and 0 <= self.calm_share <= 1):
            raise TrainingError(
                "push must be within 0..0.1 m, turn within 0..1 rad and calm_share within 0..1, got "
                f"{self.push}, {self.turn} and {self.calm_share}"
            )


@dataclass(frozen=True, eq=False)
class Demonstration:
    """F frames of one expert's success.

    sentence: what was to be done. rgb: (F, H, W, 3) uint8. depth: (F, H, W) float16 metres, NaN where nothing is seen.
    rays: (H, W, 3) float32 points at a depth of one metre. T_base_cam: (4, 4).
    state: (F, TOOL_NUMBERS) of the tool as it was; goals: (F, horizon, TOOL_NUMBERS) where the expert led it next.
    marks: (F, 2, 3) metres in the base frame, where object and target were: told in training only.
    """

    sentence: str
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float16]
    rays: NDArray[np.float32]
    T_base_cam: Array
    state: NDArray[np.float32]
    goals: NDArray[np.float32]
    marks: NDArray[np.float32]


def demonstrate(
    config: DemonstrationConfig,
    turns: Iterable[int],
    scenes: Sequence[SceneConfig],
    robot: ConfiguredRobot,
    architecture: PolicyArchitecture,
) -> Iterator[Demonstration | None]:
    """A demonstration for each of ``turns`` in 0..count - 1, None where the scene finds no room or the expert fails.

    ``scenes`` are those that ``config.scenes`` name.
    """
    for k in turns:
        # Every task meets every scene: the tasks turn faster.
        scene_config = scenes[k // len(config.tasks) % len(scenes)]
        task = config.tasks[k % len(config.tasks)]
        try:
            scene = build_scene(robot, scene_config, task, config.seed + k, meshes="coarse")
        except SceneError:
            yield None
            continue
        yield _demonstration(scene, config, architecture)


def _demonstration(scene: Scene, config: DemonstrationConfig, architecture: PolicyArchitecture) -> Demonstration | None:
    generator = np.random.default_rng([scene.seed, 3])
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.initial_qpos
    controller = ToolController(scene, data)
    plan = plan_actions(scene, controller.T_world_goal)
    goals = _planned_goals(scene, controller.T_world_goal, plan)
    actions = plan if generator.random() < config.calm_share else _pushed(plan, goals, config, generator)
    states, objects = [data.qpos.copy()], [_object_place(scene, data)]
    for action in actions:
        controller.step(action)
        states.append(data.qpos.copy())
        objects.append(_object_place(scene, data))
    if not check_success(scene, data).success:
        return None
    chosen = _chosen(len(actions), config.frames, generator)
    return _seen(scene, np.array(states), np.array(objects), goals, chosen, architecture)


def _planned_goals(scene: Scene, T_world_tool: Array, plan: Array) -> Array:
    """Where the plan leads the tool: x, y, z in the base frame, turn about the vertical, gripper (N, 5)."""
    T_base_tool = se3.inverse(scene.T_world_base) @ T_world_tool
    positions = T_base_tool[:3, 3] + STEP_LENGTH * np.cumsum(plan[:, :3], axis=0)
    turn = np.arctan2(T_base_tool[1, 0], T_base_tool[0, 0]) + STEP_ANGLE * np.cumsum(plan[:, 5])
    return np.column_stack([positions, turn, plan[:, 6]])


def _pushed(plan: Array, goals: Array, config: DemonstrationConfig, generator: np.random.Generator) -> Array:
    """The plan's actions, led off its way and back along smooth random curves; less the lower the tool is."""
    knots = np.arange(0, len(plan) + _KNOT, _KNOT)
    sizes = [config.push, config.push, config.push / 2, config.turn]
    draws = generator.normal(0.0, sizes, (len(knots), 4))
    draws[0] = 0.0
    curve = np.stack([np.interp(np.arange(1, len(plan) + 1), knots, draws[:, k]) for k in range(4)], axis=-1)
    curve *= np.clip(goals[:, 2:3] / _FREE_HEIGHT, _LEAST_PUSH, 1.0)
    steps = np.diff(curve, axis=0, prepend=np.zeros((1, 4)))
    pushed = plan.copy()
    pushed[:, :3] += steps[:, :3] / STEP_LENGTH
    pushed[:, 5] += steps[:, 3] / STEP_ANGLE
    return np.clip(pushed, -1.0, 1.0)


def _object_place(scene: Scene, data: mujoco.MjData) -> Array:
    """Where the task's object is in the world; for a reach, the target."""
    return scene.target if scene.object_body is None else np.array(data.xpos[scene.object_body])


def _chosen(count: int, frames: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """The first state and one of each equal part of the others, by a draw."""
    if frames == 1:
        return np.zeros(1, np.intp)
    edges = np.linspace(1, count, frames)
    return np.array([0, *(int(generator.uniform(a, b)) for a, b in pairwise(edges))], np.intp)


def _seen(
    scene: Scene,
    states: Array,
    objects: Array,
    goals: Array,
    chosen: NDArray[np.intp],
    architecture: PolicyArchitecture,
) -> Demonstration:
    T_base_world = se3.inverse(scene.T_world_base)
    robot = scene.robot.robot
    tool, fingers = robot.link_index(scene.robot.tool_link), ~robot.is_revolute
    size = (len(chosen), architecture.height, architecture.width)
    rgb, depth = np.empty((*size, 3), np.uint8), np.empty(size, np.float16)
    numbers = np.empty((len(chosen), TOOL_NUMBERS), np.float32)
    settings = RenderingSettings(samples=0, shadow_map_px=1024)
    with SceneRenderer(scene, architecture.height, architecture.width, settings) as renderer:
        rays = renderer.camera.rays()
        for f, t in enumerate(chosen):
            image = renderer.render(states[t])
            rgb[f], depth[f] = image.rgb, image.depth
            positions = scene.positions(states[t])
            T_base_tool = robot.forward_kinematics(positions)[tool]
            numbers[f] = tool_numbers(architecture, T_base_tool, 2.0 * float(positions[fingers].sum()))
    marks = np.stack([objects[chosen], np.broadcast_to(scene.target, (len(chosen), 3))], axis=1)
    return Demonstration(
        scene.caption, rgb, depth, np.concatenate([rays, np.ones((*size[1:], 1))], axis=-1).astype(np.float32),
        T_base_world @ scene.T_world_cam, numbers, _chunks(goals, chosen, architecture),
        se3.transform_points(T_base_world, marks).astype(np.float32),
    )  # fmt: skip


def _chunks(goals: Array, chosen: NDArray[np.intp], architecture: PolicyArchitecture) -> NDArray[np.float32]:
    """Goals (F, horizon, TOOL_NUMBERS) that follow each chosen state; after the plan's end its last one."""
    stride = architecture.period * RATE_HZ
    ahead = np.rint(stride * np.arange(1, architecture.horizon + 1)).astype(np.intp) - 1
    taken = goals[np.minimum(chosen[:, None] + ahead, len(goals) - 1)]  # (F, horizon, 5)
    position = (taken[..., :3] - np.array(architecture.centre)) / architecture.scale
    turn, gripper = taken[..., 3:4], taken[..., 4:5]
    return np.concatenate([position, np.cos(turn), np.sin(turn), gripper], axis=-1).astype(np.float32)
