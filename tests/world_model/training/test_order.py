"""What comes when follows from seed and position alone."""

import torch

from k4d_world_model.training.order import NOISE, SOFTNESS, Batches, Selection, ShuffledClips, draw_on


class Numbers:
    """A source whose clips are their index and position."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def clip(self, index: int, position: int) -> tuple[int, int]:
        return index, position

    def names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.count)))


def test_every_clip_comes_once_before_any_comes_again() -> None:
    row = ShuffledClips(Numbers(7), seed=5)
    epochs = [[row[position][0] for position in range(first, first + 7)] for first in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [row[position][1] for position in (3, 11)] == [3, 11]


def test_the_order_is_the_seeds() -> None:
    first, again, other = (ShuffledClips(Numbers(20), seed) for seed in (1, 1, 2))
    assert [first[i][0] for i in range(40)] == [again[i][0] for i in range(40)]
    assert [first[i][0] for i in range(20)] != [other[i][0] for i in range(20)]


def test_processes_take_turns_and_go_on_where_they_were() -> None:
    one = iter(Batches(0, batch_size=6))
    both = [iter(Batches(0, 3, process, 2)) for process in range(2)]
    for _ in range(4):
        assert next(one) == next(both[0]) + next(both[1])
    resumed = iter(Batches(24, batch_size=6))
    assert next(resumed) == next(one)


def test_a_selection_renames_nothing() -> None:
    part = Selection(Numbers(9), (2, 5, 8))
    assert (len(part), part.names(), part.clip(1, 4)) == (3, ("2", "5", "8"), (5, 4))


def test_purposes_and_positions_draw_apart() -> None:
    cpu = torch.device("cpu")

    def numbers(seed: int, purpose: int, position: int) -> tuple[float, ...]:
        return tuple(torch.randn(3, generator=draw_on(cpu, seed, purpose, position)).tolist())

    drawn = {
        numbers(seed, purpose, position) for seed in (0, 1) for purpose in (NOISE, SOFTNESS) for position in (0, 1)
    }
    assert len(drawn) == 8
    assert numbers(1, NOISE, 9) == numbers(1, NOISE, 9)
