"""The one place that makes a policy of what a user names."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from k4d_kinematics import ConfiguredRobot, read_configuration
from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.build_settings import flat_settings
from k4d_world_model.errors import PolicyRunError
from k4d_world_model.policy_evaluation.diffusion.checkpoint import checkpoint_sha256
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicy, DiffusionPolicyConfig
from k4d_world_model.policy_evaluation.policy import Policy
from k4d_world_model.policy_evaluation.remote_policy import RemotePolicy, RemotePolicyConfig
from k4d_world_model.policy_evaluation.replay_policy import ReplayPolicy
from k4d_world_model.policy_evaluation.scripted_policy import ScriptedPolicy

C = TypeVar("C")

_OF_FILES = ("diffusion", "remote")


def open_policy(spec: str, robot: ConfiguredRobot) -> Policy:
    """The policy that ``KIND`` or ``KIND:VALUE`` names.

    scripted[:NOISE]: sees, and errs by NOISE metres. replay[:SIGMA]: plays the expert's actions, spoilt by SIGMA.
    diffusion:YAML and remote:YAML: what a file as in config/policies describes.
    Raises PolicyRunError for another kind or a value that it does not take, naming the valid ones.
    """
    kinds: dict[str, Callable[[str], Policy]] = {
        "scripted": lambda value: ScriptedPolicy(robot, noise=float(value or 0.0)),
        "replay": lambda value: ReplayPolicy(sigma=float(value or 0.0)),
        "diffusion": lambda value: DiffusionPolicy.load(_read(value, DiffusionPolicyConfig), Path(value).parent, robot),
        "remote": lambda value: RemotePolicy(_read(value, RemotePolicyConfig)),
    }
    kind, _, value = spec.partition(":")
    if kind not in kinds:
        raise PolicyRunError(f"policies are {', '.join(f'{name}[:VALUE]' for name in kinds)}, got {spec!r}")
    try:
        return kinds[kind](value)
    except ValueError as error:
        raise PolicyRunError(f"policy {spec!r} cannot be opened: {error}") from error


def placed(spec: str) -> str:
    """The same policy for whoever works in another folder: ``KIND:YAML`` with the whole path."""
    kind, _, value = spec.partition(":")
    return f"{kind}:{Path(value).resolve()}" if kind in _OF_FILES and value else spec


def policy_identity(spec: str) -> str:
    """What a policy is whatever it is called: its kind and number, or the hash of its file and of its weights.

    A server may change its policy without a trace. ``spec`` is one that ``open_policy`` has opened.
    """
    kind, _, value = spec.partition(":")
    path = Path(value)
    if kind == "remote":
        return content_hash(flat_settings("policy", path.name, path.parent))
    if kind == "diffusion":
        weights = checkpoint_sha256(path.parent / _read(value, DiffusionPolicyConfig).checkpoint)
        return content_hash([flat_settings("policy", path.name, path.parent), weights])
    return f"{kind}:{float(value or 0.0)!r}"


def _read(value: str, schema: type[C]) -> C:
    if not value:
        raise PolicyRunError("it needs the YAML file that describes it, got none")
    return read_configuration(Path(value), schema)
