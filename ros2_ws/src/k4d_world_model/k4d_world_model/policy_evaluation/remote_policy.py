"""A policy that runs elsewhere, behind the websocket protocol of openpi and RoboArena."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.errors import RemotePolicyError
from k4d_world_model.policy_evaluation.file_names import check_policy_name
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation
from k4d_world_model.policy_evaluation.remote.connection import PolicyConnection, ServerAddress, shown
from k4d_world_model.policy_evaluation.remote.gripper import GripperMeaning
from k4d_world_model.policy_evaluation.remote.pictures import Fit, fitted
from k4d_world_model.policy_evaluation.remote.roboarena import read_greeting

Array = NDArray[np.float64]

_SESSION = "session_id"  # RoboArena's key

ActionMeaning = Literal["joint_position", "joint_velocity", "joint_delta"]


@dataclass(frozen=True)
class RemotePolicyConfig:
    """A policy server, and what its messages mean for this robot: the schema of config/policies/remote*.yaml.

    name: in reports. server: see ServerAddress. dialect: "openpi", or "roboarena" with its endpoints and its greeting.
    joints: in the order of the server's joint positions and actions. gripper: the action's last number, None without.
    image_key, joint_key, gripper_key, prompt_key: names in requests. blank_images: keys of further cameras that the
        server demands and nobody has; they are sent black. image_height, image_width: of the pictures that are sent.
    fit: "letterbox" keeps a picture's proportions, black beside it, as openpi does; "stretch" does not, as RoboArena.
    actions_key: where in an answer the actions are; an answer that is an array is taken as it is.
    action: "joint_position" in radians; "joint_velocity", which ``action_scale`` turns into rad/s; or "joint_delta",
        from each action's target to the next, which it turns into radians. A gripper's number is always a position.
    action_limit: velocities and deltas are clipped to plus and minus it before they are scaled; None leaves them.
    period: seconds between two actions. executed: how many of an answer are carried out, 0 for all.

    Raises PolicyError on a name that is none, RemotePolicyError on values out of range.
    """

    name: str
    server: ServerAddress
    joints: tuple[str, ...]
    gripper: GripperMeaning | None = None
    dialect: Literal["openpi", "roboarena"] = "openpi"
    image_key: str = "observation/exterior_image_1_left"
    blank_images: tuple[str, ...] = ()
    joint_key: str = "observation/joint_position"
    gripper_key: str = "observation/gripper_position"
    prompt_key: str = "prompt"
    image_height: int = 224
    image_width: int = 224
    fit: Fit = "letterbox"
    actions_key: str = "actions"
    action: ActionMeaning = "joint_position"
    action_scale: float = 1.0
    action_limit: float | None = None
    period: float = 0.05
    executed: int = 0

    def __post_init__(self) -> None:
        check_policy_name(self.name)
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise RemotePolicyError(f"joints must be at least one, none twice, got {self.joints}")
        if not (0 < self.image_height <= 4096 and 0 < self.image_width <= 4096):
            raise RemotePolicyError(
                f"image_height and image_width must be within 1..4096, got {self.image_height}, {self.image_width}"
            )
        if not (self.period > 0 and self.executed >= 0 and np.isfinite(self.action_scale)):
            raise RemotePolicyError(
                "period must be above 0 s, executed at least 0 and action_scale finite, got "
                f"{self.period}, {self.executed} and {self.action_scale}"
            )
        for name, value, unset in (("action_scale", self.action_scale, 1.0), ("action_limit", self.action_limit, None)):
            if self.action == "joint_position" and value != unset:
                raise RemotePolicyError(f"{name} is for velocities and deltas only, got {value}")
        if self.action_limit is not None and not self.action_limit > 0:
            raise RemotePolicyError(f"action_limit must be above 0, got {self.action_limit}")


class RemotePolicy:
    """A ``Policy`` that asks a server; use it as a context manager, or ``close`` it."""

    privileged = False

    def __init__(self, config: RemotePolicyConfig) -> None:
        """The server is not asked for anything before the first run."""
        self.name = config.name
        self._config = config
        self._open: PolicyConnection | None = None
        self._session, self._wants_session = "", False

    def __enter__(self) -> "RemotePolicy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next run opens another."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def reset(self, briefing: Briefing) -> None:
        """See ``Policy``. Only RoboArena's servers are told of it; openpi's keep nothing between two requests.

        Raises UnreachablePolicyError where the server cannot be reached, RemotePolicyError where its greeting
        contradicts the configuration or it reports an error.
        """
        if self._config.dialect == "roboarena":
            self._session = uuid.uuid4().hex
            told = {self._config.prompt_key: briefing.task, _SESSION: self._session}
            answer = self._ask({"endpoint": "reset", **told})
            if not isinstance(answer, str) or "Traceback" in answer:
                raise self._error(f"a reset is answered with a text that confirms it, got {_described(answer)}")

    def act(self, observation: Observation) -> ActionChunk:
        """See ``Policy``.

        Raises UnreachablePolicyError where the server cannot be reached, ends the connection or does not answer in
        time, RemotePolicyError where it reports an error or its answer holds no actions of the right shape.
        """
        config = self._config
        answer = self._ask(self._request(observation))
        if isinstance(answer, str):
            raise self._error(f"it reports {shown(answer)!r}")
        actions = self._actions(answer)
        actions = actions[: config.executed or len(actions)]
        here = self._positions(observation)
        count = len(config.joints)
        targets = self._targets(actions[:, :count], here)
        if config.gripper is None:
            return ActionChunk(config.joints, targets, config.period)
        grip = config.gripper.positions(actions[:, count])
        return ActionChunk((*config.joints, config.gripper.joint), np.column_stack([targets, grip]), config.period)

    def _ask(self, request: dict[str, Any]) -> Any:
        """The server's answer. After an error nothing is known of what it would answer next, so the connection ends."""
        try:
            if self._open is None:
                self._open = PolicyConnection(self._config.server)
                self._check_greeting(self._open.metadata)
            if self._wants_session:
                request = {**request, _SESSION: self._session}
            return self._open.ask(request)
        except RemotePolicyError:
            self.close()
            raise

    def _request(self, observation: Observation) -> dict[str, Any]:
        config = self._config
        request: dict[str, Any] = {"endpoint": "infer"} if config.dialect == "roboarena" else {}
        picture = fitted(observation.rgb, config.image_height, config.image_width, config.fit)
        request |= {key: np.zeros_like(picture) for key in config.blank_images}
        request |= {config.image_key: picture, config.prompt_key: observation.task}
        request[config.joint_key] = self._positions(observation)
        if config.gripper is not None:
            position = _position_of(observation, config.gripper.joint)
            request[config.gripper_key] = np.array([config.gripper.value(position)])
        return request

    def _positions(self, observation: Observation) -> Array:
        return np.array([_position_of(observation, name) for name in self._config.joints])

    def _actions(self, answer: Any) -> Array:
        """The actions (N, A) in an answer."""
        config = self._config
        if isinstance(answer, dict):
            if config.actions_key not in answer:
                raise self._error(
                    f"an answer lacks {config.actions_key!r}; it has {shown(', '.join(map(str, answer)))}"
                )
            answer = answer[config.actions_key]
        width = len(config.joints) + (config.gripper is not None)
        if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiu" or answer.ndim != 2:
            raise self._error(f"actions must be an array (N, {width}) of numbers, got {_described(answer)}")
        if len(answer) < 1 or answer.shape[1] != width:
            raise self._error(f"actions must be (N >= 1, {width}), got {answer.shape}")
        actions = answer.astype(np.float64)
        if not np.isfinite(actions).all():
            raise self._error(f"actions must be finite, got {actions[~np.isfinite(actions).all(axis=1)][0]}")
        return actions

    def _targets(self, actions: Array, here: Array) -> Array:
        """Joint targets (N, J) of actions (N, J), from where the joints are."""
        config = self._config
        if config.action == "joint_position":
            return actions
        if config.action_limit is not None:
            actions = np.clip(actions, -config.action_limit, config.action_limit)
        step = config.action_scale * (config.period if config.action == "joint_velocity" else 1.0)
        return np.asarray(here + step * np.cumsum(actions, axis=0))

    def _check_greeting(self, metadata: dict[Any, Any]) -> None:
        """Raises RemotePolicyError where a RoboArena server demands what is not configured; openpi's demand nothing."""
        config = self._config
        if config.dialect != "roboarena":
            return
        greeting = read_greeting(metadata)
        if greeting.action_space != config.action:
            raise self._error(f"its actions are {greeting.action_space!r}, but configured is {config.action!r}")
        size = (config.image_height, config.image_width)
        if greeting.image_resolution not in (None, size):
            raise self._error(f"it reads pictures of {greeting.image_resolution} pixels, but configured are {size}")
        if missing := greeting.missing((config.image_key, *config.blank_images)):
            raise self._error(f"it demands {', '.join(missing)}; blank_images may name pictures that are sent black")
        self._wants_session = greeting.needs_session_id

    def _error(self, what: str) -> RemotePolicyError:
        """What is wrong with an answer. The connection ends: servers close it once they have reported an error."""
        self.close()
        return RemotePolicyError(f"{self._config.server.url}: {what}")


def _position_of(observation: Observation, joint: str) -> float:
    if joint not in observation.joint_names:
        raise RemotePolicyError(f"the robot has no joint {joint!r}; it has {', '.join(observation.joint_names)}")
    return float(observation.positions[observation.joint_names.index(joint)])


def _described(answer: Any) -> str:
    if isinstance(answer, np.ndarray):
        return f"{answer.dtype} {answer.shape}"
    return repr(shown(answer)) if isinstance(answer, str) else type(answer).__name__
