"""Under which conditions figures were measured: only those of one protocol may be compared."""

from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from k4d_world_model.content_hash import content_hash
from k4d_world_model.dataset.building.build_settings import flat_settings, source_settings
from k4d_world_model.dataset.building.manifest import Value, differences, read_manifest
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.errors import EvaluationError
from k4d_world_model.evaluation.cloud_metrics import F_SCORE_THRESHOLD
from k4d_world_model.evaluation.evaluation_settings import EvaluationSettings
from k4d_world_model.evaluation.image_metrics import SSIM_SIGMA_PX
from k4d_world_model.evaluation.regions import COLOUR_STEP, MOVED_BY

DEFINITIONS = 2
"""Raise it whenever a figure's definition changes."""

# Packages that change figures, or the episodes that are simulated.
_PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "mujoco", "k4d_simulation", "k4d_kinematics")


def protocol_of(
    settings: EvaluationSettings,
    read_frames: int,
    size: tuple[int, int, int],
    episode_ids: Iterable[str],
    weights: Mapping[str, str],
    robots: Mapping[str, str],
) -> dict[str, Value]:
    """All that figures depend on besides who is evaluated, flat, for hashing and for telling what differs.

    ``read_frames`` are read of every episode, ``size`` (frames, height, width) is scored; ``weights`` are those of the
    judging networks, ``robots`` the sha256 of each domain's robot. A data set is known by its samples' checksums, a
    simulation by its YAML and those that it names, and so is the robot of data sets.
    """
    values: dict[str, Value] = {
        "definitions": DEFINITIONS,
        "f_score_threshold": F_SCORE_THRESHOLD,
        "ssim_sigma_px": SSIM_SIGMA_PX,
        "colour_step": COLOUR_STEP,
        "moved_by": MOVED_BY,
        "cloud_sample": settings.cloud_sample,
        "read_frames": read_frames,
        "frames": size[0],
        "height": size[1],
        "width": size[2],
        "seed": settings.seed,
        "episodes": content_hash(sorted(episode_ids)),
        **{f"weights.{name}": value for name, value in weights.items()},
        **{f"robot_sha256.{domain}": value for domain, value in robots.items()},
        **{f"version.{name}": _version(name) for name in _PACKAGES},
    }
    for path in settings.sources:
        values |= source_settings(path, f"source.{path.stem}")
    if settings.data:
        values |= flat_settings("robot", settings.robot.name, settings.robot.parent)
    for root in settings.data:
        values[f"data.{root.name}.{settings.split}"] = _samples_hash(root)
    return values


def check_same(before: Mapping[str, Value], now: Mapping[str, Value], where: str) -> None:
    """Raises EvaluationError naming what differs between two protocols, or between their data."""
    different = differences(before, now)
    if different:
        raise EvaluationError(f"{where}: figures of different protocols cannot be compared: {'; '.join(different)}")


def _samples_hash(root: Path) -> str:
    layout = NativeLayout(root)
    return content_hash({sample.episode_id: sample.sha256 for sample in read_manifest(layout).samples})


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
