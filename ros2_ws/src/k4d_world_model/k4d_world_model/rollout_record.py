"""All of a rollout but its pictures and points, as named JSON texts that files and messages carry along."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, JointTrajectory
from k4d_kinematics.camera import RegionOfInterest
from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import KinematicsError
from k4d_world_model.errors import RolloutError, WorldModelError
from k4d_world_model.rollout import MetricFit, Provenance, Rollout

_KEYS = ("times", "camera", "T_cam_base", "joints", "fit", "provenance")
# What using a damaged number, list or mapping raises.
_DAMAGE = (KinematicsError, WorldModelError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


class Entry(NamedTuple):
    """A named JSON text. Numbers in it are those of the rollout to the last bit, NaN is null."""

    key: str
    value: str


def rollout_entries(rollout: Rollout) -> tuple[Entry, ...]:
    """What a rollout holds besides rgb, points and valid: times, camera, T_cam_base, joints, fit and provenance.

    Raises RolloutError when a number other than the fit's residual is not finite.
    """
    contents = (
        rollout.times.tolist(),
        _camera_content(rollout.camera),
        rollout.T_cam_base.tolist(),
        _joints_content(rollout.joints),
        _fit_content(rollout.fit),
        asdict(rollout.provenance),
    )
    try:
        return tuple(Entry(key, json.dumps(part, allow_nan=False)) for key, part in zip(_KEYS, contents, strict=True))
    except ValueError as error:
        raise RolloutError(f"times, poses, fit and camera of a rollout must be finite to be stored: {error}") from error


def rollout_of_entries(
    entries: Iterable[tuple[str, str]],
    rgb: NDArray[np.uint8],
    points: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> Rollout:
    """The rollout whose ``rollout_entries`` are among ``entries``, of pictures and points that were stored beside them.

    Raises RolloutError naming the entry that is missing or damaged, and where the parts do not fit each other.
    """
    texts = dict(entries)
    missing = [key for key in _KEYS if key not in texts]
    if missing:
        raise RolloutError(f"it lacks {', '.join(missing)}; it has {', '.join(sorted(texts)) or 'nothing'}")
    times = _read("times", texts, lambda content: np.array(content, np.float64))
    try:
        return Rollout(
            rgb=rgb,
            points=points,
            valid=valid,
            times=times,
            camera=_read("camera", texts, _camera),
            T_cam_base=_read("T_cam_base", texts, lambda content: np.array(content, np.float64)),
            fit=_read("fit", texts, _fit),
            provenance=_read("provenance", texts, lambda content: from_mapping(content, Provenance)),
            joints=_read("joints", texts, lambda content: _joints(content, times)),
        )
    except RolloutError:
        raise
    except WorldModelError as error:
        raise RolloutError(f"its parts do not fit each other: {error}") from error


def _read(key: str, texts: dict[str, str], build: Any) -> Any:
    try:
        return build(json.loads(texts[key]))
    except _DAMAGE as error:
        raise RolloutError(f"its {key} cannot be used: {error}") from error


def _camera_content(camera: Camera) -> dict[str, Any]:
    matrices = {name: getattr(camera, name).tolist() for name in ("K", "R", "P")}
    plain = ("height", "width", "D", "distortion_model", "binning_x", "binning_y", "frame_id")
    return {**{name: getattr(camera, name) for name in plain}, **matrices, "roi": asdict(camera.roi)}


def _camera(content: dict[str, Any]) -> Camera:
    return Camera(**{**content, "roi": RegionOfInterest(**content["roi"])})


def _joints_content(joints: JointTrajectory | None) -> dict[str, Any] | None:
    if joints is None:
        return None
    velocities = None if joints.velocities is None else joints.velocities.tolist()
    return {"joint_names": joints.joint_names, "positions": joints.positions.tolist(), "velocities": velocities}


def _joints(content: dict[str, Any] | None, times: NDArray[np.float64]) -> JointTrajectory | None:
    if content is None:
        return None
    return JointTrajectory(tuple(content["joint_names"]), times, content["positions"], content["velocities"])


def _fit_content(fit: MetricFit) -> dict[str, Any]:
    return {
        "scale": fit.scale.tolist(),
        "offset": fit.offset.tolist(),
        "residual": None if math.isnan(fit.residual) else fit.residual,
        "pixel_count": fit.pixel_count,
        "reason": fit.reason,
    }


def _fit(content: dict[str, Any]) -> MetricFit:
    scale, offset = (np.array(content[name], np.float64) for name in ("scale", "offset"))
    residual = content["residual"]
    if scale.shape != (3,) or offset.shape != (3,):
        raise RolloutError(f"scale and offset must be 3 numbers each, got {content['scale']} and {content['offset']}")
    return MetricFit(
        scale, offset, math.nan if residual is None else float(residual), int(content["pixel_count"]),
        str(content["reason"]),
    )  # fmt: skip
