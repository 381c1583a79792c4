"""k4d-train-policy: a diffusion policy from demonstrations of the simulator's expert."""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import tyro
import yaml
from tqdm import tqdm

from k4d_kinematics import ConfiguredRobot, configured_robot, read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_simulation import SimulationError
from k4d_world_model.errors import WorldModelError
from k4d_world_model.exclusive import exclusive
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.checkpoint import save_policy
from k4d_world_model.policy_evaluation.diffusion.demonstration_files import make_demonstrations
from k4d_world_model.policy_evaluation.diffusion.demonstrations import Demonstration
from k4d_world_model.policy_evaluation.diffusion.training import (
    SAMPLING_STEPS,
    PolicyTrainingConfig,
    StepReport,
    train_policy,
)
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicyConfig
from k4d_world_model.whole_files import write_whole

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Makes demonstrations in OUT/demonstrations, trains a diffusion policy on them and leaves it in OUT/policy.

    OUT/policy.yaml describes it for k4d-evaluate-policy. Demonstrations that are there are kept, so that the same
    command goes on with those that are missing; the training itself starts anew.

    Example: k4d-train-policy --config config/policies/train_diffusion.yaml --out out/policy
    """

    config: Path
    """Training YAML as config/policies/train_diffusion.yaml."""
    out: Path
    """Folder of the run; made where it does not exist."""
    scenes: int | None = None
    """How many scenes the expert tries, in place of the configuration's."""
    steps: int | None = None
    """Optimiser steps, in place of the configuration's."""
    threads: int = 1
    """Threads of the training."""
    cache: Path | None = None
    """Folder for prepared robot surfaces."""


def main() -> int:
    """Parses the command line, trains and prints how far off the policy is on demonstrations that were held out."""
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (WorldModelError, KinematicsError, SimulationError, OSError) as error:
        print(f"k4d-train-policy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("k4d-train-policy: stopped; the same command goes on with its demonstrations", file=sys.stderr)
        return _INTERRUPTED
    return 0


def run(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError, KinematicsError or SimulationError."""
    torch.set_num_threads(arguments.threads)
    config = read_configuration(arguments.config, PolicyTrainingConfig)
    if arguments.scenes is not None:
        config = replace(config, demonstrations=replace(config.demonstrations, count=arguments.scenes))
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    folder = arguments.config.parent
    robot = configured_robot(folder / config.robot, arguments.cache)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with exclusive(arguments.out / ".lock", {}):
        _train(arguments.out, config, folder, robot)


def _train(out: Path, config: PolicyTrainingConfig, folder: Path, robot: ConfiguredRobot) -> None:
    data = make_demonstrations(
        out / "demonstrations", config.demonstrations, folder, robot, config.architecture, _making
    )
    print(f"{len(data.sentences)} of {data.tried} scenes gave a demonstration, {len(data.rgb)} frames.")
    begun = time.process_time()
    with tqdm(total=config.steps, desc="training", unit="step") as bar:

        def on_step(report: StepReport) -> None:
            bar.set_postfix_str(f"goals {report.goals:.3f}, marks {report.marks:.3f}", refresh=False)
            bar.update()

        network, error = train_policy(config, data, on_step)
    minutes = (time.process_time() - begun) / 60.0
    save_policy(
        out / "policy",
        network,
        {
            "steps": str(config.steps),
            "scenes": str(data.tried),
            "demonstrations": str(len(data.sentences)),
            "first_seed": str(config.demonstrations.seed),
            "processor_minutes": f"{minutes:.1f}",
        },
    )
    described = _describe(out, config.architecture)
    print(
        f"{config.steps} steps in {minutes:.1f} processor minutes. On {error.frames} frames held out, median error: "
        f"goals {error.goal * 1e3:.1f} mm, object {error.object * 1e3:.1f} mm, target {error.target * 1e3:.1f} mm. "
        f"To judge it: k4d-evaluate-policy --policies diffusion:{described}"
    )


def _describe(out: Path, architecture: PolicyArchitecture) -> Path:
    """The YAML that the harness opens the policy by: half of each chunk is carried out."""
    config = DiffusionPolicyConfig(
        "diffusion", "policy", max(1, architecture.horizon // 2), min(SAMPLING_STEPS, architecture.diffusion_steps)
    )
    path = out / "policy.yaml"
    write_whole(path, yaml.safe_dump(asdict(config), sort_keys=False).encode())
    return path


def _making(made: Iterable[Demonstration | None], done: int, count: int) -> Iterable[Demonstration | None]:
    yield from tqdm(made, initial=done, total=count, desc="demonstrations", unit="scene")


if __name__ == "__main__":
    sys.exit(main())
