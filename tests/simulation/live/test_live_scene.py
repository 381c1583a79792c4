"""A scene along a clock: physics keep up, commands lead the robot, the expert acts as it does in an episode."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from k4d_kinematics import JointTrajectory, configured_robot, read_configuration
from k4d_simulation.episode import simulate
from k4d_simulation.errors import CommandError, RenderingError, SimulationError
from k4d_simulation.joint_commands import Course, follow
from k4d_simulation.live_pictures import LivePictures
from k4d_simulation.live_scene import LARGEST_LAG, LiveScene
from k4d_simulation.rendering import RenderingSettings, SceneRenderer
from k4d_simulation.scene import build_scene
from k4d_simulation.scene_config import SceneConfig

CONFIG = Path(__file__).resolve().parents[3] / "config"
START_NS = 1_700_000_000_123_456_789
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def panda():
    return configured_robot(CONFIG / "robots" / "panda.yaml")


@pytest.fixture(scope="module")
def scene(panda):
    return build_scene(panda, read_configuration(CONFIG / "scenes" / "easy.yaml", SceneConfig), "reach", 5)


@pytest.fixture
def live(scene):
    return LiveScene(scene, START_NS)


def run(live, seconds, tick=0.02):
    """Advances in ticks; returns the moments after each."""
    moments = []
    for _ in range(round(seconds / tick)):
        live.advance(live.stamp_ns + round(tick * SECOND))
        moments.append(live.moment())
    return moments


def command(names, points, times, velocities=None):
    return JointTrajectory.from_points(names, points, times, velocities)


def test_a_course_holds_its_ends_and_is_linear_between(panda):
    robot = panda.robot
    positions = np.stack([panda.home, panda.home + 0.2])
    course = Course(JointTrajectory(robot.joint_names, [0.5, 1.5], positions), START_NS)
    stamps = [START_NS - SECOND, START_NS + SECOND // 2, START_NS + SECOND, START_NS + 9 * SECOND]
    expected = panda.home + np.array([[0.0], [0.0], [0.1], [0.2]])
    np.testing.assert_allclose(course.at(stamps), expected, atol=1e-12)


def test_a_command_starts_where_the_robot_is_led(panda):
    robot, here = panda.robot, panda.home + 0.01
    course = follow(command(["panda_joint2"], [[-0.5]], [2.0]), START_NS, robot, here, START_NS + SECOND)
    joint = robot.joint_names.index("panda_joint2")
    halfway = course.at([START_NS + SECOND, START_NS + SECOND * 3 // 2, START_NS + 2 * SECOND])
    np.testing.assert_allclose(halfway[:, joint], [here[joint], (here[joint] - 0.5) / 2, -0.5], atol=1e-12)
    others = [k for k in range(len(here)) if k != joint]
    np.testing.assert_allclose(halfway[:, others], np.tile(here[others], (3, 1)), atol=1e-12)


def test_points_that_are_past_are_left_out(panda):
    points, times = [[0.0], [0.4], [0.8]], [0.0, 1.0, 2.0]
    course = follow(
        command(["panda_joint1"], points, times), START_NS, panda.robot, panda.home, START_NS + SECOND * 3 // 2
    )
    assert course.at([START_NS + SECOND * 3 // 2])[0, 0] == pytest.approx(0.6)


def test_velocities_make_a_smooth_course_from_rest(panda):
    trajectory = command(["panda_joint1"], [[0.4], [0.8]], [1.0, 2.0], [[0.4], [0.0]])
    course = follow(trajectory, START_NS, panda.robot, panda.home, START_NS)
    stamps = START_NS + np.arange(0, 2 * SECOND, SECOND // 1000)
    speed = np.gradient(course.at(stamps)[:, 0], 1e-3)
    assert abs(speed[0]) < 2e-3
    assert speed[1000] == pytest.approx(0.4, abs=2e-3)
    assert np.abs(np.diff(speed)).max() < 0.01


@pytest.mark.parametrize(
    ("names", "point", "times", "reason"),
    [
        (["panda_joint9"], [0.0], [3.0], "panda_joint9; valid are panda_joint1"),
        (["panda_joint1", "wheel"], [0.0, 0.0], [3.0], "unknown joints wheel"),
        (["panda_joint4"], [0.3], [3.0], "panda_joint4 must stay within"),
        (["panda_joint1"], [0.3], [0.5], "ended 0.500 s ago"),
    ],
)
def test_what_does_not_fit_the_robot_is_refused(panda, names, point, times, reason):
    with pytest.raises(CommandError, match=reason):
        follow(command(names, [point], times), START_NS, panda.robot, panda.home, START_NS + SECOND)


def test_velocities_that_swing_beyond_a_limit_are_refused(panda):
    """Cubic from rest at 0 to 2.8 at 4 rad/s passes 2.8 once it goes on from there to a stop at 2.8."""
    limit = panda.robot.upper[0]
    here, start = np.where(np.arange(8) == 0, 0.0, panda.home), START_NS
    swings = command(["panda_joint1"], [[2.8], [2.8]], [2.0, 3.0], [[4.0], [0.0]])
    assert 2.8 + 4.0 * 4 / 27 > limit > 2.8
    with pytest.raises(CommandError, match=r"panda_joint1 must stay within .* lead it to 3.39259 2.333 s after"):
        follow(swings, start, panda.robot, here, start)
    stops = command(["panda_joint1"], [[limit], [limit], [0.0]], [2.0, 3.0, 4.0], [[0.0], [0.0], [0.0]])
    course = follow(stops, start, panda.robot, here, start)
    assert course.at([start + 2 * SECOND])[0, 0] == pytest.approx(limit)


def test_the_robot_reaches_a_commanded_posture(live, scene):
    goal = scene.positions(scene.initial_qpos) + np.array([0.3, -0.2, 0.2, -0.3, 0.2, 0.2, -0.4, -0.02])
    live.follow(command(scene.robot.robot.joint_names, [goal], [1.0]), START_NS)
    moments = run(live, 1.5)
    np.testing.assert_allclose(moments[-1].positions, goal, atol=2e-3)
    assert np.abs(moments[-1].velocities).max() < 0.02
    assert np.abs(moments[20].velocities).max() > 0.1
    for a, b in pairwise(moments):
        np.testing.assert_allclose((b.positions - a.positions) / 0.02, (a.velocities + b.velocities) / 2, atol=0.02)


def test_stopping_ends_a_motion_where_it_is(live, scene):
    live.follow(command(["panda_joint1"], [[1.2]], [2.0]), START_NS)
    run(live, 0.6)
    live.stop()
    here = live.moment().positions[0]
    after = run(live, 1.0)[-1]
    assert 0.1 < here < after.positions[0] < here + 0.1
    assert abs(after.velocities[0]) < 1e-3


def test_the_expert_does_what_it_does_in_an_episode(live, scene):
    live.follow(command(["panda_joint1"], [[1.0]], [0.5]), START_NS)
    run(live, 0.5)
    duration = live.run_expert()
    motion = simulate(scene)
    assert duration == pytest.approx(motion.times[-1])
    moments = run(live, duration, tick=0.05)
    np.testing.assert_allclose([moment.qpos for moment in moments], motion.qpos[1:], atol=1e-9)
    assert moments[-1].success
    assert not moments[0].success
    run(live, 0.5)
    assert live.moment().success, "the robot does not stay where the expert left it"


def test_a_reset_starts_anew_without_turning_back_the_clock(live, scene):
    live.run_expert()
    run(live, 1.0)
    stamp_ns = live.stamp_ns
    live.reset()
    np.testing.assert_array_equal(live.moment().positions, scene.positions(scene.initial_qpos))
    assert live.moment().stamp_ns == stamp_ns
    run(live, 0.5)
    np.testing.assert_allclose(live.moment().positions, scene.positions(scene.initial_qpos), atol=1e-3)


def test_physics_keep_up_with_small_lags_and_skip_large_ones(live):
    live.follow(command(["panda_joint1"], [[1.0]], [2.0]), START_NS)
    assert live.advance(START_NS + round(0.2 * SECOND))
    assert (live.stamp_ns, live.lost_ns) == (START_NS + round(0.2 * SECOND), 0)
    before = live.moment().positions[0]
    now_ns = live.stamp_ns + 10 * SECOND
    assert live.advance(now_ns)
    assert live.stamp_ns == now_ns
    assert live.lost_ns == 10 * SECOND - round(LARGEST_LAG * SECOND)
    assert 0.05 < live.moment().positions[0] - before < 0.2, "the command went on while physics stood still"


def test_a_clock_that_stands_or_jumps_back(live):
    live.advance(START_NS + SECOND // 10)
    assert not live.advance(START_NS + SECOND // 10)
    assert not live.advance(START_NS)
    assert not live.advance(START_NS - 5 * SECOND)
    assert live.stamp_ns == START_NS - 5 * SECOND
    assert live.advance(START_NS - 5 * SECOND + SECOND // 10)
    assert live.lost_ns == 0


def test_unstable_physics_are_told_and_reset(live, scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs it in the working folder
    live._data.qvel[0] = np.nan
    with pytest.raises(SimulationError, match="unstable"):
        live.advance(START_NS + SECOND // 10)
    run(live, 0.2)
    np.testing.assert_allclose(live.moment().positions, scene.positions(scene.initial_qpos), atol=1e-3)


def test_mimic_joints_follow_exactly(live, scene):
    leader = scene.model.joint("robot/panda_finger_joint1").qposadr[0]
    mimic = scene.model.joint("robot/panda_rightfinger/mimic").qposadr[0]
    live.follow(command(["panda_finger_joint1"], [[0.0]], [0.2]), START_NS)
    for moment in run(live, 0.4):
        assert moment.qpos[mimic] == moment.qpos[leader]


def wait_for(pictures):
    while pictures.is_busy:
        time.sleep(0.005)


def test_pictures_are_those_of_the_asked_state(scene):
    settings = RenderingSettings(shadows=False, samples=0)
    got = []
    pictures = LivePictures(scene, 31, 47, settings)
    try:
        assert pictures.draw(scene.initial_qpos, got.append)
        wait_for(pictures)
        assert pictures.draw(np.zeros(2), got.append)
        wait_for(pictures)
        with pytest.raises(RenderingError, match="qpos"):
            pictures.draw(scene.initial_qpos, got.append)
        assert pictures.draw(scene.initial_qpos, got.append)
    finally:
        pictures.close()
        pictures.close()
    with SceneRenderer(scene, 31, 47, settings) as renderer:
        expected = renderer.render(scene.initial_qpos)
    assert len(got) == 2
    for picture in got:
        np.testing.assert_array_equal(picture.rgb, expected.rgb)
        np.testing.assert_array_equal(picture.depth, expected.depth)


def test_pictures_that_cannot_be_drawn_are_refused(scene):
    with pytest.raises(RenderingError, match="height and width"):
        LivePictures(scene, 0, 47)
