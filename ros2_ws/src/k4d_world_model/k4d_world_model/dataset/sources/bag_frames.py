"""Which pictures of a recording can be frames of an episode, and why the others cannot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.sampling import nearest_indices
from k4d_world_model.dataset.sources.bag_config import RosbagConfig
from k4d_world_model.dataset.sources.bag_contents import SECOND_NS, BagContents, seconds
from k4d_world_model.dataset.sources.bag_poses import BagPoses
from k4d_world_model.errors import RejectedEpisodeError

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BagFrames:
    """N frames in order of time: their stamps_ns, and the places of their picture and depth image in the recording.

    ``depth_places`` is None where no depth is asked for.
    """

    stamps_ns: Integers  # (N,)
    image_places: Integers  # (N,)
    depth_places: Integers | None  # (N,)

    @property
    def times(self) -> NDArray[np.float64]:
        """Stamps (N,) in seconds."""
        return np.array([seconds(stamp) for stamp in self.stamps_ns.tolist()], np.float64)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "BagFrames":
        """Just the ``chosen`` frames."""
        depth = None if self.depth_places is None else self.depth_places[chosen]
        return BagFrames(self.stamps_ns[chosen], self.image_places[chosen], depth)


def recorded_frames(contents: BagContents) -> BagFrames:
    """All pictures in order of time, the first of several with one stamp. Raises RejectedEpisodeError without any."""
    stamps_ns, places = np.unique(np.array(contents.image_stamps_ns, np.int64), return_index=True)
    if not len(stamps_ns):
        raise RejectedEpisodeError("its image topic holds no message")
    return BagFrames(stamps_ns, places.astype(np.int64), None)


def usable_frames(
    frames: BagFrames, contents: BagContents, config: RosbagConfig, joint_names: tuple[str, ...], poses: BagPoses | None
) -> tuple[NDArray[np.bool_], BagFrames, str]:
    """Which (N,) of the frames have joints, poses and depth at their stamp, these frames, and what became of the rest.

    Raises RejectedEpisodeError when less than ``config.min_covered`` of all recorded pictures remains.
    """
    keep = np.ones(len(frames.stamps_ns), np.bool_)
    losses = {"with a stamp that another has": len(contents.image_stamps_ns) - len(frames.stamps_ns)}
    if config.joint_topic:
        covered = contents.joints.covered(joint_names, frames.stamps_ns, round(config.max_joint_gap * SECOND_NS))
        first, last = (seconds(stamp) for stamp in contents.joints.range_ns(joint_names))
        losses[
            f"without joints, which are known from {first:.3f} s to {last:.3f} s with gaps of {config.max_joint_gap} s"
        ] = _lost(keep, covered)
    if poses is not None:
        losses[f"without poses ({poses.reason})"] = _lost(keep, poses.known)
    if config.depth_topic:
        depth_places, age_ns = _nearest(np.array(contents.depth_stamps_ns, np.int64), frames.stamps_ns)
        losses[f"without depth within {config.max_depth_age} s"] = _lost(
            keep, age_ns <= round(config.max_depth_age * SECOND_NS)
        )
        frames = BagFrames(frames.stamps_ns, frames.image_places, depth_places)
    note = _note(losses, len(contents.image_stamps_ns))
    if keep.sum() < config.min_covered * len(contents.image_stamps_ns):
        raise RejectedEpisodeError(f"too little of it can be used (min_covered is {config.min_covered}): {note}")
    return keep, frames[keep], note


def _lost(keep: NDArray[np.bool_], good: NDArray[np.bool_]) -> int:
    """How many of those still kept are not good; they are kept no more."""
    count = int((keep & ~good).sum())
    keep &= good
    return count


def _nearest(samples_ns: Integers, stamps_ns: Integers) -> tuple[Integers, Integers]:
    """For each stamp (N,): the place of the sample nearest in time, and how far it is away in nanoseconds."""
    if not len(samples_ns):
        raise RejectedEpisodeError("its depth topic holds no message")
    order = np.argsort(samples_ns, kind="stable")
    ordered = samples_ns[order]
    nearest = nearest_indices(ordered, stamps_ns)
    return order[nearest].astype(np.int64), np.abs(ordered[nearest] - stamps_ns)


def _note(losses: dict[str, int], count: int) -> str:
    parts = [f"{lost} {why}" for why, lost in losses.items() if lost]
    return f"of {count} pictures left out: {'; '.join(parts)}" if parts else f"all of {count} pictures can be used"
