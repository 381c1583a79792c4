"""The finished model of a run, in the form that world models are opened from."""

import os
from dataclasses import asdict
from pathlib import Path

import torch
import yaml

from k4d_world_model.training.checkpoints import RunState, trained_weights
from k4d_world_model.training.learner import Learner
from k4d_world_model.wan.adapter import save_adapter
from k4d_world_model.wan.checkpoint import save_checkpoint
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.transformer import build_transformer


def write_model(learner: Learner, out: Path, folder: Path, state: RunState) -> None:
    """Writes ``out/model`` from the averaged weights, and ``out/world_model.yaml`` that opens it.

    A whole checkpoint, or the published adapter's two files where the preset has a base, whose path is relative to
    ``folder``. All processes call it, the first one writes. Raises CheckpointError when weights are not finite as
    stored.
    """
    config = learner.config
    with learner.average.applied():
        weights = trained_weights(learner.transformer)
    if learner.accelerator.is_main_process:
        if config.base:
            save_adapter(out / "model", learner.transformer, weights)
            architecture = yaml.safe_dump(_plain(asdict(config.architecture)), sort_keys=False)
            (out / "architecture.yaml").write_text(architecture)
            place = {
                "base": os.path.relpath(folder / config.base, out),
                "adapter": "model",
                "architecture": "architecture.yaml",
            }
        else:
            metadata = {"name": config.name, "step": str(state.step), "clips": str(state.clips)}
            dtype = getattr(torch, config.export_dtype)
            transformer = build_transformer(config.architecture, head_channels(config.architecture))
            transformer.load_state_dict(weights)
            save_checkpoint(out / "model", transformer, config.architecture, metadata=metadata, dtype=dtype)
            place = {"checkpoint": "model"}
        _write_opener(learner, out, place)
    learner.accelerator.wait_for_everyone()


def _write_opener(learner: Learner, out: Path, place: dict[str, str]) -> None:
    """The YAML of a world model that opens the folder ``model`` as it was trained."""
    on_cuda = learner.accelerator.device.type == "cuda"
    content = {
        "name": learner.config.name,
        **place,
        "sampling": asdict(learner.config.sampling),
        "runtime": {"device": "cuda" if on_cuda else "cpu", "dtype": "bfloat16" if on_cuda else "float32"},
    }
    (out / "world_model.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _plain(value: object) -> object:
    """Tuples as lists, which YAML knows, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
