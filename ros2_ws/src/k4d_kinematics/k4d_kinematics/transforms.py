"""Transforms between named frames at a time: the seam towards tf2, and sources that need no ROS."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_kinematics.errors import TransformError
from k4d_kinematics.trajectory import checked_times

Array = NDArray[np.float64]


class TransformSource(Protocol):
    """Where transforms come from: fixed, recorded, or a tf2 buffer."""

    def lookup(self, target: str, source: str, time: float) -> Array:
        """``T_target_source`` (4, 4) at ``time`` (s): ``p_target = T_target_source @ p_source``.

        Never waits. Raises TransformError when a frame is unknown, the two are not connected, or a transform between
        them is not known at that time.
        """
        ...


@dataclass(frozen=True, eq=False)
class StaticEdge:
    """A fixed transform ``T_parent_child`` (4, 4) between two named frames."""

    parent: str
    child: str
    T_parent_child: Array

    def __post_init__(self) -> None:
        _check_frames(self.parent, self.child)
        T = se3.check_transform(self.T_parent_child, f"T_{self.parent}_{self.child}")
        if T.shape != (4, 4):
            raise TransformError(f"T_{self.parent}_{self.child} must have shape (4, 4), got {T.shape}")
        object.__setattr__(self, "T_parent_child", T.copy())

    def at(self, time: float) -> Array:
        """``T_parent_child`` (4, 4), the same at any time."""
        return self.T_parent_child


@dataclass(frozen=True, eq=False)
class RecordedEdge:
    """A moving transform: ``T_parent_child`` (T, 4, 4) at strictly increasing ``times`` (T,) in seconds."""

    parent: str
    child: str
    times: Array
    T_parent_child: Array

    def __post_init__(self) -> None:
        _check_frames(self.parent, self.child)
        times = checked_times(self.times)
        T = se3.check_transform(self.T_parent_child, f"T_{self.parent}_{self.child}")
        if T.shape != (len(times), 4, 4):
            raise TransformError(
                f"T_{self.parent}_{self.child} must have shape {(len(times), 4, 4)} as its times, got {T.shape}"
            )
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "T_parent_child", T.copy())

    def at(self, time: float) -> Array:
        """``T_parent_child`` (4, 4): linear in position and spherical in rotation between samples, as tf2 does it.

        Raises TransformError stating the asked and the known times when ``time`` is not between the first and the last.
        """
        first, last = self.times[0], self.times[-1]
        if not first <= time <= last:
            raise TransformError(
                f"the transform from {self.child!r} to {self.parent!r} is known from {first} s to {last} s, "
                f"not at {time} s"
            )
        after = int(np.searchsorted(self.times, time))
        if self.times[after] == time:
            return np.asarray(self.T_parent_child[after])
        fraction = (time - self.times[after - 1]) / (self.times[after] - self.times[after - 1])
        return se3.interpolate(self.T_parent_child[after - 1], self.T_parent_child[after], float(fraction))


class RecordedTransforms:
    """Transforms of a recording: trees of static and moving edges, looked up by interpolation."""

    def __init__(self, edges: Iterable[StaticEdge | RecordedEdge]) -> None:
        """Raises TransformError when a frame has two parents or the edges form a cycle."""
        self._edge_above: dict[str, StaticEdge | RecordedEdge] = {}
        for edge in edges:
            if edge.child in self._edge_above:
                parents = (self._edge_above[edge.child].parent, edge.parent)
                raise TransformError(
                    f"frame {edge.child!r} must have one parent, got {parents[0]!r} and {parents[1]!r}"
                )
            self._edge_above[edge.child] = edge
        self.frames = tuple(sorted({*self._edge_above, *(edge.parent for edge in self._edge_above.values())}))
        for frame in self.frames:
            self._path_to_root(frame)

    def lookup(self, target: str, source: str, time: float) -> Array:
        """``T_target_source`` (4, 4) at ``time`` (s). Raises TransformError as TransformSource states.

        Only edges below the nearest common ancestor of the two frames have to be known at that time.
        """
        for frame in (target, source):
            if frame not in self.frames:
                raise TransformError(f"unknown frame {frame!r}; known are {', '.join(self.frames)}")
        if not np.isfinite(time):
            raise TransformError(f"a transform is known only at a finite time, got {time}")
        from_source, from_target = self._path_to_root(source), self._path_to_root(target)
        ancestor = next((frame for frame in from_source if frame in from_target), None)
        if ancestor is None:
            raise TransformError(
                f"frames {target!r} and {source!r} are not connected: "
                f"their trees' roots are {from_target[-1]!r} and {from_source[-1]!r}"
            )
        T_ancestor_target = self._climb(from_target[: from_target.index(ancestor)], time)
        T_ancestor_source = self._climb(from_source[: from_source.index(ancestor)], time)
        return se3.inverse(T_ancestor_target) @ T_ancestor_source

    def _path_to_root(self, frame: str) -> list[str]:
        path = [frame]
        while path[-1] in self._edge_above:
            parent = self._edge_above[path[-1]].parent
            if parent in path:
                raise TransformError(f"frames form a cycle: {' -> '.join([*path, parent])}")
            path.append(parent)
        return path

    def _climb(self, frames: Sequence[str], time: float) -> Array:
        """``T_ancestor_first`` (4, 4) over the edges above ``frames``, the first being the lowest."""
        T = np.eye(4)
        for frame in frames:
            T = self._edge_above[frame].at(time) @ T
        return T


class StaticTransforms(RecordedTransforms):
    """Transforms that hold at any time, such as calibrated extrinsics of fixed cameras."""

    def __init__(self, edges: Iterable[StaticEdge]) -> None:
        """Raises TransformError when a frame has two parents or the edges form a cycle."""
        super().__init__(edges)


def _check_frames(parent: str, child: str) -> None:
    for frame in (parent, child):
        if not frame or frame.startswith("/"):
            raise TransformError(f"a frame is named by a non-empty string without a leading '/', got {frame!r}")
    if parent == child:
        raise TransformError(f"a transform needs two frames, got {parent!r} twice")
