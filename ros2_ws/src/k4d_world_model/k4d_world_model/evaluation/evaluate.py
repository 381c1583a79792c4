"""World models side by side on episodes that none of them was trained on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k4d_world_model.dataset.episode import EpisodeInfo
from k4d_world_model.errors import RejectedEpisodeError, WorldModelError
from k4d_world_model.evaluation.fitted_episode import fitted_episode
from k4d_world_model.evaluation.held_out import HeldOut, conditioning_with_robot
from k4d_world_model.evaluation.rollout_metrics import RolloutMetrics, compare
from k4d_world_model.evaluation.truth import Truth, truth_of
from k4d_world_model.fitting import fitted
from k4d_world_model.rollout import Rollout
from k4d_world_model.world_model import WorldModel


@dataclass(frozen=True)
class EpisodeScores:
    """What each model achieved on one episode, in the order of the models; ``seconds`` a rollout took."""

    info: EpisodeInfo
    metrics: tuple[RolloutMetrics, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Scores of all episodes for the models of these names.

    ``weights_sha256`` are the models' weights, ``rejected`` the episodes that do not qualify, with the reason.
    """

    names: tuple[str, ...]
    weights_sha256: tuple[str, ...]
    seed: int
    episodes: tuple[EpisodeScores, ...]
    rejected: tuple[tuple[str, str], ...]


# Called after each episode: its scores, what really happened, and the models' rollouts.
OnEpisode = Callable[[EpisodeScores, Truth, Sequence[Rollout]], None]


def evaluate(
    models: Sequence[WorldModel],
    held_out: Sequence[HeldOut],
    *,
    seed: int,
    on_episode: OnEpisode = lambda scores, truth, rollouts: None,
) -> Evaluation:
    """The scores of every model on every episode, each predicted with the same ``seed`` from the same start.

    Raises WorldModelError when the models differ in frames or size or no episode qualifies, and what reading and
    predicting raise.
    """
    shapes = {model.frame_shape for model in models}
    if len(shapes) != 1:
        raise WorldModelError(f"models to be compared must be of one (frames, height, width), got {sorted(shapes)}")
    episodes, rejected = [], []
    for episodes_of_one_kind in held_out:
        for episode_id in episodes_of_one_kind.episode_ids:
            try:
                scores, truth, rollouts = score(models, episodes_of_one_kind, episode_id, seed)
            except RejectedEpisodeError as error:
                rejected.append((episode_id, str(error)))
                continue
            episodes.append(scores)
            on_episode(scores, truth, rollouts)
    if not episodes:
        raise WorldModelError(f"no episode qualifies; the reasons are {rejected}")
    return Evaluation(
        tuple(model.config.name for model in models),
        tuple(model.weights_sha256 for model in models),
        seed,
        tuple(episodes),
        tuple(rejected),
    )


def score(
    models: Sequence[WorldModel], held_out: HeldOut, episode_id: str, seed: int
) -> tuple[EpisodeScores, Truth, list[Rollout]]:
    """Scores, truth and rollouts of one episode at the models' size. Raises RejectedEpisodeError with the reason."""
    _, height, width = models[0].frame_shape
    episode = held_out.read(episode_id)
    conditioning = fitted(conditioning_with_robot(episode, held_out.robot), height, width)
    truth = truth_of(fitted_episode(episode, height, width))
    rollouts, seconds = [], []
    for model in models:
        started = time.perf_counter()
        rollouts.append(model.predict(conditioning, seed=seed))
        seconds.append(time.perf_counter() - started)
    metrics = tuple(compare(rollout, truth) for rollout in rollouts)
    return EpisodeScores(episode.info, metrics, tuple(seconds)), truth, rollouts
