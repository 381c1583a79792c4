"""Meta-World's side: plays episodes that are asked for line by line. Run by its path, by a Python with Meta-World.

It imports nothing of k4d, which that Python does not have. Both sides send one JSON object a line: first the worker
{"metaworld", "mujoco", "tasks"}, then for each request {"task", "seed", "noise"} either {"success", "steps"} or
{"error"}.
"""

import json
import os
import sys
from importlib.metadata import version
from typing import Any, TextIO

SUFFIX = "-goal-observable"


def main() -> int:
    """Answers requests until standard input ends."""
    # What Meta-World or MuJoCo print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as environments
    from metaworld.policies import ENV_POLICY_MAP as policies

    names = sorted(name for name in policies if name + SUFFIX in environments)
    _send(answers, {"metaworld": version("metaworld"), "mujoco": version("mujoco"), "tasks": names})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            task, seed, noise = str(request["task"]), int(request["seed"]), float(request["noise"])
            if task not in names:
                raise ValueError(f"unknown task {task!r}")
            _send(answers, play(environments[task + SUFFIX](seed=seed), policies[task](), seed, noise))
        except (ValueError, TypeError, KeyError) as error:
            _send(answers, {"error": f"{type(error).__name__}: {error}"})
    return 0


def play(environment: Any, policy: Any, seed: int, noise: float) -> dict[str, Any]:
    """One episode of a scripted policy: Gaussian noise of standard deviation ``noise`` on each action, then clipped.

    Where everything stands was drawn when the environment was made with its seed; resetting it changes nothing of that.
    It ends with the first step at which the environment calls the task done, or with the environment's own limit.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    observation, _ = environment.reset()
    for step in range(1, environment.max_path_length + 1):
        action = policy.get_action(observation)
        action = np.clip(action + generator.normal(0.0, noise, action.shape), -1.0, 1.0)
        observation, _, _, _, info = environment.step(action)
        if info["success"] > 0:
            return {"success": True, "steps": step}
    return {"success": False, "steps": environment.max_path_length}


def _send(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
