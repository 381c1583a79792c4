"""k4d-calibrate: where a camera is, from the robot in different poses before it, recorded or live."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from k4d_kinematics import CameraConfig, configured_robot, read_configuration, se3
from k4d_kinematics.calibration import CalibrationSettings
from k4d_kinematics.errors import CalibrationError, KinematicsError
from k4d_world_model.calibration.calibration_files import (
    FIGURES,
    LAUNCH,
    position_std_mm,
    rotation_std_deg,
    write_calibration,
)
from k4d_world_model.calibration.pose_collection import PoseCollection
from k4d_world_model.calibration.recorded_calibration import (
    CalibrationFiles,
    RecordedCalibration,
    calibrate_recording,
    parent_link,
)
from k4d_world_model.calibration.recorded_poses import PoseChoice
from k4d_world_model.errors import WorldModelError

_LIVE_POSES = "poses"


@dataclass(frozen=True)
class Arguments:
    """Finds where a camera is from a robot that takes five or more different poses before it, recorded or live.

    Starts from the pose in a camera YAML, some centimetres and degrees off, and moves it until the robot's outline lies
    on masks of the robot. Writes calibration.json (pose, deviations, residuals, refused pictures, inputs), the camera
    YAML, static_transform.launch.xml, and a PNG of each pose with the outline before in red and after in green.

    Example: k4d-calibrate --bag out/lab_bag --robot config/robots/panda.yaml --camera config/cameras/front.yaml
    --out out/calibration

    Example: k4d-calibrate --live --robot config/robots/panda.yaml --camera config/cameras/front.yaml --out out/live
    """

    robot: Path
    """Robot YAML as in config/robots."""
    camera: Path
    """Camera YAML as in config/cameras, whose pose is the guess; parent_frame is a link. Intrinsics are the bag's."""
    out: Path
    """Folder for the results; made where it does not exist."""
    bag: Path | None = None
    """Recording with pictures, camera_info and joint states: a rosbag2 folder or an MCAP file."""
    live: bool = False
    """Watch the running robot instead: move it, hold still for half a second, and so on. The poses that are taken are
    recorded into OUT/poses, which --bag reads again."""
    masks: Path | None = None
    """Folder of masks STAMP.png (nanoseconds) or PLACE.png (from 0 in order of time): 255 robot, 0 not, 128 unknown.
    Without it and --sam a pixel shows the robot where it is nearer than the farthest depth that it ever had."""
    sam: Path | None = None
    """Folder of SAM 2 or SAM 3 video weights as transformers saves them; they segment the robot."""
    device: str = "cpu"
    """For --sam: torch device such as cuda:0."""
    poses: int = 20
    """Most pictures to use."""
    most_speed: float = 0.05
    """Fastest joint in a picture that is used, rad/s or m/s; more where pictures and joints share a clock exactly."""
    travel: float = 0.03
    """Metres by which the links of two poses must differ, as root mean square over the links."""
    most_seconds: float = 300.0
    """For --live: how long poses are collected at most."""
    enough_mm: float = 1.5
    """For --live: no more poses are collected once the camera's position will be known as well as this."""
    tf_guess: bool = False
    """Start from where the recorded /tf and /tf_static say that the camera is, not from the camera YAML's pose."""
    focal: bool = False
    """Find the focal length too."""
    depth_tolerance: float = 0.02
    """For masks from depth: metres that a pixel of the robot is nearer than the background."""
    image_topic: str = ""
    """Pictures; by default /NAME/image_raw after the camera's name."""
    image_is_rectified: bool = False
    """The pictures are without the lens that camera_info states, as those on image_rect topics are."""
    camera_info_topic: str = ""
    """By default /NAME/camera_info."""
    depth_topic: str = ""
    """Read for masks from depth; by default /NAME/depth."""
    joint_topic: str = "/joint_states"
    """Joint states."""
    cache: Path | None = None
    """Folder for prepared robot surfaces; without it they are prepared anew."""


