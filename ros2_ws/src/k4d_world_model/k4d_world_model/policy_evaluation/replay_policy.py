"""Actions that were recorded in the scene of the run, played back without looking, as the paper's protocol does."""

from k4d_kinematics import JointTrajectory
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation


class ReplayPolicy:
    """Plays the briefing's recording, ``length`` targets a chunk."""

    privileged = True

    def __init__(self, name: str, length: int) -> None:
        """Raises PolicyError for a length below 1."""
        if length < 1:
            raise PolicyError(f"length must be at least 1 target a chunk, got {length}")
        self.name, self._length = name, length
        self._recording: JointTrajectory | None = None

    def reset(self, briefing: Briefing) -> None:
        """See ``Policy``. Raises PolicyError without a recording, or for one that is not sampled at PERIOD."""
        recording = briefing.recording
        if recording is None:
            raise PolicyError(f"{self.name} plays back what was recorded in the scene, and the briefing has nothing")
        if len(recording) > 1 and abs(recording.duration / (len(recording) - 1) - PERIOD) > 1e-6:
            raise PolicyError(f"a recording must have a target every {PERIOD:g} s, got times {recording.times[:3]} ...")
        self._recording, self._at = recording, 0

    def act(self, observation: Observation) -> ActionChunk:
        """See ``Policy``."""
        assert self._recording is not None
        recording, first = self._recording, self._at
        self._at += self._length
        targets = recording.positions[first : self._at]
        return ActionChunk(recording.joint_names, targets, PERIOD, done=self._at >= len(recording))
