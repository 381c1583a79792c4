"""The only loop of the house: a policy sees, acts, and sees what came of it, until it is done or time is up."""

from dataclasses import dataclass, replace

from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.policy import Briefing, Policy
from k4d_world_model.policy_evaluation.world import World


@dataclass(frozen=True)
class LoopLimits:
    """When a run ends at the latest: after ``commands`` of PERIOD seconds, or ``chunks`` of actions.

    Raises PolicyError on numbers below 1.
    """

    commands: int = 240
    chunks: int = 32

    def __post_init__(self) -> None:
        for name in ("commands", "chunks"):
            if getattr(self, name) < 1:
                raise PolicyError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class LoopEnd:
    """How a run ended: how many ``chunks`` and ``commands`` there were, and whether the policy said it was done."""

    chunks: int
    commands: int
    done: bool


def run_policy(policy: Policy, world: World, briefing: Briefing, limits: LoopLimits) -> LoopEnd:
    """How the run ended. A chunk that would outlast the limit is cut, and what was cut does not count as done.

    A policy that is not privileged is not given the briefing's recording. Raises PolicyError for a policy whose actions
    last longer than the limit, and what the policy and the world raise.
    """
    policy.reset(briefing if policy.privileged else replace(briefing, recording=None))
    chunks = commands = 0
    done = False
    while not done and chunks < limits.chunks and commands < limits.commands:
        chunk = policy.act(world.observe())
        each = max(1, round(chunk.period / PERIOD))
        room = (limits.commands - commands) // each
        if not room:
            break
        world.act(replace(chunk, targets=chunk.targets[:room]))
        chunks, commands = chunks + 1, commands + each * min(room, len(chunk.targets))
        done = chunk.done and room >= len(chunk.targets)
    if not chunks:
        raise PolicyError(f"an action lasts longer than the {limits.commands} commands of {PERIOD:g} s of a run")
    return LoopEnd(chunks, commands, done)
