"""One run of an ablation: a variant trained with one seed, and its model judged on the held-out clips."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from k4d_world_model.ablation.config import Ablation, Variant
from k4d_world_model.ablation.figures import DEFINITIONS, FIGURES, figures_of
from k4d_world_model.ablation.held_out_clips import HeldOutClip, HeldOutClips
from k4d_world_model.ablation.pointmap_noise import PointmapNoise, disturbed
from k4d_world_model.ablation.sweep_settings import SweepSettings
from k4d_world_model.content_hash import content_hash
from k4d_world_model.errors import AblationError
from k4d_world_model.evaluation.protocol import DEFINITIONS as EVALUATION_DEFINITIONS
from k4d_world_model.rollout import Rollout
from k4d_world_model.training.clip import CLIP_VERSION
from k4d_world_model.training.data import DataSettings, OnPreparing
from k4d_world_model.training.train import OnProgress, RunSettings, train
from k4d_world_model.whole_files import write_whole
from k4d_world_model.world_model import WorldModel, open_world_model

TRAINED, SCORES = "trained.json", "scores.json"


@dataclass(frozen=True)
class Run:
    """A variant of an ablation with one seed."""

    ablation: Ablation
    variant: Variant
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it is kept: variants of one name share their runs over all ablations of a sweep."""
        return out / "runs" / self.variant.name / f"seed{self.seed}"

    def of(self, name: str) -> "Run":
        """The run of another variant with the same seed."""
        return replace(self, variant=self.ablation.config.variant(name))

    def models(self) -> tuple["Run", ...]:
        """The runs that train what it predicts with, itself or others."""
        names = (self.variant.model_of or self.variant.name, self.variant.points_by)
        return tuple(self.of(name) for name in names if name)


class _Preparing:
    """As ``OnPreparing``, and counts the CPU seconds that making clips ready takes."""

    def __init__(self, wrapped: OnPreparing) -> None:
        self.wrapped = wrapped
        self.cpu_seconds = 0.0

    def __call__(self, items: Iterable[Any], total: int) -> Iterator[Any]:
        started = time.process_time()
        yield from self.wrapped(items, total)
        self.cpu_seconds += time.process_time() - started


def told(run: Run, settings: SweepSettings) -> dict[str, Any]:
    """What a run's own model is known by in TRAINED: hashes of its settings, its samples in their order, its robot."""
    config = run.ablation.training(run.variant, run.seed)
    roots = settings.roots(run.variant.data)
    learnt_from = [(root.resolve().name, list(settings.learnable[root].items())) for root in roots]
    return {
        "training": content_hash(asdict(config)),
        "learnt_from": content_hash([CLIP_VERSION, learnt_from]),
        "robot": settings.robot_sha256(config.architecture),
        "clips": run.variant.clips,
    }


def train_run(run: Run, settings: SweepSettings, on_progress: OnProgress, on_preparing: OnPreparing) -> None:
    """Trains the model of a run, or goes on with it; one that is finished is left alone.

    Raises AblationError where the folder holds a run of other settings, and what training raises.
    """
    if run.variant.model_of:
        return
    folder, variant = run.folder(settings.out), run.variant
    facts = told(run, settings)
    done = _read(folder / TRAINED)
    if done is not None:
        if {name: done.get(name) for name in facts} != facts:
            raise AblationError(
                f"{folder} holds a run of other settings, data or robot; remove it, or give another folder"
            )
        return
    roots = settings.roots(variant.data)
    data = DataSettings(roots, settings.cache, settings.robot, clips=variant.clips or None)
    config, preset_folder = run.ablation.training(variant, run.seed), run.ablation.preset.parent
    is_new = not (folder / "checkpoints").exists()
    preparing, started = _Preparing(on_preparing), time.process_time()
    state = train(config, RunSettings(data, folder, preset_folder, resume=True), on_progress, preparing)
    cpu_seconds = time.process_time() - started - preparing.cpu_seconds
    seconds = {"wall_seconds": state.seconds, "cpu_seconds": cpu_seconds if is_new else None}
    _write(folder / TRAINED, facts | seconds | {"steps": state.step, "clips_seen": state.clips})
    shutil.rmtree(folder / "checkpoints")


def score_run(run: Run, settings: SweepSettings, held_out: HeldOutClips) -> dict[str, Any]:
    """What SCORES of a trained run holds: the figures of every clip, made where it has none of these clips yet."""
    known = scores_of(run, settings, held_out.sha256)
    if known is not None:
        return known
    models = [open_world_model(one.folder(settings.out) / "world_model.yaml") for one in run.models()]
    scores = []
    for clip in held_out.clips:
        rollout = predicted(models, clip, run.variant.noise)
        scores.append({"episode": clip.episode_id, "data": clip.data, **figures_of(rollout, clip.truth)})
    for model in models:
        model.close()
    result = {
        "judged": held_out.sha256,
        "protocol": _protocol(run, settings, held_out.sha256),
        "variant": run.variant.name,
        "seed": run.seed,
        "clips": scores,
    }
    _write(run.folder(settings.out) / SCORES, result)
    return result


def scores_of(run: Run, settings: SweepSettings, judged: str | None = None) -> dict[str, Any] | None:
    """What SCORES says, None where it is of other models, data, noise or definitions, or a model is not trained.

    ``judged`` is the hash of the clips that it must be of; of any without it.
    """
    known = _read(run.folder(settings.out) / SCORES)
    if known is None or judged not in (None, known.get("judged")):
        return None
    if any(_read(one.folder(settings.out) / TRAINED) is None for one in run.models()):
        return None
    return known if known["protocol"] == _protocol(run, settings, known.get("judged")) else None


def _protocol(run: Run, settings: SweepSettings, judged: str | None) -> str:
    models = [told(one, settings) for one in run.models()]
    definitions = [DEFINITIONS, EVALUATION_DEFINITIONS, list(FIGURES)]
    return content_hash([definitions, judged, asdict(run.variant.noise), models])


def predicted(models: Sequence[WorldModel], clip: HeldOutClip, noise: PointmapNoise) -> Rollout:
    """What the first model predicts of a clip; a second one makes its points, of the predicted pictures alone.

    A model that reconstructs points and comes first gets the true pictures.
    """
    conditioning = replace(clip.conditioning, pictures=clip.truth.rgb)
    if noise != PointmapNoise():
        conditioning = disturbed(conditioning, noise, seed=_number(clip.episode_id))
    rollout = models[0].predict(conditioning, seed=0)
    for model in models[1:]:
        points = model.predict(replace(conditioning, pictures=rollout.rgb), seed=0)
        rollout = replace(rollout, points=points.points, valid=points.valid, fit=points.fit)
    return rollout


def trained_facts(run: Run, settings: SweepSettings) -> dict[str, Any]:
    """What TRAINED of the run's model says: steps, clips seen, seconds."""
    facts = _read(run.of(run.variant.model_of or run.variant.name).folder(settings.out) / TRAINED)
    if facts is None:
        raise AblationError(f"{run.variant.name} with seed {run.seed} was not trained")
    return facts


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a file, None where there is none. Raises AblationError naming a damaged one."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise AblationError(f"{path}: damaged, remove it to have it made anew: {error}") from error
    assert isinstance(content, dict)
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
