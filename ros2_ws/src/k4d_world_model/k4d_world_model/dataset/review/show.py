"""Episodes for people: a contact sheet of what is in one, and a few lines on it."""

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics.pictures import Picture, contact_sheet
from k4d_world_model.dataset.episode import Episode

# Colours: scene points that are missing; and the robot where it is seen, where the scene hides it, and where it lies
# before what the camera sees, which cannot be.
MISSING_COLOUR, SEEN_COLOUR, HIDDEN_COLOUR, IMPOSSIBLE_COLOUR = (120, 0, 60), (40, 220, 60), (60, 140, 255), (255, 0, 0)


def episode_sheet(episode: Episode, *, columns: int = 5, width_px: int = 180, tolerance: float = 0.02) -> Picture:
    """A contact sheet: ``columns`` frames side by side, below each other RGB, scene depth (near is bright) and robot.

    The robot's row has it green where it is seen, blue where the scene hides it, red where it is more than
    ``tolerance`` metres in front of the scene. Rows of what the episode does not have are left out.
    """
    chosen = np.unique(np.linspace(0, episode.frame_count - 1, columns).round().astype(int))
    rows = [[episode.rgb[t] for t in chosen]]
    if episode.scene_points is not None:
        rows.append(_depth_pictures(episode.scene_points[chosen, ..., 2]))
    if episode.robot_mask is not None:
        rows.append([_robot_picture(episode, int(t), tolerance) for t in chosen])
    return contact_sheet(rows, width_px=width_px)


def describe(episode: Episode) -> str:
    """What an episode is and holds, one fact a line."""
    info, (count, height, width) = episode.info, episode.rgb.shape[:3]
    facts = [
        ("episode", info.episode_id),
        ("stratum", info.stratum),
        ("robot", info.robot),
        ("caption", info.caption),
        ("scene", info.scene_caption),
        ("seed", "" if info.seed is None else str(info.seed)),
        ("provenance", info.provenance),
        ("pictures", f"{count} x {height} x {width}"),
        ("times", f"{episode.times[0]:g} s to {episode.times[-1]:g} s"),
        ("points", f"{episode.scale}; scene {_range(episode.scene_points)}; robot {_range(episode.robot_points)}"),
        ("robot mask", _mask_shares(episode.robot_mask)),
        ("camera", "not calibrated" if episode.camera is None else _intrinsics(episode)),
        ("joints", "none" if episode.joints is None else ", ".join(episode.joints.joint_names)),
    ]
    return "\n".join(f"{name:<11} {fact}" for name, fact in facts if fact)


def _depth_pictures(depths: NDArray[np.float32]) -> list[Picture]:
    """Depths (n, H, W) as grey pictures on one scale, which ends at the 98th percentile."""
    known = depths[np.isfinite(depths)]
    near, far = (np.min(known), np.percentile(known, 98)) if known.size else (0.0, 1.0)
    level = 255.0 - 215.0 * np.clip((depths - near) / max(far - near, 1e-9), 0.0, 1.0)
    pictures = np.repeat(np.nan_to_num(level).astype(np.uint8)[..., None], 3, axis=-1)
    pictures[~np.isfinite(depths)] = MISSING_COLOUR
    return list(pictures)


def _robot_picture(episode: Episode, t: int, tolerance: float) -> Picture:
    assert episode.robot_mask is not None
    mask = episode.robot_mask[t]
    colours = np.zeros((*mask.shape, 3), np.float32)
    colours[mask] = SEEN_COLOUR
    if episode.scene_points is not None and episode.robot_points is not None and episode.scale == "metric":
        beyond = episode.scene_points[t, ..., 2] - episode.robot_points[t, ..., 2]  # > 0: robot before the scene
        colours[mask & (beyond < -tolerance)] = HIDDEN_COLOUR
        colours[mask & (beyond > tolerance)] = IMPOSSIBLE_COLOUR
    grey = episode.rgb[t].mean(axis=-1, keepdims=True)  # (H, W, 1)
    return np.asarray(np.where(mask[..., None], 0.4 * grey + 0.6 * colours, grey), np.uint8)


def _range(points: NDArray[np.float32] | None) -> str:
    if points is None:
        return "not there"
    depth = points[..., 2][np.isfinite(points[..., 2])]
    return f"z {depth.min():.3f} to {depth.max():.3f}" if depth.size else "empty"


def _mask_shares(mask: NDArray[np.bool_] | None) -> str:
    if mask is None:
        return "not there"
    shares = mask.mean(axis=(1, 2))
    return f"{100 * shares.min():.1f} % to {100 * shares.max():.1f} % of the picture"


def _intrinsics(episode: Episode) -> str:
    assert episode.camera is not None
    K = episode.camera.matrix
    return f"fx {K[0, 0]:.2f}, fy {K[1, 1]:.2f}, cx {K[0, 2]:.2f}, cy {K[1, 2]:.2f} px"
