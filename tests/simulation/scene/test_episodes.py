"""Experts do their tasks, noise spoils them, and the checker judges the state alone."""

import mujoco
import numpy as np
import pytest

from k4d_simulation import PERTURBATIONS, Perturbation, SimulationError, simulate
from k4d_simulation.control import ToolController, tool_pose
from k4d_simulation.errors import ExpertError
from k4d_simulation.experts import LEAST_ACTIONS, NEAR_MISS, plan_actions
from k4d_simulation.perturbation import perturb, segment_bounds
from k4d_simulation.success import INSIDE, REACH_TOLERANCE, check_success


@pytest.mark.parametrize(
    ("robot", "preset", "task"),
    [
        ("panda", "easy", "pick_place"),
        ("panda", "hard", "pick_place"),
        ("panda", "medium", "push"),
        ("ur5", "easy", "push"),
        ("panda", "easy", "reach"),
        ("ur5", "hard", "reach"),
    ],
)
def test_experts_succeed(build, robot, preset, task):
    for seed in (1, 6):
        motion = simulate(build(robot, preset, task, seed))
        assert motion.success, motion.outcome.reason
        assert motion.variant == "expert"
        assert len(motion.actions) >= LEAST_ACTIONS
        assert np.abs(motion.actions).max() <= 1.0


def test_a_motion_fits_together_and_keeps_to_the_limits(build):
    scene = build("panda", "easy", "pick_place", 1)
    motion = simulate(scene)
    N = len(motion.times)
    assert (motion.qpos.shape, motion.actions.shape) == ((N, scene.model.nq), (N - 1, 7))
    np.testing.assert_allclose(motion.times, 0.05 * np.arange(N))
    np.testing.assert_array_equal(motion.qpos[0], scene.initial_qpos)
    robot = scene.robot.robot
    assert motion.joints.joint_names == robot.joint_names
    np.testing.assert_array_equal(motion.joints.positions, scene.positions(motion.qpos))
    right = scene.model.joint("robot/panda_rightfinger/mimic").qposadr[0]
    np.testing.assert_array_equal(motion.qpos[:, right], motion.joints.positions[:, -1])
    speed = np.abs(np.diff(motion.joints.positions, axis=0)).max(axis=0) / 0.05
    assert (speed < 1.05 * robot.velocity_limits).all()
    assert (motion.joints.positions >= robot.lower - 2e-3).all()
    assert (motion.joints.positions <= robot.upper + 2e-3).all()
    # The fingers end on the object's sides, not in them.
    grip = motion.joints.positions[motion.actions[:, 6].argmax() + 12, -1]
    x, y, _ = scene.layout.object.half_extents
    assert min(x, y) - 5e-4 < grip < max(x, y) + 1e-3


@pytest.mark.parametrize("perturbation", [None, Perturbation(1, 0.8)])
def test_equal_scenes_and_noise_give_equal_motions(build, perturbation):
    a, b = (simulate(build("panda", "medium", "push", 5), perturbation) for _ in range(2))
    np.testing.assert_array_equal(a.qpos, b.qpos)
    np.testing.assert_array_equal(a.actions, b.actions)
    assert a.outcome == b.outcome


def test_noise_spoils_a_pick_and_differs_between_perturbations(build):
    scene = build("panda", "easy", "pick_place", 1)
    spoilt = [simulate(scene, perturbation) for perturbation in (Perturbation(0, 0.5), Perturbation(0, 0.8))]
    assert not any(motion.success for motion in spoilt)
    assert [motion.variant for motion in spoilt] == ["noise_segment0_sigma0.5", "noise_segment0_sigma0.8"]
    expert = simulate(scene).actions
    free = np.logical_and.reduce([(np.abs(m.actions) < 1.0) & (m.actions != expert) for m in spoilt])
    mild, strong = ((m.actions - expert)[free] for m in spoilt)
    assert free.sum() > 50
    assert np.median(np.abs(mild / 0.5 - strong / 0.8)) > 0.1


def test_there_are_nine_perturbations_as_in_the_paper():
    assert {(p.segment, p.sigma) for p in PERTURBATIONS} == {(s, x) for s in range(3) for x in (0.5, 0.8, 1.2)}


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda p: p.name)
def test_noise_touches_one_third_and_never_the_gripper(perturbation):
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (1000, 7))
    before = actions.copy()
    noisy = perturb(actions, perturbation, np.random.default_rng(1))
    np.testing.assert_array_equal(actions, before)
    np.testing.assert_array_equal(noisy[:, 6], actions[:, 6])
    first, end = (round(1000 * k / 3) for k in (perturbation.segment, perturbation.segment + 1))
    changed = (noisy[:, :6] != actions[:, :6]).all(axis=1)
    assert changed[first:end].mean() > 0.9
    assert not changed[:first].any()
    assert not changed[end:].any()
    assert np.abs(noisy[:, :6]).max() == 1.0
    inside = np.abs(noisy[first:end, :6]) < 1.0
    assert inside.mean() == pytest.approx({0.5: 0.95, 0.8: 0.79, 1.2: 0.6}[perturbation.sigma], abs=0.04)


def test_the_thirds_cover_everything_once():
    for count in (1, 61, 100):
        bounds = [segment_bounds(count, segment) for segment in range(3)]
        assert [first for first, _ in bounds] == [0, bounds[0][1], bounds[1][1]]
        assert bounds[2][1] == count


