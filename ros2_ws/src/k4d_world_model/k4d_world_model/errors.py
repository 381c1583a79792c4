"""Named errors of the world-model half: one per cause, each message states the offending and the valid values."""


class WorldModelError(ValueError):
    """Base of everything that k4d_world_model raises on wrong input."""


class EpisodeError(WorldModelError):
    """An episode's arrays do not fit each other: shapes, types, times, points off their rays."""


class SampleError(WorldModelError):
    """A stored sample is missing, damaged or of another version; the message names its file."""


class DatasetError(WorldModelError):
    """A data set as a whole is unusable: no such folder, contradictory manifest, path outside its root."""


class FolderInUseError(WorldModelError):
    """Another command fills this folder now, or its file system has no locks to tell."""


class SourceError(WorldModelError):
    """Recorded data of another format cannot be read; the message names its file."""


class RejectedEpisodeError(WorldModelError):
    """One episode of a source does not qualify; the message is the reason that the report lists."""


class AnnotationError(WorldModelError):
    """An annotator failed, or what it returned does not fit the episode."""


class AssessmentError(WorldModelError):
    """What a prediction says about a plan cannot be told: it lacks the joints, or a link is unknown."""


class RefusedPlanError(WorldModelError):
    """The plan gate does not judge a plan or send it on; ``code`` is the error constant of k4d_msgs/ExecutePlan."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class ConditioningError(WorldModelError):
    """What a prediction starts from does not fit together or does not fit the model: sizes, types, times, frames."""


class RobotNotVisibleError(WorldModelError):
    """Too few robot pixels to condition on or to recover metres from."""


class ArchitectureError(WorldModelError):
    """A model's own numbers contradict each other, or an input does not divide into its cells."""


class CheckpointError(WorldModelError):
    """Weights are missing, damaged, foreign or unsafe; the message lists missing and unexpected keys and shapes."""


class SamplingError(WorldModelError):
    """Steps, guidance or scheduler are out of range for the model."""


class AccelerationError(WorldModelError):
    """A switch for speed or memory cannot be set: unknown, not for this device, or its package is not installed."""


class PredictionError(WorldModelError):
    """A model's output is no prediction: numbers that are not finite, or no point before the camera."""


class OutOfMemoryError(WorldModelError):
    """The device has too little memory; the message names the switches that would make the model fit."""


class ModelUnavailableError(WorldModelError):
    """No model is loaded that could predict."""


class BusyError(WorldModelError):
    """Another prediction is running, and the new one may not end it."""


class CanceledError(WorldModelError):
    """The caller cancelled a prediction between two of its steps."""


class PlaybackError(WorldModelError):
    """A rollout cannot be played as asked: the position or the rate is out of range."""


class ComparisonError(WorldModelError):
    """A rollout and what was executed cannot be compared: no common time, another camera, joints that do not tell."""


class TrainingError(WorldModelError):
    """A training run cannot start, go on or be resumed; a loss that is no number names the batch's episodes."""


class RolloutError(WorldModelError):
    """A stored rollout is missing, damaged, incomplete or foreign, or does not fit; the message names its file."""


class CloudError(WorldModelError):
    """A point cloud cannot be measured: no point is left, or points that are neither finite nor missing."""


class PolicyError(WorldModelError):
    """A policy cannot act on what it sees, or its observation or its actions do not fit the robot."""


class PolicyRunError(WorldModelError):
    """Policies cannot be evaluated as asked: an unknown policy or set-up, a folder of another protocol."""


class WireError(WorldModelError):
    """A message of another process holds what is not on the list of what messages may hold, or is none."""


class RemotePolicyError(PolicyError):
    """A policy server speaks otherwise than its configuration says, or that configuration cannot be meant."""


class UnreachablePolicyError(RemotePolicyError):
    """A policy server cannot be reached, ends the connection or does not answer in time: which may pass."""


class MetaWorldError(WorldModelError):
    """Meta-World's own process cannot be started, ends early or answers otherwise than agreed."""


class EvaluationError(WorldModelError):
    """An evaluation cannot be done or go on: another protocol, names twice, sizes that do not fit, nothing to score."""


class AblationError(WorldModelError):
    """An ablation cannot be run or summed up: unknown names, contradictory variants, results of another protocol."""
