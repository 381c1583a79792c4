"""Our side of Meta-World's process and the study of it, with a process that stands in: its rates are known."""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.errors import MetaWorldError
from k4d_world_model.policy_evaluation.metaworld.process import WORKER, MetaWorldProcess, Trial, TrialResult
from k4d_world_model.policy_evaluation.metaworld.study import StudyConfig, agreements, run_study, write_study
from k4d_world_model.policy_evaluation.metaworld.worker import play

STAND_IN = Path(__file__).with_name("stand_in_meta_world.py")
CONFIG = StudyConfig(("dig-v3", "sew-v3"), (0.1, 0.4, 0.8), runs=60, seed=7)


def stand_in(tmp_path: Path, fault: str = "", patience: float = 20.0) -> MetaWorldProcess:
    worker = tmp_path / "worker.py"
    worker.write_text(STAND_IN.read_text().replace('" ".join(sys.argv[1:])', repr(fault)))
    return MetaWorldProcess(Path(sys.executable), worker=worker, patience=patience)


def test_a_study_finds_the_known_rates_and_goes_on_where_it_was(tmp_path: Path) -> None:
    played: list[Trial] = []

    def watch(trials: Iterable[Trial], total: int) -> Iterable[Trial]:
        for trial in trials:
            played.append(trial)
            yield trial

    with stand_in(tmp_path) as meta_world:
        assert meta_world.play(Trial("dig-v3", 0.0, 11)) == TrialResult(True, 12)
        cells = run_study(CONFIG, meta_world, tmp_path / "out", watch)
        assert len(played) == len(set(played)) == 2 * 3 * 2 * 60
        assert {trial.seed for trial in played} == set(range(7, 127))
        (tmp_path / "out" / "sew-v3_noise0.4.json").unlink()
        played.clear()
        assert run_study(CONFIG, meta_world, tmp_path / "out", watch) == cells
        assert {(trial.task, trial.noise) for trial in played} == {("sew-v3", 0.4)}
        report = write_study(tmp_path / "out", CONFIG, meta_world, cells)
    rates = [[(1 - noise) / k for noise in CONFIG.noises] for k in (1, 2)]
    for half in ("first", "second"):
        found = np.array([getattr(cell, half).share for cell in cells]).reshape(2, 3)
        np.testing.assert_allclose(found, rates, atol=4 * np.sqrt(0.25 / 60))
    *tasks, whole = agreements(cells)
    assert [one.task for one in tasks] == ["dig-v3", "sew-v3"]
    for one in tasks:
        assert one.mmrv == 0.0
        assert one.pearson > 0.8
        assert one.reversed_pearson < -0.8
        assert one.reversed_mmrv > 0.25
    first, second = ([getattr(cell, half).share for cell in cells] for half in ("first", "second"))
    assert whole.difference == pytest.approx(np.abs(np.subtract(first, second)).mean())
    assert whole.pearson == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert "| sew-v3 | 0.4 |" in report
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["metaworld"] == "9.8"


def test_a_study_of_other_runs_or_a_damaged_cell_is_named(tmp_path: Path) -> None:
    small = StudyConfig(("dig-v3",), (0.3,), runs=2)
    with stand_in(tmp_path) as meta_world:
        run_study(small, meta_world, tmp_path / "out", lambda trials, _: trials)
        with pytest.raises(MetaWorldError, match="played with other runs; choose another --out"):
            run_study(replace(small, runs=3), meta_world, tmp_path / "out", lambda trials, _: trials)
        (tmp_path / "out" / "dig-v3_noise0.3.json").write_text("{")
        with pytest.raises(MetaWorldError, match=r"dig-v3_noise0\.3\.json: is no cell"):
            run_study(small, meta_world, tmp_path / "out", lambda trials, _: trials)
        with pytest.raises(MetaWorldError, match="unknown tasks fly-v3; Meta-World has dig-v3, sew-v3"):
            run_study(replace(small, tasks=("fly-v3",)), meta_world, tmp_path / "out", lambda trials, _: trials)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("ends", "process has ended: Segmentation fault"), ("silent", "no answer within 0.5 s"),
     ("hello", "must be a JSON object, got 'hello"), ("[1]", "must be a JSON object"),
     ('{"error": "KeyError: goal"}', "KeyError: goal"), ('{"success": 1, "steps": 2}', "must hold success and steps"),
     ('{"success": true}', "must hold success and steps")],
)  # fmt: skip
def test_a_process_that_answers_otherwise_is_named(tmp_path: Path, fault: str, message: str) -> None:
    patience = 0.5 if fault == "silent" else 20.0
    with stand_in(tmp_path, fault, patience) as meta_world, pytest.raises(MetaWorldError, match=message):
        meta_world.play(Trial("sew-v3", 0.2, 1))


def test_a_python_without_meta_world_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetaWorldError, match=r"does not run Meta-World: .*No module named 'metaworld'.*policies.md"):
        stand_in(tmp_path, "no greeting")
    with pytest.raises(MetaWorldError, match="cannot be started"):
        MetaWorldProcess(tmp_path / "no_python")
    bare = tmp_path / "worker.py"
    bare.write_text(WORKER.read_text().replace("from metaworld", "from metaworld_that_nobody_has"))
    with pytest.raises(MetaWorldError, match="No module named 'metaworld_that_nobody_has'"):
        MetaWorldProcess(Path(sys.executable), worker=bare)


class Countdown:
    """An environment that is done once ``wanted`` actions of exactly 1 were taken in a row."""

    max_path_length = 9

    def __init__(self, wanted: int) -> None:
        self.left, self.taken = wanted, list[np.ndarray]()

    def reset(self) -> tuple[int, dict[str, float]]:
        return self.left, {}

    def step(self, action: np.ndarray) -> tuple[int, float, bool, bool, dict[str, float]]:
        self.taken.append(action)
        self.left -= bool((action == 1.0).all())
        return self.left, 0.0, False, False, {"success": float(self.left <= 0)}


class Pusher:
    """A policy whose actions are far beyond the limit while anything is left."""

    def get_action(self, observation: int) -> np.ndarray:
        return np.full(4, 5.0 if observation > 0 else 0.0)


def test_an_episode_ends_with_its_first_success_or_its_limit() -> None:
    assert play(Countdown(4), Pusher(), 3, 0.5) == {"success": True, "steps": 4}
    assert play(Countdown(20), Pusher(), 3, 0.5) == {"success": False, "steps": 9}


def test_noise_is_drawn_by_the_seed_and_stays_within_the_limits() -> None:
    runs = []
    for seed in (3, 3, 4):
        environment = Countdown(20)
        play(environment, Pusher(), seed, 4.0)
        runs.append(np.array(environment.taken))
    assert np.abs(runs[0]).max() <= 1.0
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("change", [{"tasks": ()}, {"noises": (0.1, 0.1)}, {"runs": 0}, {"seed": -1}])
def test_studies_that_cannot_be_meant_are_named(change: dict[str, object]) -> None:
    with pytest.raises(MetaWorldError, match=f"{next(iter(change))} must be|and seed"):
        replace(CONFIG, **change)  # type: ignore[arg-type]
    with pytest.raises(MetaWorldError, match=r"noise must be within 0\.\.10"):
        Trial("dig-v3", float("nan"), 0)
