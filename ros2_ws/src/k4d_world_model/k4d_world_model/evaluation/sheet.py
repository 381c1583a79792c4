"""Rollouts beside what really happened, as a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from k4d_kinematics.pictures import Picture, contact_sheet
from k4d_world_model.evaluation.prediction import Prediction
from k4d_world_model.evaluation.truth import Truth
from k4d_world_model.rollout import Rollout

MISSING_COLOUR = (120, 0, 60)


def comparison_sheet(
    truth: Truth,
    rollouts: Sequence[Rollout | Prediction],
    *,
    names: Sequence[str] = (),
    moments: int = 6,
    width_px: int = 240,
) -> Picture:
    """``moments`` frames side by side, first and last among them; rows: RGB of the truth and of each rollout in order,
    then their depths on the truth's scale, near is bright, missing points purple; no depths of RGB only.

    With ``names``, one a rollout, every row says whose it is.
    """
    chosen = np.unique(np.linspace(0, len(truth.rgb) - 1, moments).round().astype(int))
    known = truth.points[..., 2][np.isfinite(truth.points[..., 2])]
    near, far = (float(known.min()), float(np.percentile(known, 98))) if known.size else (0.0, 1.0)
    pictures = [truth.rgb, *(rollout.rgb for rollout in rollouts)]
    points = [truth.points, *(rollout.points for rollout in rollouts if rollout.points is not None)]
    rows = [[picture[t] for t in chosen] for picture in pictures]
    rows += [[_depth_picture(part[t, ..., 2], near, far) for t in chosen] for part in points]
    sheet = contact_sheet(rows, width_px=width_px)
    if not names:
        return sheet
    named = zip(names, rollouts, strict=True)
    labels = ["truth", *names, "truth, depth", *(f"{name}, depth" for name, one in named if one.points is not None)]
    return _labelled(sheet, labels)


def _labelled(sheet: Picture, labels: Sequence[str]) -> Picture:
    """The sheet with a label in the corner of each of its rows, which are of one height."""
    image = Image.fromarray(sheet)
    pen = ImageDraw.Draw(image)
    for k, label in enumerate(labels):
        corner = (3, 2 + k * (len(sheet) // len(labels)))
        pen.rectangle(pen.textbbox(corner, label), fill=(0, 0, 0))
        pen.text(corner, label, fill=(255, 255, 255))
    return np.asarray(image)


def _depth_picture(depth: NDArray[np.float32], near: float, far: float) -> Picture:
    level = 255.0 - 215.0 * np.clip((depth - near) / max(far - near, 1e-9), 0.0, 1.0)
    picture = np.repeat(np.nan_to_num(level).astype(np.uint8)[..., None], 3, axis=-1)
    picture[~np.isfinite(depth)] = MISSING_COLOUR
    return picture
