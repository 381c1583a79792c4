"""Whole runs: they learn, go on exactly after being killed, and say what is wrong."""

import csv
import json
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from k4d_world_model.cli.train import main
from k4d_world_model.errors import FolderInUseError, TrainingError
from k4d_world_model.training import learner
from k4d_world_model.training.config import LossSettings, StageSettings
from k4d_world_model.training.data import DataSettings
from k4d_world_model.training.pixel_clips import encoded_pixels
from k4d_world_model.training.train import Progress, RunSettings, train
from k4d_world_model.wan.architecture import CodecSize
from k4d_world_model.world_model import open_world_model

from .conftest import CONFIG, FRAMES, HEIGHT, WIDTH, make_dataset, steps

LAST = "checkpoints/step_{:08d}"

# A codec whose cells cover two frames, so that clips of few frames divide into them.
FEW = CodecSize("pixels", 4, 2, 96)


def run(config, dataset, out, *, cache=None, on_progress=lambda _: None, **changes):
    roots = dataset if isinstance(dataset, tuple) else (dataset,)
    settings = RunSettings(DataSettings(roots, cache or out / "clips"), out, **changes)
    return train(config, settings, on_progress, lambda items, _: items)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(dataset, cache, tmp_path_factory) -> Path:
    """A run of 8 steps without interruption."""
    out = tmp_path_factory.mktemp("whole")
    run(steps(CONFIG, 8, checkpoint_every=3), dataset, out, cache=cache)
    return out


@pytest.fixture(scope="module")
def interrupted(dataset, cache, tmp_path_factory) -> Path:
    """What a run of 8 steps left that was killed (SIGKILL) within step 8; copied by those who change it."""
    out = tmp_path_factory.mktemp("interrupted")
    code = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        import torch
        torch.set_num_threads(1)
        from world_model.training.conftest import CONFIG, steps
        from world_model.training.test_train import run
        def on_progress(progress):
            if progress.state.step == 7:
                os.kill(os.getpid(), signal.SIGKILL)
        config = steps(CONFIG, 8, checkpoint_every=3)
        run(config, Path({str(dataset)!r}), Path({str(out)!r}), cache=Path({str(cache)!r}), on_progress=on_progress)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out


def test_a_killed_run_goes_on_as_if_nothing_had_happened(whole, interrupted, dataset, cache, tmp_path) -> None:
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    assert [path.name for path in sorted((out / "checkpoints").iterdir())] == ["step_00000003", "step_00000006"]
    unfinished = out / "checkpoints" / ".step_00000008.unfinished"
    unfinished.mkdir()
    (unfinished / "weights.safetensors").write_bytes(b"half")
    seen = []
    state = run(
        steps(CONFIG, 8, checkpoint_every=3),
        dataset,
        out,
        cache=cache,
        resume=True,
        on_progress=lambda p: seen.append(p),
    )
    assert [progress.state.step for progress in seen] == [7, 8]
    assert (state.step, state.clips) == (8, 16)
    for name in ("weights", "averages"):
        mine, theirs = (load_file(folder / LAST.format(8) / f"{name}.safetensors") for folder in (out, whole))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items()), name
    mine, theirs = (load_file(folder / "model" / "transformer.safetensors") for folder in (out, whole))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())
    moments = [torch.load(folder / LAST.format(8) / "optimiser.pt", weights_only=True) for folder in (out, whole)]
    for key, value in moments[0]["state"].items():
        assert torch.equal(value["exp_avg_sq"], moments[1]["state"][key]["exp_avg_sq"])
    tables = [rows(out), rows(whole)]
    for row in tables[0] + tables[1]:
        del row["seconds"]
    assert tables[0] == tables[1]


def test_only_the_last_two_states_are_kept_and_hold_their_place_as_json(whole) -> None:
    assert [path.name for path in sorted((whole / "checkpoints").iterdir())] == ["step_00000006", "step_00000008"]
    state = json.loads((whole / LAST.format(8) / "state.json").read_text())
    assert {name: state[name] for name in ("version", "step", "clips", "seed")} == {
        "version": 1,
        "step": 8,
        "clips": 16,
        "seed": CONFIG.seed,
    }
    assert state["seconds"] > 0