@pytest.mark.parametrize(("segment", "sigma"), [(3, 0.5), (-1, 0.5), (0, 0.0), (0, np.nan), (1, np.inf)])
def test_other_perturbations_are_refused(segment, sigma):
    with pytest.raises(SimulationError, match=r"segment must be|sigma must be"):
        Perturbation(segment, sigma)


@pytest.mark.parametrize("robot", ["panda", "ur5"])
def test_a_near_miss_ends_beside_the_point_and_is_a_failure(build, robot):
    motion = simulate(build(robot, "easy", "reach", 2), near_miss=True)
    assert not motion.success
    assert motion.variant == "near_miss"
    assert NEAR_MISS[0] - 0.005 < motion.outcome.distance < NEAR_MISS[1] + 0.005


def test_only_reach_has_a_near_miss(build):
    with pytest.raises(ExpertError, match=r"'reach' only, got task 'push'"):
        simulate(build("panda", "easy", "push", 2), near_miss=True)


def _state(scene, xyz=None, tilt=0.0, tool=None):
    """The initial state with the object put somewhere, or the tool brought to a pose by the controller."""
    data = mujoco.MjData(scene.model)
    data.qpos[:] = scene.initial_qpos
    if xyz is not None:
        data.joint("object").qpos[:3] = xyz
        data.joint("object").qpos[3:] = [np.cos(tilt / 2), np.sin(tilt / 2), 0, 0]
    if tool is not None:
        controller = ToolController(scene, data)
        controller.T_world_goal[:3, 3] = tool
        for _ in range(20):
            controller.step(np.array([0, 0, 0, 0, 0, 0, -1.0]))
    return data


@pytest.mark.parametrize("task", ["pick_place", "push"])
def test_the_checker_wants_the_object_on_its_disc_and_standing(build, task):
    scene = build("panda", "easy", task, 3)
    x, y, _ = scene.target
    low = scene.layout.object.height / 2 + (0.004 if task == "pick_place" else 0.0)
    inside, outside = INSIDE - 0.002, INSIDE + 0.002
    assert check_success(scene, _state(scene, (x + inside, y, low))).success
    missed = check_success(scene, _state(scene, (x, y - outside, low)))
    assert (missed.success, missed.standing, missed.released) == (False, True, True)
    assert missed.distance == pytest.approx(outside)
    assert f"{outside:.3f} m, at most {INSIDE:.3f} m is valid" in missed.reason
    for tilt, z in ((np.deg2rad(40), low), (0.0, low + 0.03)):
        fallen = check_success(scene, _state(scene, (x, y, z), tilt))
        assert (fallen.success, fallen.standing) == (False, False)
    untouched = check_success(scene, _state(scene))
    assert not untouched.success


def test_the_checker_wants_the_object_released(build):
    scene = build("panda", "easy", "pick_place", 3)
    place = scene.target + [0, 0, scene.layout.object.height / 2 + 0.004]
    data = _state(scene, tool=place)
    data.joint("object").qpos[:3] = place
    data.joint("object").qpos[3:] = [1, 0, 0, 0]
    assert check_success(scene, data).success
    for finger in ("panda_finger_joint1", "panda_rightfinger/mimic"):
        data.joint(f"robot/{finger}").qpos[0] = 0.9 * min(scene.layout.object.half_extents[:2])
    held = check_success(scene, data)
    assert (held.success, held.standing, held.released) == (False, True, False)
    assert held.reason == "the robot still touches the object"


@pytest.mark.parametrize("robot", ["panda", "ur5"])
def test_the_checker_wants_the_tool_at_the_point(build, robot):
    scene = build(robot, "easy", "reach", 4)
    aside = np.array([0.0, 0.6, 0.8])
    assert check_success(scene, _state(scene, tool=scene.target + 0.7 * REACH_TOLERANCE * aside)).success
    missed = check_success(scene, _state(scene, tool=scene.target + 1.3 * REACH_TOLERANCE * aside))
    assert not missed.success
    assert "tool from the point" in missed.reason


def test_actions_move_and_turn_the_tool_by_the_stated_steps(build):
    scene = build("panda", "easy", "reach", 4)
    data = _state(scene)
    controller = ToolController(scene, data)
    before = tool_pose(scene, data)
    for action in ([1, -0.5, 0.25, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.6, 1]):
        controller.step(np.array(action, float))
    for _ in range(15):
        controller.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
    after = tool_pose(scene, data)
    np.testing.assert_allclose(after[:3, 3] - before[:3, 3], [0.05, -0.025, 0.0125], atol=1.5e-3)
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(after[:3, :3] @ before[:3, :3].T, [[c, -s, 0], [s, c, 0], [0, 0, 1]], atol=5e-3)
    assert scene.positions(data.qpos)[-1] == pytest.approx(0.0, abs=1e-3)


def test_plans_never_leave_the_valid_actions_nor_grip_without_a_gripper(build):
    scene = build("ur5", "easy", "push", 1)
    data = _state(scene)
    actions = plan_actions(scene, tool_pose(scene, data))
    assert actions.shape[1] == 7
    assert np.abs(actions).max() <= 1.0
