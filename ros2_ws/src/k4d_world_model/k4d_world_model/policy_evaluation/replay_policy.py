"""Actions that were recorded in the scene of the run, played back without looking, as the paper's protocol does."""

import numpy as np

from k4d_kinematics import JointTrajectory
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.commands import PERIOD
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation


class ReplayPolicy:
    """Plays the briefing's recording as one chunk: what the expert did, spoilt by noise of ``sigma`` action units."""

    privileged = True

    def __init__(self, *, sigma: float = 0.0) -> None:
        """Raises PolicyError for a sigma that is not a number from 0 on."""
        if not (np.isfinite(sigma) and sigma >= 0.0):
            raise PolicyError(f"sigma must be a number of action units from 0 on, got {sigma}")
        self.name, self.sigma = f"replay_{sigma:g}", sigma
        self._recording: JointTrajectory | None = None

    def reset(self, briefing: Briefing) -> None:
        """See ``Policy``. Raises PolicyError without a recording, or for one that is not sampled at PERIOD."""
        recording = briefing.recording
        if recording is None:
            raise PolicyError(f"{self.name} plays back what was recorded in the scene, and the briefing has nothing")
        if not np.allclose(np.diff(recording.times), PERIOD, atol=1e-6):
            raise PolicyError(f"a recording must have a target every {PERIOD:g} s, got times {recording.times[:3]} ...")
        self._recording = recording

    def act(self, observation: Observation) -> ActionChunk:
        """See ``Policy``."""
        assert self._recording is not None
        return ActionChunk(self._recording.joint_names, self._recording.positions, PERIOD, done=True)