def test_it_learns_reports_and_leaves_a_model_that_opens(dataset, cache, tmp_path) -> None:
    config = steps(
        replace(CONFIG, loss=LossSettings("clean", noise_only_share=1.0)), 30, validation_every=10, sheet_every=30
    )
    run(config, dataset, tmp_path, cache=cache)
    table = rows(tmp_path)
    assert [int(row["step"]) for row in table] == list(range(1, 31))
    validated = [row for row in table if row["validation_loss"]]
    assert [int(row["step"]) for row in validated] == [10, 20, 30]
    assert float(validated[-1]["validation_loss"]) < float(validated[0]["validation_loss"])
    assert all(row["loss_rgb"] and row["gradient_norm"] and row["learning_rate"] for row in table)
    assert list((tmp_path / "tensorboard").iterdir())
    assert (tmp_path / "sheets" / "step_00000030.png").stat().st_size > 1000
    model = open_world_model(tmp_path / "world_model.yaml")
    assert model.frame_shape == (FRAMES, HEIGHT, WIDTH)
    model.close()


def test_a_run_learns_on_from_a_finished_model(whole, dataset, cache, tmp_path) -> None:
    settled = replace(CONFIG.optimiser, learning_rate=1e-12)
    config = replace(steps(CONFIG, 1), start=str(whole / "model"), optimiser=settled, ema_decay=0.0)
    run(config, dataset, tmp_path / "run", cache=cache)
    before, after = (load_file(folder / "model/transformer.safetensors") for folder in (whole, tmp_path / "run"))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    other = replace(config, architecture=replace(CONFIG.architecture, light_grid=0))
    with pytest.raises(TrainingError, match=r"model is of another architecture than the run 'small'"):
        run(other, dataset, tmp_path / "other", cache=cache)


def test_stages_show_fewer_frames_and_all_in_the_end(dataset, cache, tmp_path, monkeypatch) -> None:
    seen = []

    def watched(batch, *others):
        seen.append(([int(position) for position in batch.position], batch.rgb.shape[2], batch.inputs.shadows.shape[2]))
        return encoded_pixels(batch, *others)

    monkeypatch.setattr(learner, "encoded_pixels", watched)
    architecture = replace(CONFIG.architecture, codec=FEW)
    stages = (StageSettings(0.25, 4), StageSettings(0.5, 2))
    staged = replace(steps(CONFIG, 4), architecture=architecture, stages=stages, batch_size=2)
    run(staged, dataset, tmp_path / "run", cache=cache)
    assert seen == [([0, 1], 3, 3), ([2, 3], 5, 5), ([4, 5], 9, 9), ([6, 7], 9, 9)]


def test_accumulated_batches_learn_as_one_large_one(dataset, cache, tmp_path) -> None:
    large = replace(steps(CONFIG, 2), batch_size=4)
    small = replace(steps(CONFIG, 2), batch_size=2, accumulation=2)
    for name, config in (("large", large), ("small", small)):
        run(config, dataset, tmp_path / name, cache=cache)
    mine, theirs = (load_file(tmp_path / name / LAST.format(2) / "weights.safetensors") for name in ("large", "small"))
    assert all(torch.allclose(tensor, theirs[key], atol=1e-4) for key, tensor in mine.items())
    first, second = (rows(tmp_path / name)[0] for name in ("large", "small"))
    assert float(first["loss"]) == pytest.approx(float(second["loss"]), rel=1e-4)
    assert float(first["gradient_norm"]) == pytest.approx(float(second["gradient_norm"]), rel=1e-3)


def test_a_part_of_a_run_ends_after_its_time_and_leaves_a_model(dataset, cache, tmp_path) -> None:
    config = steps(CONFIG, 10_000)
    state = run(config, dataset, tmp_path, cache=cache, stop_after=1e-6)
    assert state.step == 1
    assert (tmp_path / LAST.format(1)).is_dir()
    assert (tmp_path / "model" / "transformer.safetensors").is_file()
    again = run(config, dataset, tmp_path, cache=cache, stop_after=1e-6, resume=True)
    assert again.step == 2
    assert again.seconds > state.seconds


