"""All runs of one initial state: every policy in the simulator and in the prediction, unless they are there already."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_simulation import SimulationError
from k4d_simulation.errors import RenderingError
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.storage.video_files import encode_mp4
from k4d_world_model.errors import OutOfMemoryError, PolicyError, UnreachablePolicyError
from k4d_world_model.policy_evaluation.closed_loop import LoopEnd, run_policy
from k4d_world_model.policy_evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.policy_evaluation.imagined_world import ImaginedWorld
from k4d_world_model.policy_evaluation.judge import Verdict, judge
from k4d_world_model.policy_evaluation.opening import open_policy
from k4d_world_model.policy_evaluation.policy import Briefing, Policy
from k4d_world_model.policy_evaluation.recording import recorded_targets
from k4d_world_model.policy_evaluation.replay_policy import ReplayPolicy
from k4d_world_model.policy_evaluation.run_row import WORLDS, RunRow, WorldName, row_path, write_row
from k4d_world_model.policy_evaluation.set_up import read_set_up
from k4d_world_model.policy_evaluation.simulated_world import SimulatedStage, SimulatedWorld
from k4d_world_model.policy_evaluation.world import Footage, RunStart
from k4d_world_model.whole_files import write_whole
from k4d_world_model.world_model import WorldModel, open_world_model

VIDEO_CRF = 18
# What a machine or a network does to a run; it says nothing about the policy and may be over the next time.
TROUBLES = (OSError, MemoryError, OutOfMemoryError, RenderingError, UnreachablePolicyError)

_POLICY = 5  # the policy's stream of random numbers among those of a run

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunTask:
    """What a worker on any machine needs: names, paths, settings.

    ``episode_id`` names the initial state, ``set_up`` is the set-up's YAML; ``policies`` are as ``open_policy`` takes
    them.
    """

    episode_id: str
    out: str
    set_up: str
    set_up_name: str
    seed: int
    policies: tuple[str, ...]
    settings: EvaluationSettings


def run_state(task: RunTask) -> Outcome:
    """Runs what is missing of the initial state; "kept" where nothing is.

    A run that fails is kept as an invalid one with its reason, but for TROUBLES, which are not a policy's doing: such a
    run is not kept, its task has failed, and the same command tries it again. Raises nothing: this is the edge of a
    worker process, where an error that concerns no single run is the reason why the task failed.
    """
    try:
        missing = [policy for policy in _policies(task) if not _is_there(task, policy)]
        if not missing:
            return Outcome(task.episode_id, "kept")
        config = read_set_up(Path(task.set_up))
        troubles = []
        with ExitStack() as opened:
            try:
                scene = config.build(_robot(task.set_up, task.settings.cache), Path(task.set_up).parent, task.seed)
                stage = SimulatedStage(scene, config.height, config.width, config.rendering)
                opened.enter_context(stage)
            except RenderingError:
                raise
            except (SimulationError, PolicyError) as error:
                for policy, world in product(missing, WORLDS):
                    write_row(Path(task.out), _invalid(task, policy, world, error))
                return Outcome(task.episode_id, "written")
            for policy in missing:
                try:
                    _run_both(task, stage, policy)
                except TROUBLES as error:
                    _logger.warning("%s of %s did not come about", task.episode_id, policy.name, exc_info=True)
                    troubles.append(f"{policy.name}: {type(error).__name__}: {error}")
        return Outcome(task.episode_id, "failed" if troubles else "written", "; ".join(troubles))
    except Exception as error:
        _logger.exception("initial state %s", task.episode_id)
        return Outcome(task.episode_id, "failed", f"{type(error).__name__}: {error}")


def run_start(stage: SimulatedStage, policy: Policy, seed: int) -> RunStart:
    """What a run in the scene of a stage begins with; with a recording only for a policy that replays one."""
    recording = recorded_targets(stage.scene, policy.sigma) if isinstance(policy, ReplayPolicy) else None
    return RunStart(SimulatedWorld(stage).observe(), Briefing(seed, stage.scene.caption, recording), stage.goal())


def policy_seed(settings: EvaluationSettings, seed: int) -> int:
    """Of a policy's random numbers in the run of a seed; not that seed itself, from which the scene can be built."""
    return int(np.random.SeedSequence([settings.seed, seed, _POLICY]).generate_state(1)[0])


