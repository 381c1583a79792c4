"""JointTrajectory: what it refuses, and resampling against numpy's and scipy's interpolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.interpolate import CubicHermiteSpline

from k4d_kinematics.errors import JointStateError, KinematicsError, TrajectoryError
from k4d_kinematics.trajectory import JointTrajectory

NAMES = ("a", "b", "c")
TIMES = np.array([0.5, 0.7, 1.5, 1.6, 3.0])  # (T,) = (5,)
POSITIONS = np.random.default_rng(0).normal(size=(5, 3))
VELOCITIES = np.random.default_rng(1).normal(size=(5, 3))


def test_from_positions_at_a_rate_starts_at_zero():
    trajectory = JointTrajectory.from_positions(NAMES, POSITIONS, rate_hz=20.0)
    np.testing.assert_allclose(trajectory.times, [0.0, 0.05, 0.1, 0.15, 0.2])
    np.testing.assert_array_equal(trajectory.positions, POSITIONS)
    assert (len(trajectory), trajectory.duration) == (5, pytest.approx(0.2))


def test_the_source_arrays_are_not_shared():
    positions = POSITIONS.copy()
    trajectory = JointTrajectory(NAMES, TIMES, positions)
    positions[:] = 7.0
    np.testing.assert_array_equal(trajectory.positions, POSITIONS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": []}, "at least one"),
        ({"times": [[0.0, 1.0]]}, "one row"),
        ({"times": [0.5, 0.7, 0.7, 1.6, 3.0]}, "time 2 is 0.7 s after 0.7 s"),
        ({"times": [0.5, 0.7, 1.5, 1.4, 3.0]}, "time 3 is 1.4 s after 1.5 s"),
        ({"times": [0.5, 0.7, 1.5, np.nan, 3.0]}, r"times must be finite, got nan at index \(3,\)"),
        ({"positions": POSITIONS[:4]}, r"shape \(5, 3\), got \(4, 3\)"),
        ({"positions": POSITIONS.T}, r"shape \(5, 3\), got \(3, 5\)"),
        ({"positions": np.where(np.arange(15).reshape(5, 3) == 7, np.inf, 0.0)}, r"got inf at index \(2, 1\)"),
        ({"positions": [[1.0], [1.0, 2.0]]}, "rows of equal length"),
        ({"positions": "abc"}, "must be numbers"),
        ({"velocities": VELOCITIES[:, :2]}, r"velocities must have shape \(5, 3\)"),
        ({"velocities": VELOCITIES * np.nan}, "velocities must be finite"),
        ({"joint_names": ("a", "b", "a")}, r"unique, got \['a'\]"),
        ({"joint_names": ("a", "", "c")}, "non-empty"),
        ({"joint_names": "abc"}, "in a tuple, got 'abc'"),
        ({"joint_names": ("a", "b")}, r"shape \(5, 2\)"),
    ],
)
def test_wrong_values_are_refused_and_named(changes, message):
    arguments = {"joint_names": NAMES, "times": TIMES, "positions": POSITIONS, **changes}
    with pytest.raises(TrajectoryError, match=message):
        JointTrajectory(**arguments)


@pytest.mark.parametrize("timing", [{}, {"times": TIMES, "rate_hz": 5.0}, {"rate_hz": 0.0}, {"rate_hz": np.nan}])
def test_positions_need_times_or_a_valid_rate(timing):
    with pytest.raises(TrajectoryError, match="rate_hz"):
        JointTrajectory.from_positions(NAMES, POSITIONS, **timing)


def test_planned_points_start_at_the_given_time():
    trajectory = JointTrajectory.from_points(NAMES, POSITIONS.tolist(), TIMES, VELOCITIES, start_time=100.0)
    np.testing.assert_allclose(trajectory.times, TIMES + 100.0)
    np.testing.assert_array_equal(trajectory.velocities, VELOCITIES)
    with pytest.raises(TrajectoryError, match=r"got -0\.0999\d* at point 0"):
        JointTrajectory.from_points(NAMES, POSITIONS, TIMES - 0.6)
    with pytest.raises(TrajectoryError, match="rows of equal length"):
        JointTrajectory.from_points(NAMES, POSITIONS, TIMES, [[1.0, 2.0, 3.0], [], [], [], []])


def test_linear_resampling_equals_numpy():
    trajectory = JointTrajectory(NAMES, TIMES, POSITIONS)
    moments = np.array([0.5, 0.55, 0.7, 1.11, 1.55, 2.9, 3.0])
    result = trajectory.resample(moments)
    expected = np.stack([np.interp(moments, TIMES, column) for column in POSITIONS.T], axis=1)
    np.testing.assert_allclose(result.positions, expected, atol=1e-14)
    np.testing.assert_array_equal(result.times, moments)
    assert result.velocities is None


def test_resampling_with_velocities_equals_scipys_hermite_spline():
    trajectory = JointTrajectory(NAMES, TIMES, POSITIONS, VELOCITIES)
    moments = np.array([0.5, 0.55, 0.7, 1.11, 1.55, 2.9, 3.0])
    spline = CubicHermiteSpline(TIMES, POSITIONS, VELOCITIES)
    result = trajectory.resample(moments)
    np.testing.assert_allclose(result.positions, spline(moments), atol=1e-12)
    np.testing.assert_allclose(result.velocities, spline(moments, 1), atol=1e-12)


@pytest.mark.parametrize("asked", [0.4999999, 3.0000001, -1.0])
def test_resampling_outside_the_range_is_refused(asked):
    with pytest.raises(TrajectoryError, match=f"from 0.5 s to 3.0 s cannot be sampled at {asked} s"):
        JointTrajectory(NAMES, TIMES, POSITIONS).resample(np.sort([1.0, asked]))


def test_uniform_resampling_keeps_both_ends():
    result = JointTrajectory(NAMES, TIMES, POSITIONS).resample_uniform()
    assert len(result) == 49
    assert (result.times[0], result.times[-1]) == (0.5, 3.0)
    np.testing.assert_allclose(np.diff(result.times), 2.5 / 48)
    np.testing.assert_array_equal(result.positions[[0, -1]], POSITIONS[[0, -1]])


def test_uniform_resampling_needs_a_span():
    single = JointTrajectory(NAMES, TIMES[:1], POSITIONS[:1])
    np.testing.assert_array_equal(single.resample_uniform(1).positions, POSITIONS[:1])
    with pytest.raises(TrajectoryError, match=r"1 samples spans 0.0 s and cannot give 49"):
        single.resample_uniform()
    for count in (0, 1, -3):
        with pytest.raises(TrajectoryError, match=f"cannot give {count}"):
            JointTrajectory(NAMES, TIMES, POSITIONS).resample_uniform(count)


def test_reordering_moves_columns_and_names_what_is_missing():
    trajectory = JointTrajectory(NAMES, TIMES, POSITIONS, VELOCITIES).reorder(("c", "a"))
    np.testing.assert_array_equal(trajectory.positions, POSITIONS[:, [2, 0]])
    np.testing.assert_array_equal(trajectory.velocities, VELOCITIES[:, [2, 0]])
    with pytest.raises(JointStateError, match=r"'b' is missing .* \('c', 'a'\)"):
        trajectory.reorder(NAMES)


def test_unwrapping_takes_the_short_way_for_the_named_joints_only():
    angles = np.linspace(0.0, 20.0, 31)
    wrapped = np.stack([np.angle(np.exp(1j * angles)), np.where(angles < 10, 3.0, -3.0)], axis=1)
    result = JointTrajectory.from_positions(("wheel", "arm"), wrapped, rate_hz=10.0).unwrap(["wheel"])
    np.testing.assert_allclose(result.positions[:, 0], angles, atol=1e-12)
    np.testing.assert_array_equal(result.positions[:, 1], wrapped[:, 1])


def test_held_joints_stand_still():
    whole = JointTrajectory(NAMES, TIMES, POSITIONS, VELOCITIES).with_held_joints(["finger", "thumb"], [0.02, 0.03])
    assert whole.joint_names == (*NAMES, "finger", "thumb")
    np.testing.assert_array_equal(whole.positions[:, 3:], np.tile([0.02, 0.03], (5, 1)))
    assert (whole.velocities[:, 3:] == 0.0).all()
    with pytest.raises(TrajectoryError, match=r"unique, got \['b'\]"):
        JointTrajectory(NAMES, TIMES, POSITIONS).with_held_joints(["b"], [0.0])


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
ARRAYS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=NUMBERS)
ANY_NAMES = st.lists(st.sampled_from(["", "a", "b", "c", "\x00"]), max_size=4).map(tuple)
ANY_VALUES = st.one_of(ARRAYS, st.lists(st.one_of(NUMBERS, st.lists(NUMBERS, max_size=3), st.none()), max_size=4))


@settings(deadline=None, max_examples=300)
@given(ANY_NAMES, ANY_VALUES, ANY_VALUES, st.one_of(st.none(), ANY_VALUES))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_construction_is_valid_or_named(names, times, positions, velocities):
    try:
        trajectory = JointTrajectory(names, times, positions, velocities)
    except KinematicsError:
        return
    assert trajectory.positions.shape == (len(trajectory), len(names))
    assert np.isfinite(trajectory.positions).all()
    assert np.isfinite(trajectory.times).all()
    assert (trajectory.times[1:] > trajectory.times[:-1]).all()


@settings(deadline=None, max_examples=300)
@given(st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_resampling_is_valid_or_named(data):
    finite = st.floats(allow_nan=False, allow_infinity=False)
    times = sorted(data.draw(st.lists(finite, min_size=1, max_size=6, unique=True)))
    samples = hnp.arrays(np.float64, (len(times), 2), elements=finite)
    velocities = data.draw(st.one_of(st.none(), samples))
    try:
        trajectory = JointTrajectory(("a", "b"), times, data.draw(samples), velocities)
    except TrajectoryError:
        assert (np.diff(times) == 0).any()
        return
    asked = data.draw(st.one_of(ANY_VALUES, st.integers(-2, 60), st.lists(st.floats(times[0], times[-1]), max_size=5)))
    try:
        result = trajectory.resample_uniform(asked) if isinstance(asked, int) else trajectory.resample(asked)
    except KinematicsError:
        return
    assert np.isfinite(result.positions).all()
    assert result.times[0] >= times[0]
    assert result.times[-1] <= times[-1]
    if velocities is None:
        slack = 1e-9 * (1.0 + np.abs(trajectory.positions).max())
        assert (result.positions >= trajectory.positions.min(axis=0) - slack).all()
        assert (result.positions <= trajectory.positions.max(axis=0) + slack).all()
