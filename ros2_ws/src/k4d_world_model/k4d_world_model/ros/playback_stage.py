"""Rollouts side by side on one clock: what is asked of playback is asked of all of them."""

from collections.abc import Sequence

from rclpy.node import Node

from k4d_kinematics.ros.diagnostics import Diagnostics
from k4d_world_model.errors import PlaybackError
from k4d_world_model.rollout import Rollout
from k4d_world_model.ros.playback_config import PlaybackNodeConfig
from k4d_world_model.ros.player import Player


class PlaybackStage:
    """One player a rollout. The longest rollout sets the range; a shorter one shows its last frame meanwhile.

    Every method but ``load``, ``tick``, ``set_rate`` and ``set_loop`` raises PlaybackError while nothing is loaded.
    """

    def __init__(self, node: Node, names: Sequence[str], config: PlaybackNodeConfig, diagnostics: Diagnostics) -> None:
        self._players = {name: Player(node, name if len(names) > 1 else "", config, diagnostics) for name in names}

    @property
    def is_loaded(self) -> bool:
        """Whether there is something to play."""
        return any(player.is_loaded for player in self._players.values())

    def refuse(self, name: str, why: str) -> None:
        """A rollout that came could not be used; what is loaded stays."""
        self._players[name].refuse(why)

    def load(self, name: str, rollout: Rollout, base_frame: str, now_ns: int) -> None:
        """Begins with another rollout; those beside it begin again, so that all show the same moment."""
        others = [player for other, player in self._players.items() if other != name and player.is_loaded]
        self._players[name].load(rollout, base_frame, now_ns)
        for player in others:
            player.seek(0.0, now_ns)

    def tick(self, now_ns: int) -> None:
        """Publishes what has become due."""
        for player in self._players.values():
            player.tick(now_ns)

    def pause(self, now_ns: int) -> None:
        """Holds the position."""
        for player in self._loaded():
            player.pause(now_ns)

    def resume(self, now_ns: int) -> None:
        """Goes on, or begins again at the end."""
        for player in self._loaded():
            player.resume(now_ns)

    def seek(self, position: float, now_ns: int) -> None:
        """Shows the frames at ``position`` seconds. Raises PlaybackError outside of the longest rollout."""
        longest, *others = self._loaded()
        longest.seek(position, now_ns)
        for player in others:
            player.seek(min(position, player.duration), now_ns)

    def step(self, count: int, now_ns: int) -> None:
        """Pauses and moves by ``count`` frames of the longest rollout, the others to the same moment.

        Raises PlaybackError when there is no such frame.
        """
        longest, *others = self._loaded()
        for player in others:
            player.pause(now_ns)
        position = longest.step(count, now_ns)
        for player in others:
            player.seek(min(position, player.duration), now_ns)

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Changes the speed. Raises PlaybackError when it is out of range."""
        for player in self._players.values():
            player.set_rate(rate, now_ns)

    def set_loop(self, *, is_looping: bool) -> None:
        """Whether each rollout begins again at its own end."""
        for player in self._players.values():
            player.set_loop(is_looping=is_looping)

    def _loaded(self) -> list[Player]:
        """The players that have something to play, the longest first."""
        loaded = [player for player in self._players.values() if player.is_loaded]
        if not loaded:
            raise PlaybackError("there is no rollout to play yet")
        return sorted(loaded, key=lambda player: -player.duration)
