"""What annotations do to an episode, and which are refused."""

from dataclasses import replace

import numpy as np
import pytest

from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.annotation.applying import apply_annotations
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError


def scene(episode: Episode) -> np.ndarray:
    points = np.random.default_rng(2).uniform(0.5, 2.0, episode.rgb.shape).astype(np.float32)
    points[:, 4, 5] = np.nan  # within the mask
    return points


def test_the_robot_is_the_scene_within_the_mask(episode: Episode, mask: np.ndarray) -> None:
    points = scene(episode)
    expected_mask = mask.copy()
    expected_mask[:, 4, 5] = False
    together = apply_annotations(episode, Annotations("st", points, robot_mask=mask))
    first = apply_annotations(episode, Annotations("sam", robot_mask=mask))
    assert first.robot_points is None
    np.testing.assert_array_equal(first.robot_mask, mask)
    one_after_the_other = apply_annotations(first, Annotations("st", points))
    for annotated in (together, one_after_the_other):
        np.testing.assert_array_equal(annotated.robot_mask, expected_mask)
        np.testing.assert_array_equal(annotated.robot_points[expected_mask], points[expected_mask])
        assert np.isnan(annotated.robot_points[~expected_mask]).all()
        np.testing.assert_array_equal(annotated.scene_points, points)
        assert annotated.scale == "affine"
    assert one_after_the_other.info.provenance == "a recording; robot_mask by sam; scene_points by st"


def test_captions_replace_only_what_was_found(episode: Episode) -> None:
    episode = replace(episode, info=replace(episode.info, caption="old", scene_caption="a table"))
    info = apply_annotations(episode, Annotations("vlm", caption="It pushes.")).info
    assert (info.caption, info.scene_caption) == ("It pushes.", "a table")


def test_robot_points_of_joints_are_not_mixed_with_others(episode: Episode, mask: np.ndarray) -> None:
    robot_points = np.where(np.stack([mask] * 3, axis=-1), np.float32(1.5), np.float32(np.nan))
    with_robot = replace(episode, robot_points=robot_points, robot_mask=mask)
    points = scene(episode)
    metric = apply_annotations(with_robot, Annotations("st", points, "metric"))
    np.testing.assert_array_equal(metric.robot_points, robot_points)
    assert metric.scale == "metric"
    with pytest.raises(AnnotationError, match="got affine scene and metric robot points"):
        apply_annotations(with_robot, Annotations("st", points))
    with pytest.raises(AnnotationError, match="got metric scene and affine robot points"):
        apply_annotations(replace(with_robot, scale="affine"), Annotations("st", points, "metric"))
    with pytest.raises(AnnotationError, match="robot points already"):
        apply_annotations(with_robot, Annotations("sam", robot_mask=mask))
    other = np.roll(mask, 2, axis=2)
    replaced = apply_annotations(with_robot, Annotations("both", points, robot_mask=other), replace_robot=True)
    np.testing.assert_array_equal(replaced.robot_mask, other & np.isfinite(points[..., 2]))
    with pytest.raises(AnnotationError, match="needs a robot mask"):
        apply_annotations(with_robot, Annotations("st", points), replace_robot=True)


def test_what_does_not_fit_is_refused(episode: Episode, mask: np.ndarray) -> None:
    points = scene(episode)
    half, infinite, behind, sparse = points.copy(), points.copy(), points.copy(), points.copy()
    half[1, 2, 3, 0] = np.nan
    infinite[1, 2, 3] = np.inf
    behind[1, 2, 3, 2] = -0.25
    sparse[3] = np.nan
    sparse[3, 0, :10] = 1.0
    full = mask.copy()
    full[2] = True
    unseen = np.zeros_like(mask)
    unseen[:, 4, 5] = True
    wrong = [
        (Annotations("t", points[:, :-1]), r"pictures' shape \(5, 12, 18, 3\), got \(5, 11, 18, 3\)"),
        (Annotations("t", half), "three finite coordinates or three NaN"),
        (Annotations("t", infinite), "three finite coordinates or three NaN"),
        (Annotations("t", behind, "metric"), r"got z = -0\.25 m"),
        (Annotations("t", sparse), "picture 3 has 4.63%"),
        (Annotations("t", robot_mask=mask[:4]), r"shape \(5, 12, 18\), got \(4, 12, 18\)"),
        (Annotations("t", robot_mask=np.zeros_like(mask)), "empty in all pictures"),
        (Annotations("t", robot_mask=full), "fills picture 2"),
        (Annotations("t", points, robot_mask=unseen), "none of the 5 pixels"),
    ]
    for annotations, message in wrong:
        with pytest.raises(AnnotationError, match=message):
            apply_annotations(episode, annotations)
    apply_annotations(episode, Annotations("t", behind))  # affine depths may have any sign


def test_annotations_check_themselves(mask: np.ndarray) -> None:
    wrong = {
        "neither points, nor masks": {},
        "must be float32": {"scene_points": np.zeros((2, 3, 4, 3))},
        "must be bool": {"robot_mask": mask.astype(np.uint8)},
        "'metric' or 'affine'": {"robot_mask": mask, "scale": "exact"},
        "1 to 10000 characters, got 1": {"caption": " "},
        "got 10001": {"scene_caption": "x" * 10_001},
    }
    for message, fields in wrong.items():
        with pytest.raises(AnnotationError, match=message):
            Annotations("t", **fields)
    with pytest.raises(AnnotationError, match="tool"):
        Annotations("", robot_mask=mask)
