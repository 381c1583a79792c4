"""Which clip comes when: everything random about a run follows from its seed and how many clips came before."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator
from torch.utils.data import Dataset

T = TypeVar("T", covariant=True)

# What is drawn: each has random numbers of its own, so that none shifts another's.
ORDER, AUGMENTATION, NOISE, SOFTNESS, VALIDATION, POSTERIOR = range(6)


class ClipSource(Protocol[T]):
    """A number of clips to learn from."""

    def __len__(self) -> int:
        """How many."""

    def clip(self, index: int, position: int) -> T:
        """The clip ``index`` as it is at ``position`` of a run. Raises SampleError naming a damaged file."""

    def names(self) -> tuple[str, ...]:
        """One name a clip, which changes with its content."""


def draw(seed: int, purpose: int, position: int) -> np.random.Generator:
    """The random numbers of one purpose for the clip at ``position`` of a run."""
    return np.random.default_rng([seed, purpose, position])


def draw_on(device: torch.device, seed: int, purpose: int, position: int) -> Generator:
    """As ``draw``, on a device. CPU and CUDA give different numbers, each the same every time."""
    number = int(draw(seed, purpose, position).integers(2**63 - 1))
    return Generator(device).manual_seed(number)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.intp]:
    return np.asarray(draw(seed, ORDER, epoch).permutation(count), np.intp)


class ShuffledClips(Dataset[T]):
    """An endless row of clips: all of them in a random order, then all again in another one.

    Indexed by position; the clip at a position is the same every time.
    """

    def __init__(self, source: ClipSource[T], seed: int) -> None:
        self.source = source
        self.seed = seed

    def __getitem__(self, position: int) -> T:
        """The clip at ``position`` >= 0. Raises SampleError naming its file when it is missing or damaged."""
        epoch, rank = divmod(position, len(self.source))
        return self.source.clip(int(_permutation(self.seed, epoch, len(self.source))[rank]), position)


@dataclass(frozen=True)
class Selection(Generic[T]):
    """Some clips of a source, itself a ``ClipSource``."""

    source: ClipSource[T]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def clip(self, index: int, position: int) -> T:
        """See ``ClipSource``."""
        return self.source.clip(self.indices[index], position)

    def names(self) -> tuple[str, ...]:
        """See ``ClipSource``."""
        names = self.source.names()
        return tuple(names[index] for index in self.indices)


@dataclass(frozen=True)
class Batches:
    """Positions of one process's batches, without end, from ``first`` on.

    ``first`` counts clips of all ``processes`` together; they take turns, a batch each.
    """

    first: int
    batch_size: int
    process: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        start = self.first + self.process * self.batch_size
        while True:
            yield list(range(start, start + self.batch_size))
            start += self.processes * self.batch_size
