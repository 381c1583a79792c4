"""A task's sentence as numbers: which task it is, and what its object and its target look like."""

import re
from dataclasses import dataclass

from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Instruction:
    """``verb`` is the task's place in the architecture's verbs; the colours are those of the object and the target.

    Where a sentence names one colour, it is that of both.
    """

    verb: int
    object_colour: Rgb
    target_colour: Rgb


def read_instruction(sentence: str, architecture: PolicyArchitecture) -> Instruction:
    """What a sentence asks for. Raises PolicyError unless it names one known verb and one or two known colours."""
    words = re.findall(r"[a-z]+", sentence.lower())
    verbs = [architecture.verbs.index(word) for word in words if word in architecture.verbs]
    colours = [architecture.colours[word] for word in words if word in architecture.colours]
    if len(verbs) != 1 or not 1 <= len(colours) <= 2:
        raise PolicyError(
            f"the policy reads sentences with one of {', '.join(architecture.verbs)} and one or two of "
            f"{', '.join(architecture.colours)}, got {sentence!r}"
        )
    return Instruction(verbs[0], colours[0], colours[-1])
