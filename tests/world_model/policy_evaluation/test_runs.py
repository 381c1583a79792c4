"""Runs in the simulator and in a prediction: rows that resume, refuse another protocol and keep failures."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from k4d_simulation.errors import RenderingError
from k4d_world_model.errors import FolderInUseError, PolicyRunError
from k4d_world_model.exclusive import exclusive
from k4d_world_model.policy_evaluation import opening, run_work
from k4d_world_model.policy_evaluation.closed_loop import LoopLimits
from k4d_world_model.policy_evaluation.evaluate_policies import PolicyEvaluation, evaluate_policies
from k4d_world_model.policy_evaluation.evaluation_settings import LOCK, EvaluationSettings, agree, protocol_hash
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation
from k4d_world_model.policy_evaluation.run_row import read_row, row_path
from k4d_world_model.policy_evaluation.set_up import read_set_up
from k4d_world_model.policy_evaluation.simulated_world import SimulatedStage, SimulatedWorld

from .test_imagined_world import from_the_simulator

CONFIG = Path(__file__).resolve().parents[3] / "config"


class Blind:
    """A policy that fails when it is to act."""

    name, privileged = "blind", False

    def reset(self, briefing: Briefing) -> None:
        pass

    def act(self, observation: Observation) -> ActionChunk:
        raise IndexError("it sees nothing")


class Offline(Blind):
    """A policy whose server is away."""

    name = "offline"

    def act(self, observation: Observation) -> ActionChunk:
        raise ConnectionError("nobody answers")


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An easy set-up of small pictures."""
    content = yaml.safe_load((CONFIG / "set_ups" / "easy.yaml").read_text()) | {"height": 48, "width": 72}
    for name in ("robot", "scene"):
        content[name] = str((CONFIG / "set_ups" / content[name]).resolve())
    path = tmp_path_factory.mktemp("set_up") / "small.yaml"
    path.write_text(yaml.safe_dump(content | {"name": "small"}))
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSettings:
    """A frozen world of small pictures as the prediction."""
    folder = tmp_path_factory.mktemp("model")
    content = yaml.safe_load((CONFIG / "world_models" / "frozen_world.yaml").read_text())
    (folder / "frozen.yaml").write_text(yaml.safe_dump(content | {"height": 48, "width": 72}))
    return EvaluationSettings(folder / "frozen.yaml", frames=(5,), limits=LoopLimits(150, 4), cache=folder)


@pytest.fixture(scope="module")
def evaluated(
    set_up: Path, settings: EvaluationSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PolicyEvaluation, Path]]:
    """One state, the expert's recording and a policy that fails."""
    opened, made = opening.open_policy, {"blind": Blind, "offline": Offline}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "k4d_world_model.policy_evaluation.evaluate_policies.policy_identity",
            lambda spec: spec if spec in made else opening.policy_identity(spec),
        )
        for module in ("run_work", "evaluate_policies"):
            patch.setattr(
                f"k4d_world_model.policy_evaluation.{module}.open_policy",
                lambda spec, robot: made[spec]() if spec in made else opened(spec, robot),
            )
        run_work._policy.cache_clear()
        out = tmp_path_factory.mktemp("out") / "runs"
        yield evaluate_policies(["replay", "blind"], [set_up], 1, out, settings), out
        run_work._policy.cache_clear()


def test_the_expert_succeeds_in_truth_and_not_where_nothing_moves(evaluated: tuple[PolicyEvaluation, Path]) -> None:
    rows = {(row.policy, row.world): row for row in evaluated[0].rows}
    truth, imagined = rows["replay_0", "truth"], rows["replay_0", "imagined"]
    assert (truth.success, truth.checker_reason, truth.privileged, truth.chunks) == (True, "done", True, 1)
    assert imagined.success is False
    assert imagined.commands == truth.commands > 60
    assert imagined.verdict is not None
    assert imagined.verdict.displacement == pytest.approx(0.0, abs=0.01)


def test_a_run_that_fails_is_invalid_with_its_reason(evaluated: tuple[PolicyEvaluation, Path]) -> None:
    rows = [row for row in evaluated[0].rows if row.policy == "blind"]
    assert [row.world for row in rows] == ["truth", "imagined"]
    assert {(row.invalid, row.success) for row in rows} == {("IndexError: it sees nothing", None)}
    assert evaluated[0].expected == len(evaluated[0].rows) == 4


