"""The optimiser, how its learning rate runs, and the moving average of the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from k4d_world_model.training.config import BudgetSettings, OptimiserSettings, ScheduleSettings


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW over the weights of ``model`` that train."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )


def progress(budget: BudgetSettings, step: int, seconds: float) -> float:
    """How much of the budget is used up after ``step`` steps and ``seconds`` of training, in [0, 1]."""
    by_steps = step / budget.steps if budget.steps else 0.0
    by_time = seconds / (60 * budget.minutes) if budget.minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def learning_rate(schedule: ScheduleSettings, highest: float, step: int, done: float) -> float:
    """The learning rate of the step after ``step`` steps, with ``done`` in [0, 1] of the budget used up."""
    rising = min(1.0, (step + 1) / (schedule.warm_up + 1))
    if schedule.kind == "constant":
        return highest * rising
    along = max(0.0, (done - schedule.hold_share) / (1 - schedule.hold_share))
    falling = schedule.final_share + (1 - schedule.final_share) * 0.5 * (1 + math.cos(math.pi * along))
    return highest * rising * falling


def settle(model: nn.Module) -> None:
    """Lets go of the whole copies that a sharded model still holds of its weights, so that they are read anew."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


class MovingAverage:
    """The exponential moving average of the weights that train; ``decay`` 0 is the weights themselves.

    Young averages forget faster: after n steps they keep at most (n + 1) / (n + 10) of what they were.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._model = model
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.averages: list[Tensor] = [parameter.detach().clone() for parameter in self.parameters] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after ``step`` steps."""
        if self.decay:
            kept = min(self.decay, (step + 1) / (step + 10))
            torch._foreach_lerp_(self.averages, [parameter.detach() for parameter in self.parameters], 1 - kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averages for weights inside, and its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        settle(self._model)
        for average, parameter in zip(self.averages, self.parameters, strict=False):
            own = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(own)
