"""What policies see and answer, how it is led to, and the loop that closes between them."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_kinematics import ConfiguredRobot, JointTrajectory
from k4d_simulation.objects import COLOURS
from k4d_world_model.errors import PolicyError, PolicyRunError
from k4d_world_model.policy_evaluation.closed_loop import LoopLimits, run_policy
from k4d_world_model.policy_evaluation.commands import PERIOD, led
from k4d_world_model.policy_evaluation.opening import open_policy
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation
from k4d_world_model.policy_evaluation.replay_policy import ReplayPolicy
from k4d_world_model.policy_evaluation.scripted_policy import ScriptedPolicy
from k4d_world_model.policy_evaluation.world import Footage

from .conftest import BLUE, HALF, RED, Block, observe

TASK = "The gantry robot picks up the red box and puts it on the blue disc."


def test_an_observation_is_checked(gantry: ConfiguredRobot) -> None:
    seen = observe(gantry, [])
    with pytest.raises(PolicyError, match="points_cam must be float32"):
        replace(seen, points_cam=seen.points_cam.astype(np.float64))
    with pytest.raises(PolicyError, match=r"rgb must be uint8 of shape \(60, 80, 3\)"):
        replace(seen, rgb=seen.rgb[:-1])
    with pytest.raises(PolicyError, match="positions must be finite"):
        replace(seen, positions=np.full(5, np.nan))


@pytest.mark.parametrize(
    ("names", "targets", "period", "message"),
    [
        (("a", "b"), np.zeros((0, 2)), 0.1, "got (0, 2)"),
        (("a", "b"), np.zeros((3, 3)), 0.1, "got (3, 3)"),
        (("a", "a"), np.zeros((3, 2)), 0.1, "must be unique"),
        (("a", "b"), np.array([[0.0, 0.0], [0.0, np.inf]]), 0.1, "at action 1 of 2"),
        (("a", "b"), np.zeros((3, 2)), 0.0, "period must be above 0"),
    ],
)
def test_a_chunk_is_checked(names: tuple[str, ...], targets: np.ndarray, period: float, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        ActionChunk(names, targets, period)
    assert message in str(refused.value)


def test_joints_are_led_within_their_limits(gantry: ConfiguredRobot) -> None:
    here = np.array([0.3, 0.2, 0.4, 0.04, 0.04])
    chunk = ActionChunk(("slide_left", "slide_x"), np.array([[0.0, 0.35], [-0.1, 2.0], [0.0, 2.0]]), PERIOD)
    positions = led(chunk, gantry.robot, here)
    # 2 m/s and 0.4 m/s over 50 ms are 0.1 m and 0.02 m; the slides end at 1 m and 0 m.
    assert positions[:, 0] == pytest.approx([0.35, 0.45, 0.55])
    assert positions[:, 3] == pytest.approx([0.02, 0.0, 0.0])
    assert (positions[:, [1, 2, 4]] == here[[1, 2, 4]]).all()
    slower = led(replace(chunk, targets=np.array([[0.04, 0.36]]), period=3 * PERIOD), gantry.robot, here)
    assert slower[:, 0] == pytest.approx([0.32, 0.34, 0.36])
    with pytest.raises(PolicyError, match=r"unknown joints elbow; valid are slide_x"):
        led(ActionChunk(("elbow",), np.zeros((1, 1)), PERIOD), gantry.robot, here)
    with pytest.raises(PolicyError, match=r"multiple of 0.05 s, got 0.07"):
        led(replace(chunk, period=0.07), gantry.robot, here)


class Still:
    """A policy that stays where it is, and what it was told."""

    name = "still"

    def __init__(self, *, privileged: bool, length: int = 4, last: int = 99, period: float = PERIOD) -> None:
        self.privileged, self.length, self.last, self.period, self.acts = privileged, length, last, period, 0

    def reset(self, briefing: Briefing) -> None:
        self.briefing = briefing

    def act(self, observation: Observation) -> ActionChunk:
        self.acts += 1
        targets = np.tile(observation.positions, (self.length, 1))
        return ActionChunk(observation.joint_names, targets, self.period, done=self.acts == self.last)


class Nowhere:
    """A world that counts commands."""

    def __init__(self, seen: Observation) -> None:
        self.seen, self.lengths = seen, list[int]()

    def observe(self) -> Observation:
        return self.seen

    def act(self, chunk: ActionChunk) -> None:
        self.lengths.append(len(chunk.targets))

    def footage(self) -> Footage:
        raise AssertionError


def test_only_privileged_policies_are_given_a_recording(gantry: ConfiguredRobot) -> None:
    seen = observe(gantry, [])
    recording = JointTrajectory(seen.joint_names, np.array([PERIOD]), seen.positions[None])
    for privileged in (False, True):
        policy = Still(privileged=privileged)
        run_policy(policy, Nowhere(seen), Briefing(3, "stay", recording), LoopLimits(5, 7))
        assert (policy.briefing.recording is recording) == privileged
        assert (policy.briefing.seed, policy.briefing.task) == (3, "stay")


@pytest.mark.parametrize(
    ("limits", "last", "lengths", "done"),
    [
        (LoopLimits(10, 7), 99, [4, 4, 2], False),
        (LoopLimits(30, 2), 99, [4, 4], False),
        (LoopLimits(30, 9), 3, [4] * 3, True),
        (LoopLimits(10, 7), 3, [4, 4, 2], False),  # what was cut is not done
    ],
)
def test_a_run_ends_at_its_limits_or_when_the_policy_is_done(
    gantry: ConfiguredRobot, limits: LoopLimits, last: int, lengths: list[int], done: bool
) -> None:
    world = Nowhere(observe(gantry, []))
    end = run_policy(Still(privileged=False, last=last), world, Briefing(0, "stay"), limits)
    assert world.lengths == lengths
    assert (end.chunks, end.commands, end.done) == (len(lengths), sum(lengths), done)


def test_a_run_is_no_longer_than_its_limit(gantry: ConfiguredRobot) -> None:
    slow = Still(privileged=False, last=99, period=3 * PERIOD)
    end = run_policy(slow, Nowhere(observe(gantry, [])), Briefing(0, "stay"), LoopLimits(20, 7))
    assert (end.chunks, end.commands, end.done) == (2, 18, False)
    with pytest.raises(PolicyError, match=r"an action lasts longer than the 2 commands"):
        run_policy(slow, Nowhere(observe(gantry, [])), Briefing(0, "stay"), LoopLimits(2, 7))


def test_policies_are_opened_by_name(gantry: ConfiguredRobot) -> None:
    named = {spec: open_policy(spec, gantry) for spec in ("scripted", "scripted:0.03", "replay", "replay:0.5")}
    assert [policy.name for policy in named.values()] == ["scripted_0mm", "scripted_30mm", "replay_0", "replay_0.5"]
    assert [policy.privileged for policy in named.values()] == [False, False, True, True]
    for spec, message in (
        ("dance", r"policies are scripted\[:VALUE\], replay"),
        ("scripted:-1", "noise must be a number"),
    ):
        with pytest.raises(PolicyRunError, match=message):
            open_policy(spec, gantry)


def test_a_replay_plays_its_recording(gantry: ConfiguredRobot) -> None:
    seen, policy = observe(gantry, []), ReplayPolicy()
    recording = JointTrajectory(seen.joint_names, PERIOD * np.arange(1, 7), np.random.default_rng(0).random((6, 5)))
    policy.reset(Briefing(0, TASK, recording))
    chunk = policy.act(seen)
    assert chunk.done
    assert (chunk.targets == recording.positions).all()
    with pytest.raises(PolicyError, match="the briefing has nothing"):
        policy.reset(Briefing(0, TASK))
    with pytest.raises(PolicyError, match=r"every 0.05 s"):
        policy.reset(Briefing(0, TASK, replace(recording, times=recording.times * 2)))


def disc(xy: tuple[float, float]) -> list[Block]:
    return [Block((xy[0] + 0.01 * x, xy[1] + 0.01 * y), (0.006, 0.006, 0.0005), BLUE)
            for x in range(-7, 8) for y in range(-7, 8) if x * x + y * y <= 49]  # fmt: skip


def tool_way(chunk: ActionChunk, robot: ConfiguredRobot) -> np.ndarray:
    return np.array([robot.robot.forward_kinematics(q)[robot.robot.link_index("tool"), :3, 3] for q in chunk.targets])


def test_the_scripted_policy_grasps_what_it_sees_and_carries_what_it_holds(gantry: ConfiguredRobot) -> None:
    policy, target = ScriptedPolicy(gantry), disc((0.5, -0.15))
    policy.reset(Briefing(5, TASK))
    grasp = policy.act(observe(gantry, [*target, Block((0.55, 0.1), HALF, RED)], TASK))
    way = tool_way(grasp, gantry)
    lowest = way[np.argmin(way[:, 2])]
    assert not grasp.done
    assert lowest == pytest.approx([0.55, 0.1, HALF[2]], abs=0.012)
    assert grasp.targets[-1, 3:] == pytest.approx([0.0, 0.0])
    held = replace(
        observe(gantry, [*target, Block((0.55, 0.1), HALF, RED, 0.15)], TASK),
        positions=np.array([0.55, 0.1, 0.18, 0.0, 0.0]),
    )
    place = policy.act(held)
    way = tool_way(place, gantry)
    assert place.done
    assert way[np.argmin(way[:, 2])][:2] == pytest.approx([0.5, -0.15], abs=0.012)
    assert place.targets[-1, 3:] == pytest.approx([0.04, 0.04])


def test_the_scripted_policy_tries_again_and_gives_up(gantry: ConfiguredRobot) -> None:
    policy = ScriptedPolicy(gantry, attempts=2)
    policy.reset(Briefing(5, TASK))
    missed = observe(gantry, [*disc((0.5, -0.15)), Block((0.55, 0.1), HALF, RED)], TASK)
    chunks = [policy.act(missed) for _ in range(3)]
    assert [chunk.done for chunk in chunks] == [False, False, True]
    assert np.ptp(tool_way(chunks[2], gantry), axis=0).max() < 1e-3


def test_noise_is_of_the_seed(gantry: ConfiguredRobot) -> None:
    seen, ends = observe(gantry, [*disc((0.5, -0.15)), Block((0.55, 0.1), HALF, RED)], TASK), []
    for seed, noise in ((5, 0.04), (5, 0.04), (6, 0.04), (5, 0.0)):
        policy = ScriptedPolicy(gantry, noise=noise)
        policy.reset(Briefing(seed, TASK))
        ends.append(tool_way(policy.act(seen), gantry)[-1])
    assert (ends[0] == ends[1]).all()
    assert np.linalg.norm(ends[0] - ends[2]) > 0.01
    assert np.linalg.norm(ends[0] - ends[3]) > 0.01


@pytest.mark.parametrize("task", ["Push the red box.", "picks up the crimson box and puts it on the blue disc"])
def test_an_unknown_task_is_refused(gantry: ConfiguredRobot, task: str) -> None:
    with pytest.raises(PolicyError, match=next(iter(COLOURS))):
        ScriptedPolicy(gantry).reset(Briefing(0, task))