def test_the_same_command_goes_on_with_what_is_missing(
    evaluated: tuple[PolicyEvaluation, Path], set_up: Path, settings: EvaluationSettings
) -> None:
    before, out = evaluated
    paths = sorted((out / "runs").rglob("*.json"))
    lost = row_path(out, "blind", "small", 7000000, "imagined")
    stamps = {path: path.stat().st_mtime_ns for path in paths if path.parent != lost.parent}
    lost.unlink()
    again = evaluate_policies(["replay", "blind"], [set_up], 1, out, settings)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert lost.exists()
    assert [row.invalid for row in again.rows] == [row.invalid for row in before.rows]
    assert again.protocol_hash == before.protocol_hash
    assert not list(out.rglob(".*.json.*"))


def test_one_command_at_a_time_runs_into_a_folder_and_any_may_report(
    evaluated: tuple[PolicyEvaluation, Path], set_up: Path, settings: EvaluationSettings
) -> None:
    with exclusive(evaluated[1] / LOCK, {}):
        with pytest.raises(FolderInUseError, match="is being filled by another command"):
            evaluate_policies(["replay"], [set_up], 1, evaluated[1], settings)
        assert len(evaluate_policies(["replay"], [set_up], 1, evaluated[1], settings, report_only=True).rows) == 2


def test_workers_of_a_cluster_make_the_same_runs(
    evaluated: tuple[PolicyEvaluation, Path], set_up: Path, settings: EvaluationSettings, tmp_path: Path
) -> None:
    on_ray = evaluate_policies(["replay"], [set_up], 1, tmp_path / "out", settings, ray="local")
    assert [row.world for row in on_ray.rows] == ["truth", "imagined"]
    assert [replace(row, seconds=0.0) for row in on_ray.rows] == [
        replace(row, seconds=0.0) for row in evaluated[0].rows if row.policy == "replay_0"
    ]


def test_a_policy_of_a_file_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opening.placed("remote:far/away.yaml") == f"remote:{tmp_path}/far/away.yaml"
    assert [opening.placed(spec) for spec in ("scripted:0.03", "replay", "diffusion:")] == [
        "scripted:0.03", "replay", "diffusion:",
    ]  # fmt: skip


def test_what_is_not_the_policys_doing_is_tried_again(
    evaluated: tuple[PolicyEvaluation, Path], set_up: Path, settings: EvaluationSettings, tmp_path: Path
) -> None:
    for _ in range(2):
        evaluation = evaluate_policies(["offline", "blind"], [set_up], 1, tmp_path / "out", settings)
        assert evaluation.failed == (("small_7000000", "offline: ConnectionError: nobody answers"),)
        assert [(row.policy, bool(row.invalid)) for row in evaluation.rows] == [("blind", True)] * 2

    def no_display(*_: object) -> None:
        raise RenderingError("no EGL")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_work, "SimulatedStage", no_display)
        evaluation = evaluate_policies(["replay"], [set_up], 1, tmp_path / "dark", settings)
    assert evaluation.failed == (("small_7000000", "RenderingError: no EGL"),)
    assert not evaluation.rows


def test_a_folder_keeps_no_row_for_another_policy_of_that_name(
    set_up: Path, settings: EvaluationSettings, tmp_path: Path
) -> None:
    evaluate_policies(["replay:0.1"], [set_up], 1, tmp_path / "out", settings, report_only=True)
    refused = r"policy\.replay_0\.1 was 'replay:0\.1' and is 'replay:0\.10000001' now"
    with pytest.raises(PolicyRunError, match=refused):
        evaluate_policies(["replay:0.10000001"], [set_up], 1, tmp_path / "out", settings, report_only=True)


def test_another_protocol_is_refused_by_name(
    evaluated: tuple[PolicyEvaluation, Path], set_up: Path, settings: EvaluationSettings
) -> None:
    other = EvaluationSettings(settings.model, (9,), "last_frame", 0, settings.limits, cache=settings.cache)
    with pytest.raises(PolicyRunError, match="another protocol") as refused:
        evaluate_policies(["replay"], [set_up], 1, evaluated[1], other, report_only=True)
    assert "frames.0 was 5 and is 9 now" in str(refused.value)
    assert "memory was 'whole_past' and is 'last_frame' now" in str(refused.value)