def imagine(
    policy: Policy, start: RunStart, robot: ConfiguredRobot, settings: EvaluationSettings
) -> tuple[LoopEnd, ImaginedWorld]:
    """How a run ended in the prediction, which knows the start and nothing else of the truth."""
    models = _models(settings.model, settings.frames)
    world = ImaginedWorld(models, robot, start.observation, seed=settings.seed, memory=settings.memory)
    return run_policy(policy, world, start.briefing, settings.limits), world


def _run_both(task: RunTask, stage: SimulatedStage, policy: Policy) -> None:
    robot, seed = stage.scene.robot, policy_seed(task.settings, task.seed)

    def in_truth() -> tuple[RunRow, Footage]:
        world = SimulatedWorld(stage)
        end = run_policy(policy, world, run_start(stage, policy, seed).briefing, task.settings.limits)
        said, footage = world.outcome, world.footage()
        row = _row(task, policy, "truth", end, judge(footage, stage.goal(), robot))
        return replace(row, checker=said.success, checker_reason=said.reason, checker_distance=said.distance), footage

    def in_prediction() -> tuple[RunRow, Footage]:
        start = run_start(stage, policy, seed)
        end, world = imagine(policy, start, robot, task.settings)
        footage = world.footage()
        return _row(task, policy, "imagined", end, judge(footage, start.goal, robot)), footage

    runs: tuple[tuple[WorldName, Callable[[], tuple[RunRow, Footage]]], ...]
    runs = (("truth", in_truth), ("imagined", in_prediction))
    for world, run in runs:
        begun, footage = time.process_time(), None
        try:
            row, footage = run()
        except TROUBLES:
            raise
        except Exception as error:  # a policy may raise anything, and its run counts all the same
            _logger.warning("%s of %s in %s is invalid", task.episode_id, policy.name, world, exc_info=True)
            row = _invalid(task, policy, world, error)
        path = row_path(Path(task.out), policy.name, task.set_up_name, task.seed, world)
        if footage is not None and task.settings.videos:
            write_whole(path.with_suffix(".mp4"), encode_mp4(footage.rgb, VIDEO_CRF))
        write_row(Path(task.out), replace(row, seconds=time.process_time() - begun))


def _row(task: RunTask, policy: Policy, world: WorldName, end: LoopEnd, verdict: Verdict) -> RunRow:
    return RunRow(
        policy.name, policy.privileged, task.set_up_name, task.seed, world, "", verdict=verdict, chunks=end.chunks,
        commands=end.commands, done=end.done,
    )  # fmt: skip


def _invalid(task: RunTask, policy: Policy, world: WorldName, error: Exception) -> RunRow:
    reason = f"{type(error).__name__}: {error}"
    return RunRow(policy.name, policy.privileged, task.set_up_name, task.seed, world, reason)


def _is_there(task: RunTask, policy: Policy) -> bool:
    return all(row_path(Path(task.out), policy.name, task.set_up_name, task.seed, world).exists() for world in WORLDS)


@lru_cache(maxsize=1)
def _models(path: Path, frames: tuple[int, ...]) -> tuple[WorldModel, ...]:
    """The world model, opened once per worker process."""
    model = open_world_model(path)
    return tuple(model.with_frames(count) for count in frames)


@lru_cache(maxsize=4)
def _robot(set_up: str, cache: Path | None) -> ConfiguredRobot:
    return configured_robot(Path(set_up).parent / read_set_up(Path(set_up)).robot, cache)


def _policies(task: RunTask) -> list[Policy]:
    return [_policy(spec, task.set_up, task.settings.cache) for spec in task.policies]


@lru_cache(maxsize=64)
def _policy(spec: str, set_up: str, cache: Path | None) -> Policy:
    return open_policy(spec, _robot(set_up, cache))
