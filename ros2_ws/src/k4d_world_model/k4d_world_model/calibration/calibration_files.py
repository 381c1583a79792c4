"""What a calibration leaves behind: figures, a camera YAML, a launch file and a picture of each pose."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import yaml
from numpy.typing import NDArray

from k4d_kinematics import CameraConfig, Renderer, se3
from k4d_kinematics.calibration.silhouettes import contour_pixels
from k4d_kinematics.errors import CalibrationError
from k4d_kinematics.pictures import write_png
from k4d_world_model.calibration.recorded_calibration import CalibrationFiles, RecordedCalibration

FIGURES, LAUNCH = "calibration.json", "static_transform.launch.xml"

_BEFORE, _AFTER = (255, 40, 40), (60, 255, 60)
_CHUNK_BYTES = 2**20


def write_calibration(out: Path, calibrated: RecordedCalibration, files: CalibrationFiles) -> CameraConfig:
    """Writes all files into the folder ``out``; returns what its camera YAML says.

    Raises CalibrationError when they cannot be written.
    """
    config = calibrated_config(calibrated)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for view, drawn in zip(calibrated.views, outlined_pictures(calibrated), strict=True):
            write_png(out / f"{view.name.replace(' ', '_')}.png", drawn)
        content = yaml.safe_dump(asdict(config) | _as_lists(config), sort_keys=False, default_flow_style=None)
        (out / f"{config.name}.yaml").write_text(content)
        (out / LAUNCH).write_text(launch_text(config))
        (out / FIGURES).write_text(json.dumps(_figures(calibrated, config, files), indent=2) + "\n")
    except OSError as error:
        raise CalibrationError(f"--out must be a folder that can be written, got {out}: {error}") from error
    return config


def calibrated_config(calibrated: RecordedCalibration) -> CameraConfig:
    """The camera YAML of a calibration: the recording's intrinsics of its delivered picture, and the found pose."""
    camera, start = calibrated.found.camera, calibrated.config
    xyz, quaternion = se3.to_xyzw(se3.inverse(calibrated.found.T_cam_parent))
    return CameraConfig(
        start.name, start.frame_id, start.parent_frame, _rounded(xyz), _rounded(quaternion),
        camera.image_height, camera.image_width, _rounded(camera.matrix.ravel()),
        camera.distortion_model or start.distortion_model, camera.D,
    )  # fmt: skip


def launch_text(config: CameraConfig) -> str:
    """A launch file that publishes the camera's place as a static transform."""
    names = ("x", "y", "z", "qx", "qy", "qz", "qw")
    pose = " ".join(f"--{k} {v:.9f}" for k, v in zip(names, (*config.xyz, *config.quaternion_xyzw), strict=True))
    arguments = f"{pose} --frame-id {config.parent_frame} --child-frame-id {config.frame_id}"
    return (
        "<launch>\n"
        f'  <node pkg="tf2_ros" exec="static_transform_publisher" name={quoteattr(f"{config.name}_calibration")} '
        f"args={quoteattr(arguments)}/>\n"
        "</launch>\n"
    )


def outlined_pictures(calibrated: RecordedCalibration) -> list[NDArray[np.uint8]]:
    """The pictures (H, W, 3) with the robot's outline before, red, and after the calibration, green."""
    surface, camera = calibrated.robot.surface, calibrated.poses.camera
    T_before = se3.inverse(calibrated.config.T_parent_cam())
    found = calibrated.found
    lines = (
        (Renderer(surface, camera), T_before, _BEFORE),
        (Renderer(surface, found.camera), found.T_cam_parent, _AFTER),
    )
    drawn = []
    for view, rgb in zip(calibrated.views, calibrated.pictures, strict=True):
        picture = rgb.copy()
        for renderer, T_cam_parent, colour in lines:
            pixels = contour_pixels(renderer.render(T_cam_parent @ view.T_parent_link).mask)
            picture[pixels[:, 1], pixels[:, 0]] = colour
        drawn.append(picture)
    return drawn


def position_std_mm(calibrated: RecordedCalibration) -> NDArray[np.float64]:
    """Standard deviations (3,) of the camera's position along the parent frame's axes, millimetres."""
    return np.asarray(1e3 * np.sqrt(np.diag(calibrated.found.covariance)[:3]))


def rotation_std_deg(calibrated: RecordedCalibration) -> NDArray[np.float64]:
    """Standard deviations (3,) of the camera's turn about the parent frame's axes, degrees."""
    return np.asarray(np.degrees(np.sqrt(np.diag(calibrated.found.covariance)[3:])))


def _figures(calibrated: RecordedCalibration, config: CameraConfig, files: CalibrationFiles) -> dict[str, Any]:
    found = calibrated.found
    T_start_found = se3.inverse(calibrated.config.T_parent_cam()) @ config.T_parent_cam()
    return {
        "camera": config.name,
        "parent_frame": config.parent_frame,
        "frame_id": config.frame_id,
        "T_parent_cam": config.T_parent_cam().tolist(),
        "moved_mm": 1e3 * float(np.linalg.norm(T_start_found[:3, 3])),
        "moved_deg": float(np.degrees(se3.rotation_angle(T_start_found))),
        "position_std_mm": position_std_mm(calibrated).tolist(),
        "rotation_std_deg": rotation_std_deg(calibrated).tolist(),
        "covariance": found.covariance.tolist(),
        "mask_growth_px": found.growth_px,
        "focal_px": found.camera.matrix[[0, 1], [0, 1]].tolist(),
        "focal_relative_std": found.focal_std,
        "residuals_px": [asdict(residual) for residual in found.residuals],
        "refused": [asdict(refusal) for refusal in calibrated.refused],
        "note": calibrated.poses.note,
        "masks": files.mask_source,
        "inputs_sha256": {
            **{str(path): _sha256(path) for path in _input_files(files, calibrated)},
            "robot description": calibrated.robot.robot.sha256,
        },
    }


def _input_files(files: CalibrationFiles, calibrated: RecordedCalibration) -> list[Path]:
    recorded = [files.bag] if files.bag.is_file() else sorted(path for path in files.bag.iterdir() if path.is_file())
    return [*recorded, files.robot, files.camera, *calibrated.mask_paths]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _rounded(values: NDArray[np.float64]) -> Any:
    """Numbers as a tuple, to the nanometre, which people can read."""
    return tuple(round(float(value), 9) for value in values)


def _as_lists(config: CameraConfig) -> dict[str, list[float]]:
    """What YAML would otherwise write as Python's tuples."""
    return {name: list(getattr(config, name)) for name in ("xyz", "quaternion_xyzw", "K", "D")}