def test_a_damaged_row_is_named(evaluated: tuple[PolicyEvaluation, Path], tmp_path: Path) -> None:
    whole = row_path(evaluated[1], "replay_0", "small", 7000000, "truth").read_text()
    content = json.loads(whole)
    for damage in (whole[: len(whole) // 2], "[]", json.dumps(content | {"seed": "7"}), json.dumps(content | {"x": 1})):
        (tmp_path / "row.json").write_text(damage)
        with pytest.raises(PolicyRunError, match=r"row\.json: is no run, remove it"):
            read_row(tmp_path / "row.json")


@pytest.mark.parametrize(
    ("policies", "runs", "message"),
    [
        ([], 1, "at least one"),
        (["replay", "replay:0.0"], 1, "none twice"),
        (["replay"], 0, "must be at least 1, got 0"),
    ],
)
def test_unusable_requests_are_refused(
    policies: list[str], runs: int, message: str, set_up: Path, settings: EvaluationSettings, tmp_path: Path
) -> None:
    with pytest.raises(PolicyRunError, match=message):
        evaluate_policies(policies, [set_up], runs, tmp_path / "out", settings)


def test_a_model_of_another_size_is_refused_before_anything_runs(settings: EvaluationSettings, tmp_path: Path) -> None:
    with pytest.raises(
        PolicyRunError, match=r"easy has pictures of .* \(96, 144\), the model frozen_world .* \(48, 72\)"
    ):
        evaluate_policies(["replay"], [CONFIG / "set_ups" / "easy.yaml"], 1, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(PolicyRunError, match=r"must be empty or hold protocol\.json"):
        agree(tmp_path, {"version": 1})
    digest = agree(tmp_path / "new", {"version": 1, "set_up.a.seed": 3})
    assert digest == protocol_hash({"set_up.a.seed": 3, "version": 1})
    assert agree(tmp_path / "new", {"version": 1, "set_up.b.seed": 4}) != digest  # another set-up may come later
    with pytest.raises(PolicyRunError, match=r"set_up\.a\.seed was 3 and is 5 now"):
        agree(tmp_path / "new", {"version": 1, "set_up.a.seed": 5})
    agree(tmp_path / "new", {"version": 1, "policy.learnt_0.1": "abc"})
    agree(tmp_path / "new", {"version": 1, "policy.learnt_0.2": "abd"})  # another policy may come later
    with pytest.raises(PolicyRunError, match=r"policy\.learnt_0\.1 was 'abc' and is 'xyz' now"):
        agree(tmp_path / "new", {"version": 1, "policy.learnt_0.1": "xyz"})


def test_runs_start_alike_in_both_worlds_and_with_nothing_of_the_simulator(
    set_up: Path, settings: EvaluationSettings
) -> None:
    config = read_set_up(set_up)
    scene = config.build(run_work._robot(str(set_up), settings.cache), set_up.parent, config.seed)
    with SimulatedStage(scene, config.height, config.width, config.rendering) as stage:
        policy = opening.open_policy("replay", scene.robot)
        start = run_work.run_start(stage, policy, config.seed)
        world = SimulatedWorld(stage)
        truth = world.observe()
        world.act(ActionChunk(("panda_joint1",), np.array([[0.3]]), 0.05))
        assert world.outcome.success is False
        moved = world.observe()
    assert (start.observation.rgb == truth.rgb).all()
    assert np.array_equal(start.observation.points_cam, truth.points_cam, equal_nan=True)
    assert (start.observation.positions == truth.positions).all()
    assert moved.time == pytest.approx(0.05)
    assert (moved.positions != truth.positions).any()
    assert start.briefing.recording is not None
    assert not from_the_simulator([start])
    assert run_work.policy_seed(settings, config.seed) not in range(config.seed - 1000, config.seed + 1000)
    assert start.goal.object_base[:2] == pytest.approx(np.array(scene.layout.object.xy) + [0.52, 0.0])


def test_set_ups_that_cannot_be_are_refused(set_up: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(set_up.read_text())
    for change, message in (
        ({"seed": -1}, "seed must be at least 0"),
        ({"colour": "red"}, "colour"),
        ({"name": "../up"}, "a set-up's name"),
        ({"name": "lab.easy"}, "a set-up's name"),
    ):
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content | change))
        with pytest.raises(PolicyRunError, match=message) as refused:
            read_set_up(tmp_path / "bad.yaml")
        assert "bad.yaml" in str(refused.value)


def test_no_set_up_begins_with_a_scene_of_a_source_or_of_another_set_up() -> None:
    taken: list[tuple[str, range]] = []
    for path in sorted((CONFIG / "sources").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        if content["source"] == "simulation":
            taken.append((path.name, range(content["seed"], content["seed"] + content["episodes"])))
    assert len(taken) >= 6
    learnt = yaml.safe_load((CONFIG / "policies" / "train_diffusion.yaml").read_text())["demonstrations"]
    taken.append(("train_diffusion.yaml", range(learnt["seed"], learnt["seed"] + learnt["count"])))
    for path in sorted((CONFIG / "set_ups").glob("*.yaml")):
        seed = read_set_up(path).seed
        runs = range(seed, seed + 1000)
        assert not [name for name, seeds in taken if max(seeds[0], runs[0]) <= min(seeds[-1], runs[-1])]
        taken.append((path.name, runs))
