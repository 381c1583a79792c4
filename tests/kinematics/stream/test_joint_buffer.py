"""The joint buffer against numpy's interpolation, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from k4d_kinematics.errors import JointStateError
from k4d_kinematics.joint_buffer import JointBuffer
from k4d_kinematics.robot import Robot

NAMES = ("slide", "gripper", "shoulder", "elbow")
EPOCH_NS = 1_760_000_000_123_456_789


def filled(arm: Robot, stamps_ns: list[int], rows: np.ndarray) -> JointBuffer:
    buffer = JointBuffer(arm, horizon_ns=1_000_000_000)
    for stamp_ns, row in zip(stamps_ns, rows, strict=True):
        buffer.add(stamp_ns, NAMES, row)
    return buffer


def test_interpolates_like_numpy_and_orders_by_name(arm: Robot) -> None:
    rng = np.random.default_rng(3)
    stamps_ns = (EPOCH_NS + np.cumsum(rng.integers(1_000_000, 30_000_000, 11))).tolist()
    rows = rng.normal(size=(11, 4))
    buffer = filled(arm, stamps_ns, rows)
    since = np.array(stamps_ns) - EPOCH_NS
    for asked in [*stamps_ns, *rng.integers(stamps_ns[0], stamps_ns[-1], 20).tolist()]:
        expected = [np.interp(asked - EPOCH_NS, since, rows[:, NAMES.index(name)]) for name in arm.joint_names]
        np.testing.assert_allclose(buffer.at(int(asked)), expected, atol=1e-12)


def test_a_nanosecond_outside_is_refused_with_the_range(arm: Robot) -> None:
    buffer = filled(arm, [EPOCH_NS, EPOCH_NS + 5], np.zeros((2, 4)))
    buffer.at(EPOCH_NS + 5)
    for asked in (EPOCH_NS - 1, EPOCH_NS + 6):
        with pytest.raises(JointStateError, match="are known from 1760000000"):
            buffer.at(asked)


def test_forgets_what_is_older_than_its_horizon(arm: Robot) -> None:
    buffer = filled(arm, [EPOCH_NS + k * 400_000_000 for k in range(5)], np.zeros((5, 4)))
    assert len(buffer) == 3
    with pytest.raises(JointStateError):
        buffer.at(EPOCH_NS + 400_000_000)


@pytest.mark.parametrize(
    ("names", "row", "reason"),
    [
        (("shoulder", "elbow"), [0.0, 0.0], "slide"),
        (NAMES, [0.0, 0.0, np.nan, 0.0], "finite"),
        (NAMES, [0.0, 0.0, 0.0], "shape"),
    ],
)
def test_refuses_bad_states_and_keeps_the_good_ones(arm: Robot, names: tuple[str, ...], row: list, reason: str) -> None:
    buffer = filled(arm, [EPOCH_NS], np.ones((1, 4)))
    with pytest.raises(JointStateError, match=reason):
        buffer.add(EPOCH_NS + 1, names, row)
    assert len(buffer) == 1
    np.testing.assert_array_equal(buffer.newest, np.ones(3))


def test_refuses_time_that_stands_or_goes_back(arm: Robot) -> None:
    buffer = filled(arm, [EPOCH_NS], np.zeros((1, 4)))
    for stamp_ns in (EPOCH_NS, EPOCH_NS - 10):
        with pytest.raises(JointStateError, match="order of time"):
            buffer.add(stamp_ns, NAMES, np.zeros(4))
    with pytest.raises(JointStateError, match="order of time, got two of the same stamp"):
        buffer.add(EPOCH_NS, NAMES, np.zeros(4))
    with pytest.raises(JointStateError, match=r"order of time, got one 0\.000000010 s before the newest"):
        buffer.add(EPOCH_NS - 10, NAMES, np.zeros(4))
    buffer.clear()
    with pytest.raises(JointStateError, match="no joint state"):
        _ = buffer.newest
    buffer.add(EPOCH_NS - 10, NAMES, np.zeros(4))


def test_knows_a_recording_that_is_played_again(arm: Robot) -> None:
    buffer = JointBuffer(arm, horizon_ns=1_000_000_000)
    buffer.add(EPOCH_NS, NAMES, np.zeros(4))
    for stamp_ns, left_behind in ((EPOCH_NS - 50, False), (EPOCH_NS - 60, False), (EPOCH_NS - 40, True)):
        with pytest.raises(JointStateError, match="order of time"):
            buffer.add(stamp_ns, NAMES, np.zeros(4))
        assert buffer.is_left_behind == left_behind
    buffer.add(EPOCH_NS + 1, NAMES, np.zeros(4))
    assert not buffer.is_left_behind, "stragglers between good states are no new recording"


def test_refuses_a_state_without_stamp(arm: Robot) -> None:
    with pytest.raises(JointStateError, match="must carry a stamp"):
        JointBuffer(arm, horizon_ns=1).add(0, NAMES, np.zeros(4))


def test_the_newest_may_be_asked_from_another_thread(arm: Robot) -> None:
    buffer = JointBuffer(arm, horizon_ns=1)
    buffer.add(1, NAMES, np.zeros(4))

    def fill() -> None:
        for stamp_ns in range(2, 20_000):
            buffer.add(stamp_ns, NAMES, np.full(4, float(stamp_ns)))

    with ThreadPoolExecutor(1) as pool:
        filling, seen = pool.submit(fill), 0.0
        while not filling.done():
            newest = buffer.newest
            assert newest[0] == newest[2] >= seen, "not the newest state, or a mix of two"
            seen = newest[0]
        filling.result()


def test_needs_a_horizon(arm: Robot) -> None:
    with pytest.raises(JointStateError, match="> 0 ns, got 0"):
        JointBuffer(arm, 0)


def test_a_continuous_joint_goes_the_short_way_round() -> None:
    robot = Robot.from_urdf(
        """<robot name="r"><link name="a"/><link name="b"/><link name="c"/>
        <joint name="turn" type="continuous"><parent link="a"/><child link="b"/></joint>
        <joint name="bend" type="revolute"><parent link="b"/><child link="c"/>
          <limit lower="-4" upper="4" effort="1" velocity="1"/></joint></robot>"""
    )
    buffer = JointBuffer(robot, horizon_ns=1_000_000_000)
    for stamp_ns, position in ((EPOCH_NS, 3.13), (EPOCH_NS + 10, -3.13)):
        buffer.add(stamp_ns, robot.joint_names, [position, position])
    at_half = dict(zip(robot.joint_names, buffer.at(EPOCH_NS + 5), strict=True))
    assert abs(at_half["turn"]) == pytest.approx(np.pi)
    assert at_half["bend"] == pytest.approx(0.0)