def main() -> int:
    """Parses the command line, calibrates and prints what was found. Returns 1 where the input is not usable."""
    arguments = tyro.cli(Arguments)
    try:
        calibrate(arguments)
    except (WorldModelError, KinematicsError) as error:
        print(f"k4d-calibrate: {error}", file=sys.stderr)
        return 1
    return 0


def calibrate(arguments: Arguments) -> None:
    """Does the work of the command. Raises WorldModelError or KinematicsError on unusable input."""
    choice = PoseChoice(arguments.poses, arguments.most_speed, arguments.travel)
    if arguments.live == (arguments.bag is not None):
        raise CalibrationError("give either --bag or --live")
    bag = arguments.bag or arguments.out / _LIVE_POSES
    files = CalibrationFiles(
        bag, arguments.robot, arguments.camera, arguments.masks,
        arguments.image_topic, arguments.camera_info_topic, arguments.depth_topic, arguments.joint_topic,
        arguments.sam, arguments.device, arguments.image_is_rectified, arguments.tf_guess,
    )  # fmt: skip
    if arguments.live:
        _collect(arguments, files, choice)
    settings = CalibrationSettings(focal=arguments.focal)
    calibrated = calibrate_recording(files, choice, arguments.depth_tolerance, settings, arguments.cache)
    config = write_calibration(arguments.out, calibrated, files)
    _print(calibrated)
    for what, name in (("camera", f"{config.name}.yaml"), ("figures", FIGURES), ("transform", LAUNCH)):
        print(f"{what:<11}{arguments.out / name}")


def _collect(arguments: Arguments, files: CalibrationFiles, choice: PoseChoice) -> None:
    """Records poses of the running robot. Raises CalibrationError where ROS is not there."""
    if files.masks is not None:
        raise CalibrationError(f"pictures to come have no mask files, got --masks {files.masks} with --live")
    try:
        from k4d_world_model.ros.live_poses import record_poses
    except ImportError as error:
        raise CalibrationError(f"--live needs ROS 2 (rclpy, sensor_msgs, tf2_msgs): {error}") from error
    robot, config = configured_robot(files.robot, arguments.cache), read_configuration(files.camera, CameraConfig)
    collection = PoseCollection(
        robot, parent_link(robot, config, files), se3.inverse(config.T_parent_cam()), choice, arguments.enough_mm / 1e3
    )
    record_poses(files.bag, files.topics(config.name), collection, arguments.most_seconds, _say)


def _say(text: str) -> None:
    print(text, flush=True)


def _print(calibrated: RecordedCalibration) -> None:
    found = calibrated.found
    print(f"{'pose':<14}{'median before':>15}{'after':>9}{'RMS before':>13}{'after':>9}   px")
    for row in found.residuals:
        print(
            f"{row.name:<14}{row.median_before_px:>15.2f}{row.median_after_px:>9.2f}"
            f"{row.rms_before_px:>13.2f}{row.rms_after_px:>9.2f}"
        )
    counts = Counter(refusal.reason for refusal in calibrated.refused)
    print(f"not used: {', '.join(f'{count} {reason}' for reason, count in counts.items()) or 'none'}")
    std_mm, std_deg = (
        ", ".join(f"{value:.{digits}f}" for value in values)
        for values, digits in ((position_std_mm(calibrated), 2), (rotation_std_deg(calibrated), 3))
    )
    print(f"standard deviation by axes of {calibrated.config.parent_frame}: {std_mm} mm; {std_deg} deg")
    print(f"masks end {found.growth_px:+.2f} px beyond the robot's outline")
    if found.focal_std is not None:
        focal = found.camera.matrix[0, 0]
        print(f"focal length {focal:.2f} px, standard deviation {focal * found.focal_std:.2f} px")
    medians = [[row.median_before_px, row.median_after_px] for row in found.residuals]
    before, after = np.median(medians, axis=0)
    print(f"{len(found.residuals)} poses; median distance of the outlines {before:.2f} px before, {after:.2f} px after")
