"""A plan counts as executed when the joints have followed it to its end; what is kept meanwhile stays within limits."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_world_model.comparison.comparison import compare_execution
from k4d_world_model.comparison.execution_watch import Awaited, Execution, ExecutionWatch, WatchLimits
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import ComparisonError, RejectedEpisodeError
from k4d_world_model.rollout import Rollout

from .conftest import CAMERA, HEIGHT, START, STEP, WIDTH, joints

LIMITS = WatchLimits(seconds=20.0, megabytes=50.0, rate_hz=50.0, rollouts=2, wait=9.0, joint_error=0.05)
PICTURE_BYTES = HEIGHT * WIDTH * (3 + 4)
BEGAN = START + 4.0


def ns(moment: float) -> int:
    return round(moment * 1e9)


def live(
    watch: ExecutionWatch,
    executed: Episode,
    began: float,
    *,
    moves: bool = True,
    sees: bool = True,
    period: int = 50,
    late: float = 0.0,
) -> list[Execution | str]:
    """What is executed, or why that cannot be compared, while joints are played at 100 Hz and pictures at 10 Hz.

    From 2 s before to 2 s after the plan; asks after every ``period`` states. Pictures come ``late`` seconds later.
    """
    found: list[Execution | str] = []
    moments = np.arange(-2.0, 3.0, 0.01)
    for k, (moment, (turn,)) in enumerate(zip(moments.tolist(), joints(moments).tolist(), strict=True)):
        watch.move(ns(began + moment), ["turn", "other"], [turn if moves else -0.4, 0.0])
        seen = moment - late
        frame = round((seen + STEP) / STEP)
        if sees and k % 10 == 0 and 0 <= frame < executed.frame_count and watch.wants(ns(began + seen)):
            watch.see(ns(began + seen), CAMERA, executed.rgb[frame], executed.scene_points[frame])
        if (k + 1) % period == 0:
            executions, problems = watch.executed()
            found += [*executions, *problems]
    return found


def test_an_execution_is_found_by_its_joints_and_compared(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("one", rollout, ns(START)))
    (execution,) = live(watch, executed, BEGAN)
    assert execution.awaited.name == "one"
    assert execution.following.start == pytest.approx(BEGAN, abs=2e-3)
    comparison = compare_execution(rollout, execution.frames, execution.following.start, 0.02)
    assert [figures.psnr_db.value for figures in comparison.figures] == [np.inf] * len(rollout.times)
    assert comparison.figures[3].joint_deviation.value < 2e-3
    assert not watch.is_waiting
    assert "0 rollouts wait for their execution, 0 were given up, 0 pictures kept (0.0 MB)" in watch.state


def test_pictures_may_come_later_than_joints(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("one", rollout, ns(START)))
    (execution,) = live(watch, executed, BEGAN, late=1.2)
    comparison = compare_execution(rollout, execution.frames, execution.following.start, 0.02)
    assert [figures.psnr_db.value for figures in comparison.figures] == [np.inf] * len(rollout.times)


def test_what_is_given_up_is_counted(rollout: Rollout) -> None:
    watch = ExecutionWatch(replace(LIMITS, rollouts=2))
    for name in "abc":
        watch.await_execution(Awaited(name, rollout, ns(START)))
    assert "2 rollouts wait for their execution, 1 were given up" in watch.state
    watch.move(ns(START + 60.0), ["turn"], [0.0])
    assert watch.executed() == ([], [])
    assert "0 rollouts wait for their execution, 3 were given up" in watch.state


def test_a_start_is_not_settled_before_a_later_one_could_fit_better(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("one", rollout, ns(START)))
    (execution,) = live(watch, executed, BEGAN, period=2)
    assert execution.following.start == pytest.approx(BEGAN, abs=2e-3)


def test_a_robot_that_stands_still_executes_nothing_and_is_given_up_on(rollout: Rollout, executed: Episode) -> None:
    small = replace(rollout, joints=replace(rollout.joints, positions=-0.4 + 0.02 * (rollout.joints.positions + 0.4)))
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("small", small, ns(START)))
    assert live(watch, executed, BEGAN, moves=False) == []
    assert watch.is_waiting
    assert "from the newest plan" in watch.state
    watch.move(ns(START + 9.7), ["turn"], [-0.4])
    assert watch.executed() == ([], [])
    assert watch.is_waiting
    watch.move(ns(START + 9.9), ["turn"], [-0.4])
    assert watch.executed() == ([], [])
    assert not watch.is_waiting


def test_nothing_is_kept_unless_something_is_waited_for(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    assert not watch.wants(ns(START))
    assert live(watch, executed, BEGAN) == []
    watch.await_execution(Awaited("one", rollout, ns(START)))
    assert watch.executed() == ([], [])


def test_pictures_stay_within_rate_bytes_and_time(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(replace(LIMITS, seconds=2.0, megabytes=5.5 * PICTURE_BYTES / 1e6, rate_hz=10.0))
    watch.await_execution(Awaited("one", rollout, ns(START)))
    kept = 0
    for moment in np.arange(0.0, 3.0, 0.02).tolist():
        if watch.wants(ns(START + moment)):
            kept += 1
            watch.see(ns(START + moment), CAMERA, executed.rgb[0], executed.scene_points[0])
    assert kept == 30
    assert "5 pictures kept" in watch.state
    watch.move(ns(START + 4.75), ["turn"], [0.0])
    watch.executed()
    assert "2 pictures kept" in watch.state


def test_a_clock_that_jumps_back_begins_anew(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("one", rollout, ns(START)))
    watch.see(ns(START + 60.0), CAMERA, executed.rgb[0], executed.scene_points[0])
    watch.move(ns(START + 60.0), ["turn"], [0.0])
    watch.move(ns(START), ["turn"], [0.0])
    assert "0 pictures kept" in watch.state
    assert len(live(watch, executed, BEGAN)) == 1


def test_what_cannot_be_watched_is_named(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    with pytest.raises(ComparisonError, match="'mute' says nothing of the robot's joints"):
        watch.await_execution(Awaited("mute", replace(rollout, joints=None), ns(START)))
    watch.await_execution(Awaited("one", rollout, ns(START)))
    with pytest.raises(RejectedEpisodeError, match="must be finite"):
        watch.move(ns(START), ["turn"], [np.nan])
    (problem,) = live(watch, executed, BEGAN, sees=False)
    assert problem == "rollout 'one': a plan was executed, and no picture was kept of it"
    assert not watch.is_waiting


def test_a_rollout_that_nothing_was_seen_of_costs_no_other_its_comparison(rollout: Rollout, executed: Episode) -> None:
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("seen", rollout, ns(START)))
    watch.await_execution(Awaited("blind", rollout, ns(BEGAN + 4.0)))
    live(watch, executed, BEGAN, period=1000)
    live(watch, executed, BEGAN + 6.0, sees=False, period=1000)
    (execution,), (problem,) = watch.executed()
    assert execution.awaited.name == "seen"
    assert execution.frames.frame_count == executed.frame_count
    assert problem.startswith("rollout 'blind': ")
    assert not watch.is_waiting


def test_a_driver_that_reports_a_joint_within_a_turn_is_followed_over_its_jump(
    rollout: Rollout, executed: Episode
) -> None:
    turned = replace(rollout, joints=replace(rollout.joints, positions=rollout.joints.positions + np.pi))
    watch = ExecutionWatch(LIMITS)
    watch.await_execution(Awaited("one", turned, ns(START)))
    moments = np.arange(-2.0, 3.0, 0.01)
    for moment, (turn,) in zip(moments.tolist(), joints(moments).tolist(), strict=True):
        watch.move(ns(BEGAN + moment), ["turn"], [(turn + 2.0 * np.pi) % (2.0 * np.pi) - np.pi])
        watch.wants(ns(BEGAN + moment))
    found, problems = watch.executed()
    assert not found
    assert "no picture was kept" in problems[0], "it was recognised"
