"""Recorded columns as joints, and what tells success."""

import numpy as np
import pytest

from k4d_world_model.dataset.sources.recorded_fields import JointField, SuccessField, join_joints
from k4d_world_model.errors import RejectedEpisodeError, SourceError

TIMES = np.array([0.0, 0.5, 0.75])


def test_columns_of_several_fields_become_one_trajectory() -> None:
    fields = (JointField("arm", ("b", "", "a"), scale=0.5), JointField("hand", ("c",), scale=-2.0, offset=1.0))
    arm = np.arange(9.0).reshape(3, 3)
    joints = join_joints(fields, [arm, np.array([[0], [1], [2]], np.uint8)], TIMES)
    assert joints.joint_names == ("b", "a", "c")
    assert joints.positions.tolist() == [[0.0, 1.0, 1.0], [1.5, 2.5, -1.0], [3.0, 4.0, -3.0]]
    assert joints.times.tolist() == TIMES.tolist()


@pytest.mark.parametrize(
    ("fields", "values", "message"),
    [
        ((JointField("arm", ("a",)),), [np.zeros((3, 2))], r"its arm has shape \(3, 2\)"),
        ((JointField("arm", ("a",)),), [np.full((3, 1), np.nan)], "positions must be finite"),
        ((JointField("x", ("a",)), JointField("y", ("a",))), [np.zeros((3, 1))] * 2, "its joints are not usable"),
    ],
)
def test_what_does_not_fit_rejects_the_episode(
    fields: tuple[JointField, ...], values: list[np.ndarray], message: str
) -> None:
    with pytest.raises(RejectedEpisodeError, match=message):
        join_joints(fields, values, TIMES)


@pytest.mark.parametrize(
    ("names", "scale", "message"),
    [
        (("", ""), 1.0, "must be different names"),
        (("a", "a"), 1.0, "must be different names"),
        (("a",), 0.0, "scale not 0, got 0.0"),
        (("a",), np.inf, "must be finite"),
    ],
)
def test_unusable_joint_fields_are_refused(names: tuple[str, ...], scale: float, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        JointField("arm", names, scale)


def test_numbers_tell_success_at_any_frame() -> None:
    rule = SuccessField("reward", at_least=0.5)
    assert rule.judge(np.array([0.0, 0.7, 0.0])) is True
    assert rule.judge(np.array([[0.4], [0.0]])) is False
    assert SuccessField("done").judge(np.array([False, True])) is True


def test_text_tells_success_failure_or_neither() -> None:
    rule = SuccessField("path", success_text="/success/", failure_text="/failure/")
    assert rule.judge("/data/success/1") is True
    assert rule.judge("/data/failure/1") is False
    assert rule.judge("/data/not_successful/1") is None
    with pytest.raises(RejectedEpisodeError, match="contains both '/success/' and '/failure/'"):
        rule.judge("/success/failure/")
    with pytest.raises(SourceError, match="must differ, got 'x' twice"):
        SuccessField("path", success_text="x", failure_text="x")
