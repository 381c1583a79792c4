"""States of a run on disk, from which it goes on exactly: whole folders, the last two of them."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from k4d_world_model.errors import TrainingError
from k4d_world_model.training.optimisation import MovingAverage, settle

_VERSION = 1
_KEPT = 2


@dataclass(frozen=True)
class RunState:
    """Where a run is: all that it draws follows from ``seed`` and ``clips``, so these are its random state.

    step: optimiser steps done. clips: clips learnt from by all processes. seconds: of training, over all its parts.
    seed: of the run. data: hash of the samples in their order. settings: hash of what else makes its numbers.
    """

    step: int
    clips: int
    seconds: float
    seed: int
    data: str
    settings: str


class Checkpoints:
    """The states in ``folder``; each appears whole or not at all, whenever the process is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def latest(self) -> Path | None:
        """The newest state, None where there is none."""
        states = sorted(self.folder.glob("step_*"))
        return states[-1] if states else None

    def save(
        self,
        state: RunState,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: MovingAverage,
        accelerator: Accelerator,
    ) -> None:
        """Keeps a state. All processes call it, the first one writes. Raises OSError, as on a full disk."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = trained_weights(model)
        with average.applied():
            averages = trained_weights(model) if average.decay else {}
        moments = get_optimizer_state_dict(model, optimiser, options=options)
        if accelerator.is_main_process:
            self._write(state, weights, averages, moments)
        accelerator.wait_for_everyone()

    def _write(
        self, state: RunState, weights: dict[str, Tensor], averages: dict[str, Tensor], moments: dict[str, Any]
    ) -> None:
        name = f"step_{state.step:08d}"
        unfinished = self.folder / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_file(weights, unfinished / "weights.safetensors")
        if averages:
            save_file(averages, unfinished / "averages.safetensors")
        torch.save(moments, unfinished / "optimiser.pt")
        (unfinished / "state.json").write_text(json.dumps({"version": _VERSION, **asdict(state)}, indent=2) + "\n")
        for path in unfinished.iterdir():
            _flush(path)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        unfinished.rename(self.folder / name)
        _flush(self.folder)
        for old in sorted(self.folder.glob("step_*"))[:-_KEPT]:
            shutil.rmtree(old)

    def load(self, path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, average: MovingAverage) -> None:
        """Puts a state's weights, averages and moments in place. Raises TrainingError naming a damaged file."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        if average.decay:
            with average.applied():
                _put(path / "averages.safetensors", model)
        _put(path / "weights.safetensors", model)
        file = path / "optimiser.pt"
        try:
            moments = torch.load(file, map_location="cpu", weights_only=True)
            set_optimizer_state_dict(model, optimiser, moments, options=options)
        except (OSError, RuntimeError, UnpicklingError, KeyError, EOFError) as error:
            raise TrainingError(f"{file}: damaged, or not of this run: {error}") from error


def read_state(path: Path) -> RunState:
    """The numbers of a state. Raises TrainingError naming the file when it is damaged or of another version."""
    file = path / "state.json"
    try:
        content = json.loads(file.read_text())
        version = content.pop("version")
        state = RunState(**content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{file}: damaged state: {error}") from error
    if version != _VERSION:
        raise TrainingError(f"{file}: a state of version {version}, expected {_VERSION}")
    return state


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that train, whole, on the CPU; all processes of a sharded model must ask for them."""
    settle(model)
    weights = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            value = parameter.detach()
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            weights[name] = whole.cpu().clone().contiguous()
    return weights


@torch.no_grad()
def _put(file: Path, model: nn.Module) -> None:
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{file}: damaged weights: {error}") from error
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if stored.keys() != parameters.keys():
        differing = sorted(stored.keys() ^ parameters.keys())
        raise TrainingError(f"{file}: not of this run; weights that only one of the two has: {differing[:8]}")
    for name, parameter in parameters.items():
        if tuple(stored[name].shape) != tuple(parameter.shape):
            raise TrainingError(f"{file}: {name} is {tuple(stored[name].shape)}, the model's {tuple(parameter.shape)}")
        value = stored[name].to(parameter.device)
        own = parameter.detach()
        own.copy_(distribute_tensor(value, own.device_mesh, own.placements) if isinstance(own, DTensor) else value)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
