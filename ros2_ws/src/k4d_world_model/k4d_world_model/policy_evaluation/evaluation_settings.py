"""What policies are evaluated with, and what of it all runs in one folder must agree in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.build_settings import flat_settings, program_versions
from k4d_world_model.dataset.building.manifest import Value, differences
from k4d_world_model.errors import PolicyRunError
from k4d_world_model.policy_evaluation.closed_loop import LoopLimits
from k4d_world_model.policy_evaluation.imagined_world import Memory
from k4d_world_model.whole_files import write_whole

PROTOCOL, LOCK = "protocol.json", ".lock"
# Raise it whenever worlds, judge or policies change what a run gives.
VERSION = 3


@dataclass(frozen=True)
class EvaluationSettings:
    """How runs are made.

    model: world model YAML. frames: the numbers of frames in which it predicts, from short to long pasts. memory: what
    each prediction starts from, see ``Memory``. seed: of its random numbers, and with a run's own seed of the policy's.
    limits: when a run ends at the latest. videos: whether footage is kept. cache: folder of prepared robot surfaces.

    Raises PolicyRunError for no number of frames.
    """

    model: Path
    frames: tuple[int, ...] = (17, 33, 49)
    memory: Memory = "whole_past"
    seed: int = 0
    limits: LoopLimits = field(default_factory=LoopLimits)
    videos: bool = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise PolicyRunError("frames must name at least one number of frames in which the model predicts")


def protocol(
    settings: EvaluationSettings,
    weights_sha256: str,
    set_ups: Mapping[str, Path],
    robots: Mapping[str, str],
    policies: Mapping[str, str],
) -> dict[str, Value]:
    """All that a run depends on but its seed, flat; of YAML files what they hold.

    ``robots`` are the sha256 of the set-ups' URDFs, ``policies`` are their names with what ``policy_identity`` says.
    """
    values: dict[str, Value] = {
        "version": VERSION,
        "weights_sha256": weights_sha256,
        "memory": settings.memory,
        "seed": settings.seed,
        **{f"programs.{name}": version for name, version in program_versions("scipy", "torch").items()},
        **flat_settings("frames", list(settings.frames), Path()),
        **flat_settings("limits", asdict(settings.limits), Path()),
        **flat_settings("model", settings.model.name, settings.model.parent),
    }
    for name, path in set_ups.items():
        values |= flat_settings(f"set_up.{name}", path.name, path.parent)
        values[f"set_up.{name}.robot_sha256"] = robots[name]
    return values | {f"policy.{name}": identity for name, identity in policies.items()}


def protocol_hash(values: Mapping[str, Value]) -> str:
    """Sixteen hexadecimal digits that are equal for equal protocols."""
    return content_hash(values)[:16]


def agree(root: Path, values: dict[str, Value]) -> str:
    """The hash of the folder's protocol, which is ``values`` from now on; it keeps set-ups and policies that it has.

    Raises PolicyRunError naming every difference when the folder's runs were made by another protocol.
    """
    path = root / PROTOCOL
    before: dict[str, Value] = {}
    if path.exists():
        try:
            before = json.loads(path.read_bytes())["protocol"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise PolicyRunError(f"{path}: is no protocol: {error}") from error
        shared = {_part_of(key) for key in values} & {_part_of(key) for key in before}
        old, new = ({k: v for k, v in part.items() if _part_of(k) in shared} for part in (before, values))
        if changed := differences(old, new):
            raise PolicyRunError(f"{root} holds runs of another protocol: {'; '.join(changed)}; choose another --out")
    elif root.exists() and any(path.name != LOCK for path in root.iterdir()):
        raise PolicyRunError(f"{root} must be empty or hold {PROTOCOL}")
    whole = before | values
    content = {"hash": protocol_hash(whole), "protocol": whole}
    write_whole(path, json.dumps(content, indent=1).encode())
    return str(content["hash"])


def _part_of(key: str) -> str:
    """The set-up or policy that a key of a protocol belongs to, empty for what all share."""
    if key.startswith("policy."):
        return key
    return ".".join(key.split(".")[:2]) if key.startswith("set_up.") else ""