def test_a_loss_that_is_no_number_names_its_episodes(dataset, cache, tmp_path) -> None:
    config = replace(steps(CONFIG, 20), optimiser=replace(CONFIG.optimiser, learning_rate=1e30, gradient_clip=0.0))
    with pytest.raises(TrainingError, match=r"of step [2-9] is (nan|inf); .* episodes first-train-\d, first-train-\d"):
        run(config, dataset, tmp_path / "out", cache=cache)
    assert not (tmp_path / "out" / "model").exists()


def test_a_folder_with_a_run_is_only_resumed_when_asked(interrupted, dataset, cache) -> None:
    with pytest.raises(TrainingError, match="holds a run already: resume it"):
        run(steps(CONFIG, 8), dataset, interrupted, cache=cache)


def test_one_training_at_a_time_in_a_folder(dataset, cache, tmp_path) -> None:
    def meddle(_: Progress) -> None:
        with pytest.raises(FolderInUseError, match=r"is being filled by another command: .*\"process\": \d+"):
            run(steps(CONFIG, 1), dataset, tmp_path, cache=cache, resume=True)

    assert run(steps(CONFIG, 1), dataset, tmp_path, cache=cache, on_progress=meddle).step == 1
    assert run(steps(CONFIG, 2), dataset, tmp_path, cache=cache, resume=True).step == 2


def test_other_settings_cannot_resume_but_another_budget_can(interrupted, dataset, cache, tmp_path) -> None:
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    with pytest.raises(TrainingError, match="other settings"):
        run(replace(steps(CONFIG, 8), batch_size=3), dataset, out, cache=cache, resume=True)
    assert run(steps(CONFIG, 7), dataset, out, cache=cache, resume=True).step == 7


def test_other_samples_can_only_resume_when_allowed(interrupted, dataset, cache, tmp_path) -> None:
    out, more = tmp_path / "run", make_dataset(tmp_path / "more", "more", 2, 1)
    shutil.copytree(interrupted, out)
    with pytest.raises(TrainingError, match="learnt from other samples"):
        run(steps(CONFIG, 7), (dataset, more), out, cache=cache, resume=True)
    assert run(steps(CONFIG, 7), (dataset, more), out, cache=cache, resume=True, new_data=True).step == 7


@pytest.mark.parametrize("name", ["weights.safetensors", "averages.safetensors", "optimiser.pt", "state.json"])
def test_a_damaged_state_is_named(interrupted, dataset, cache, tmp_path, name) -> None:
    out = tmp_path / "run"
    shutil.copytree(interrupted, out)
    path = out / LAST.format(6) / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TrainingError, match=f"step_00000006/{name}"):
        run(steps(CONFIG, 8), dataset, out, cache=cache, resume=True)


def test_a_state_that_would_run_code_is_not_loaded(interrupted, dataset, cache, tmp_path) -> None:
    out, harm = tmp_path / "run", tmp_path / "harm"
    shutil.copytree(interrupted, out)

    class Harm:
        def __reduce__(self):
            return Path.touch, (harm,)

    (out / LAST.format(6) / "optimiser.pt").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(TrainingError, match=r"optimiser\.pt"):
        run(steps(CONFIG, 8), dataset, out, cache=cache, resume=True)
    assert not harm.exists()


def test_a_run_needs_an_end(dataset, tmp_path) -> None:
    with pytest.raises(TrainingError, match="steps or minutes"):
        run(steps(CONFIG, 0), dataset, tmp_path)


def test_a_run_needs_data(tmp_path) -> None:
    with pytest.raises(TrainingError, match="at least one data set and one worker, got 0 and 1"):
        run(steps(CONFIG, 1), (), tmp_path)


def test_the_command_trains_a_preset(dataset, cache, tmp_path, monkeypatch, capsys) -> None:
    preset = tmp_path / "small.yaml"
    preset.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(steps(CONFIG, 1))))))
    command = ["k4d-train", "--config", str(preset), "--data", str(dataset), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", [*command, "--cache", str(cache), "--steps", "2"])
    assert main() == 0
    assert "2 steps on 4 clips" in capsys.readouterr().out
    assert main() == 1
    assert "k4d-train: " in capsys.readouterr().err
