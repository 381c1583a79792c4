"""Policies x set-ups x initial states x worlds: what is missing is run in workers, then all of it is reported."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from k4d_kinematics import ConfiguredRobot, configured_robot
from k4d_world_model.dataset.building.episode_work import Outcome
from k4d_world_model.dataset.building.local_workers import run_in_processes
from k4d_world_model.dataset.building.ray_workers import run_on_ray
from k4d_world_model.errors import PolicyRunError
from k4d_world_model.exclusive import exclusive
from k4d_world_model.policy_evaluation.evaluation_settings import LOCK, EvaluationSettings, agree, protocol
from k4d_world_model.policy_evaluation.opening import open_policy, placed, policy_identity
from k4d_world_model.policy_evaluation.run_row import WORLDS, RunRow, read_row, row_path
from k4d_world_model.policy_evaluation.run_work import RunTask, run_state
from k4d_world_model.policy_evaluation.set_up import SetUpConfig, read_set_up
from k4d_world_model.world_model import open_world_model

Watch = Callable[[Iterator[Outcome], int], Iterable[Outcome]]


@dataclass(frozen=True)
class PolicyEvaluation:
    """The rows of all runs that are there, of ``expected`` that were asked for.

    policies, set_ups: their names in the order in which they were asked for. failed: the initial states that could not
    be run, with the reason.
    """

    protocol_hash: str
    policies: tuple[str, ...]
    set_ups: tuple[str, ...]
    rows: tuple[RunRow, ...]
    expected: int
    failed: tuple[tuple[str, str], ...] = ()


def evaluate_policies(
    policies: Sequence[str],
    set_ups: Sequence[Path],
    runs: int,
    out: Path,
    settings: EvaluationSettings,
    *,
    workers: int = 1,
    ray: str = "",
    watch: Watch = lambda outcomes, total: outcomes,
    report_only: bool = False,
) -> PolicyEvaluation:
    """All runs of ``policies``, as ``open_policy`` takes them, from the first ``runs`` states of each set-up's YAML.

    A row that is in the folder ``out`` already is kept, so that a run that was killed goes on. ``workers`` processes of
    this machine do the rest, or with ``ray`` a cluster's. ``watch`` is handed the outcomes as they come, and how many
    states there are, and passes them on. With ``report_only`` nothing is run.

    Raises FolderInUseError while another command runs into ``out``, PolicyRunError for no runs, names that come twice,
    set-ups whose pictures are not of the model's size, and an ``out`` that was begun by another protocol (every
    difference is named); and what opening the model and the policies raises.
    """
    if runs < 1 or workers < 1:
        raise PolicyRunError(f"runs and workers must be at least 1, got {runs} and {workers}")
    configs = {path.resolve(): read_set_up(path) for path in set_ups}
    names = tuple(config.name for config in configs.values())
    policy_names = _names(policies, next(iter(configs), None), settings)
    for what, given, unique in (("policies", policy_names, len(policies)), ("set_ups", names, len(set_ups))):
        if not given or len(set(given)) != unique:
            raise PolicyRunError(f"{what} must be at least one, none twice, got {', '.join(given) or 'none'}")
    weights_sha256 = _checked_model(settings, tuple(configs.values()))
    robots = {config.name: _robot(path, config, settings).robot.sha256 for path, config in configs.items()}
    identities = dict(zip(policy_names, map(policy_identity, policies), strict=True))
    values = protocol(settings, weights_sha256, dict(zip(names, configs, strict=True)), robots, identities)
    out.mkdir(parents=True, exist_ok=True)
    cache = None if settings.cache is None else settings.cache.resolve()
    settings = replace(settings, model=settings.model.resolve(), cache=cache)  # workers may start elsewhere
    specs = tuple(map(placed, policies))
    tasks = [
        RunTask(f"{config.name}_{seed}", str(out.resolve()), str(path), config.name, seed, specs, settings)
        for k in range(0 if report_only else runs)
        for path, config in configs.items()
        for seed in (config.seed + k,)
    ]
    failed = []
    with nullcontext() if report_only else exclusive(out / LOCK, {}):
        digest = agree(out, values)
        with closing(_outcomes(tasks, workers, ray)) as outcomes:
            for outcome in watch(outcomes, len(tasks)):
                if outcome.kind == "failed":
                    failed.append((outcome.episode_id, outcome.reason))
    seeds = {config.name: range(config.seed, config.seed + runs) for config in configs.values()}
    return replace(collect(out, policy_names, seeds), protocol_hash=digest, failed=tuple(failed))


def collect(out: Path, policies: Sequence[str], seeds: dict[str, range]) -> PolicyEvaluation:
    """The rows in ``out`` of the named policies from the seeds of each set-up, as far as they are there.

    Raises PolicyRunError naming a row that is damaged.
    """
    paths = [
        row_path(out, policy, set_up, seed, world)
        for set_up, chosen in seeds.items()
        for policy in policies
        for seed in chosen
        for world in WORLDS
    ]
    rows = tuple(read_row(path) for path in paths if path.exists())
    return PolicyEvaluation("", tuple(policies), tuple(seeds), rows, len(paths))


def _names(policies: Sequence[str], set_up: Path | None, settings: EvaluationSettings) -> tuple[str, ...]:
    if set_up is None:
        return ()
    robot = _robot(set_up, read_set_up(set_up), settings)
    return tuple(open_policy(spec, robot).name for spec in policies)


def _robot(path: Path, config: SetUpConfig, settings: EvaluationSettings) -> ConfiguredRobot:
    return configured_robot(path.parent / config.robot, settings.cache)


def _checked_model(settings: EvaluationSettings, set_ups: tuple[SetUpConfig, ...]) -> str:
    """The hash of the model's weights. Raises what opening raises, and PolicyRunError for set-ups of another size."""
    model = open_world_model(settings.model)
    size = model.frame_shape[1:]
    for config in set_ups:
        if (config.height, config.width) != size:
            raise PolicyRunError(
                f"set-up {config.name} has pictures of (height, width) {(config.height, config.width)}, the model "
                f"{model.config.name} predicts {size}"
            )
    for count in settings.frames:
        model.with_frames(count).close()
    model.close()
    return model.weights_sha256


def _outcomes(tasks: Sequence[RunTask], workers: int, ray: str) -> Generator[Outcome]:
    if ray:
        return run_on_ray(run_state, tasks, ray, workers)
    if workers > 1:
        return run_in_processes(run_state, tasks, workers)
    return (run_state(task) for task in tasks)
