"""One run of an ablation: a variant trained with one seed, and its model judged on the held-out clips."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from k4d_world_model.ablation.config import Ablation, Variant
from k4d_world_model.ablation.figures import FIGURES, figures_of
from k4d_world_model.ablation.held_out_clips import HeldOutClip
from k4d_world_model.ablation.pointmap_noise import PointmapNoise, disturbed
from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.layout import NativeLayout, dataset_root
from k4d_world_model.errors import AblationError
from k4d_world_model.rollout import Rollout
from k4d_world_model.training.data import DataSettings, OnPreparing
from k4d_world_model.training.train import OnProgress, RunSettings, train
from k4d_world_model.whole_files import write_whole
from k4d_world_model.world_model import WorldModel, open_world_model

TRAINED, SCORES = "trained.json", "scores.json"


@dataclass(frozen=True)
class SweepSettings:
    """What all runs of a sweep share.

    data: roots of native data sets, told apart by their folders' names. out: folder of runs and results. robot: its
    YAML, where the preset's architecture reads rendered pictures. cache: folder of prepared clips.
    """

    data: tuple[Path, ...]
    out: Path
    robot: Path | None
    cache: Path

    def __post_init__(self) -> None:
        names = [root.resolve().name for root in self.data]
        if not names or len(set(names)) != len(names):
            raise AblationError(f"a sweep needs data sets in folders of different names, got {names}")

    def roots(self, names: Sequence[str]) -> tuple[Path, ...]:
        """The data sets of these names, all without any. Raises AblationError for a name that none has."""
        by_name = {root.resolve().name: root for root in self.data}
        if missing := set(names) - set(by_name):
            raise AblationError(f"no data set is called {sorted(missing)}, there are {sorted(by_name)}")
        return tuple(by_name[name] for name in names) or self.data


@dataclass(frozen=True)
class Run:
    """A variant of an ablation with one seed."""

    ablation: Ablation
    variant: Variant
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it is kept: variants of one name share their runs over all ablations of a sweep."""
        return out / "runs" / self.variant.name / f"seed{self.seed}"

    def scores(self, out: Path) -> dict[str, Any] | None:
        """What SCORES of a finished run says, None of one that is not."""
        return _read(self.folder(out) / SCORES)

    def of(self, name: str) -> "Run":
        """The run of another variant with the same seed."""
        return replace(self, variant=self.ablation.config.variant(name))


def train_run(run: Run, settings: SweepSettings, on_progress: OnProgress, on_preparing: OnPreparing) -> None:
    """Trains the model of a run, or goes on with it; one that is finished is left alone.

    Raises AblationError where the folder holds a run of other settings, and what training raises.
    """
    if run.variant.model_of:
        return
    folder, variant = run.folder(settings.out), run.variant
    config = run.ablation.training(variant, run.seed)
    roots = settings.roots(variant.data)
    listed = [(root.resolve().name, read_split(NativeLayout(dataset_root(root)), "train")) for root in roots]
    told = {"training": content_hash(asdict(config)), "learnt_from": content_hash(listed), "clips": variant.clips}
    done = _read(folder / TRAINED)
    if done is not None:
        if {name: done[name] for name in told} != told:
            raise AblationError(f"{folder} holds a run of other settings or data; remove it, or give another folder")
        return
    data = DataSettings(roots, settings.cache, settings.robot, clips=variant.clips or None)
    is_new = not (folder / "checkpoints").exists()
    started = time.process_time()
    state = train(config, RunSettings(data, folder, run.ablation.preset.parent, resume=True), on_progress, on_preparing)
    seconds = {"wall_seconds": state.seconds, "cpu_seconds": time.process_time() - started if is_new else None}
    _write(folder / TRAINED, told | seconds | {"steps": state.step, "clips_seen": state.clips})
    shutil.rmtree(folder / "checkpoints")


def score_run(run: Run, settings: SweepSettings, clips: Sequence[HeldOutClip]) -> dict[str, Any]:
    """What SCORES of a finished run holds: the figures of every clip, made where it has none of these clips yet."""
    folder = run.folder(settings.out)
    needed = [run.of(run.variant.model_of or run.variant.name)]
    needed += [run.of(run.variant.points_by)] if run.variant.points_by else []
    learnt = [[trained_facts(one, settings)[name] for name in ("training", "learnt_from", "clips")] for one in needed]
    judged = [[clip.data, clip.episode_id] for clip in clips]
    protocol = content_hash([list(FIGURES), judged, asdict(run.variant.noise), learnt])
    known = run.scores(settings.out)
    if known is not None and known["protocol"] == protocol:
        return known
    models = [open_world_model(one.folder(settings.out) / "world_model.yaml") for one in needed]
    scores = []
    for clip in clips:
        rollout = predicted(models, clip, run.variant.noise)
        scores.append({"episode": clip.episode_id, "data": clip.data, **figures_of(rollout, clip.truth)})
    for model in models:
        model.close()
    result = {"protocol": protocol, "variant": run.variant.name, "seed": run.seed, "clips": scores}
    _write(folder / SCORES, result)
    return result


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
