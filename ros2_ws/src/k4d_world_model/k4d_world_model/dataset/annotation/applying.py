"""Annotations put into an episode, after they were held against it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

_LEAST_SHARE = 0.05


def apply_annotations(episode: Episode, annotations: Annotations, *, replace_robot: bool = False) -> Episode:
    """The episode with what a tool found in it, and the tool's name in its provenance.

    Where there are scene points and a mask but no robot points, the robot points are the scene's within the mask, and
    the mask keeps only pixels that have points (Kinema4D, G.2). Robot points of the joints stay, and are not mixed with
    others: they allow only metric scene points and no other mask, unless ``replace_robot`` drops them for the mask.

    Raises AnnotationError when shapes do not fit the episode, points are half missing, behind the camera or too few in
    a picture, or the mask is empty or fills a picture.
    """
    _check_points(episode, annotations)
    _check_mask(episode, annotations)
    if replace_robot and annotations.robot_mask is None:
        raise AnnotationError("replacing the robot needs a robot mask, which the tool did not give")
    if replace_robot:
        episode = replace(episode, robot_points=None, robot_mask=None)
    if episode.robot_points is not None:
        _check_beside_robot(episode, annotations)
    robot_mask = episode.robot_mask if annotations.robot_mask is None else annotations.robot_mask
    scene, scale = episode.scene_points, episode.scale
    if annotations.scene_points is not None:
        scene, scale = annotations.scene_points, annotations.scale
    robot_points = episode.robot_points
    if robot_points is None and robot_mask is not None and scene is not None:
        robot_points, robot_mask = _within(scene, robot_mask)
    info = episode.info
    provenance = f"{info.provenance}; " * bool(info.provenance) + (
        f"{', '.join(annotations.contents)} by {annotations.tool}"
    )
    info = replace(
        info,
        caption=info.caption if annotations.caption is None else annotations.caption,
        scene_caption=info.scene_caption if annotations.scene_caption is None else annotations.scene_caption,
        provenance=provenance,
    )
    return replace(
        episode, info=info, scale=scale, scene_points=scene, robot_points=robot_points, robot_mask=robot_mask
    )


def _within(scene: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The scene's points within the mask, and the mask of those."""
    seen = mask & np.isfinite(scene[..., 2])
    if not seen.any():
        raise AnnotationError(f"none of the {mask.sum()} pixels of the robot mask has a scene point")
    return np.where(seen[..., None], scene, np.float32(np.nan)), seen


def _check_points(episode: Episode, annotations: Annotations) -> None:
    points = annotations.scene_points
    if points is None:
        return
    if points.shape != episode.rgb.shape:
        raise AnnotationError(f"scene_points must have the pictures' shape {episode.rgb.shape}, got {points.shape}")
    finite = np.isfinite(points)
    if (finite.any(axis=-1) != finite.all(axis=-1)).any() or np.isinf(points).any():
        raise AnnotationError("a scene point must have three finite coordinates or three NaN")
    shares = finite[..., 2].mean(axis=(1, 2))  # (T,)
    if shares.min() < _LEAST_SHARE:
        raise AnnotationError(
            f"each picture needs scene points on at least {_LEAST_SHARE:.0%} of its pixels, "
            f"picture {shares.argmin()} has {shares.min():.2%}"
        )
    if annotations.scale == "metric" and (points[..., 2] <= 0).any():
        raise AnnotationError(f"metric scene points must lie before the camera, got z = {np.nanmin(points[..., 2])} m")


def _check_mask(episode: Episode, annotations: Annotations) -> None:
    mask = annotations.robot_mask
    if mask is None:
        return
    if mask.shape != episode.rgb.shape[:3]:
        raise AnnotationError(f"robot_mask must have the pictures' shape {episode.rgb.shape[:3]}, got {mask.shape}")
    if not mask.any():
        raise AnnotationError("the robot mask is empty in all pictures")
    full = mask.all(axis=(1, 2))  # (T,)
    if full.any():
        raise AnnotationError(f"the robot mask fills picture {full.argmax()}")


def _check_beside_robot(episode: Episode, annotations: Annotations) -> None:
    if annotations.robot_mask is not None:
        raise AnnotationError("the episode has robot points already; ask to replace the robot, or for no mask")
    scales = (episode.scale, annotations.scale)
    if annotations.scene_points is not None and scales != ("metric", "metric"):
        raise AnnotationError(
            f"scene points can stand beside the episode's robot points only if both are metric, got {scales[1]} scene "
            f"and {scales[0]} robot points; give metric points, or a mask too and ask to replace the robot"
        )
