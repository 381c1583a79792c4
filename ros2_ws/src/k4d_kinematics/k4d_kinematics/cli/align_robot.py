"""k4d-align-robot: a reconstructed mesh of a robot cut into the links of its URDF, without ROS."""

import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from k4d_kinematics.alignment import (
    Alignment,
    AlignmentLimits,
    align,
    check_shapes,
    read_reconstruction,
    write_reconstructed_robot,
)
from k4d_kinematics.alignment.picture import draw_links
from k4d_kinematics.configuration import read_configuration
from k4d_kinematics.errors import ConfigurationError, KinematicsError
from k4d_kinematics.pictures import write_png
from k4d_kinematics.robot import Robot
from k4d_kinematics.surface import prepare_surface


@dataclass(frozen=True)
class Posture:
    """The joint positions at which the robot was reconstructed, radians or metres by joint name."""

    positions: dict[str, float]


@dataclass(frozen=True)
class Arguments:
    """Aligns a reconstructed mesh of a robot to its URDF, cuts it into links and writes a URDF that shows it.

    Writes robot.urdf, meshes/*.glb, alignment.json (T_recon_base, scale, residuals per link) and alignment.png.

    Example: k4d-align-robot --mesh scan.glb --urdf panda.urdf --joints posture.yaml --out out/scanned_panda
    """

    mesh: Path
    """OBJ, GLB, PLY, STL or DAE file of the reconstruction, in any frame and unit; cut clutter away where you can."""
    urdf: str
    """The robot's URDF or xacro file, a path or a package:// URI; the surfaces of its links guide the alignment."""
    joints: Path
    """YAML with `positions:` of all joints while the robot was reconstructed, by name, in radians and metres."""
    out: Path
    """Folder for the results; made where it does not exist."""
    package_path: tuple[Path, ...] = ()
    """Folders in which package:// URIs are looked up first."""
    geometry: Literal["visual", "collision"] = "visual"
    """Which shapes of the URDF the reconstruction is aligned to."""
    limits: AlignmentLimits = field(default_factory=AlignmentLimits)
    """What the alignment must reach; otherwise it is refused."""
    absolute: bool = False
    """Whether the URDF names its meshes by file:// URIs, as RViz needs, instead of relative to itself."""
    seed: int = 0
    """Seed of the points that are drawn from the reconstruction."""


def main() -> int:
    """Parses the command line, aligns and prints what was found. Returns 1 where the input or the fit is not usable."""
    arguments = tyro.cli(Arguments)
    try:
        align_robot(arguments)
    except KinematicsError as error:
        print(f"k4d-align-robot: {error}", file=sys.stderr)
        return 1
    return 0


def align_robot(arguments: Arguments) -> None:
    """Does the work of the command. Raises KinematicsError on unusable input."""
    robot = Robot.from_file(arguments.urdf, package_paths=arguments.package_path)
    check_shapes(robot, arguments.geometry)
    posture = read_configuration(arguments.joints, Posture)
    positions = robot.order_positions(tuple(posture.positions), tuple(posture.positions.values()))
    reconstruction = read_reconstruction(arguments.mesh)
    surface = prepare_surface(robot, kind=arguments.geometry)
    rng = np.random.default_rng(arguments.seed)
    alignment = align(reconstruction, robot, surface, positions, limits=arguments.limits, rng=rng)
    similarity = alignment.registration.similarity
    try:
        urdf = write_reconstructed_robot(
            arguments.out, robot, reconstruction, similarity, alignment.segmentation, alignment.T_base_link,
            absolute=arguments.absolute,
        )  # fmt: skip
        (arguments.out / "alignment.json").write_text(json.dumps(_summary(alignment, arguments), indent=2) + "\n")
        written = prepare_surface(Robot.from_file(urdf))
        write_png(arguments.out / "alignment.png", draw_links([surface, written], alignment.T_base_link))
    except OSError as error:
        raise ConfigurationError(f"--out must be a folder that can be written, got {arguments.out}: {error}") from error
    _print(alignment, urdf)


def _summary(alignment: Alignment, arguments: Arguments) -> dict[str, object]:
    found = alignment.registration
    links = [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(link).items()}
        for link in alignment.links
    ]
    return {
        "T_recon_base": found.similarity.T_recon_base.tolist(),
        "scale": found.similarity.scale,
        "fitness": found.fitness,
        "coverage": found.coverage,
        "inlier_rmse": found.inlier_rmse,
        "agreement": found.agreement,
        "runner_up_agreement": found.runner_up,
        "limits": asdict(arguments.limits),
        "faces": len(alignment.segmentation.face_link),
        "faces_dropped": alignment.segmentation.dropped,
        "links_without_faces": list(alignment.links_without_faces),
        "links": links,
    }


def _print(alignment: Alignment, urdf: Path) -> None:
    found, segmentation = alignment.registration, alignment.segmentation
    print(f"{'link':<28}{'faces':>8}{'median':>10}{'95 %':>10}{'covered':>10}")
    for link in alignment.links:
        figures = f"{link.median_mm:>7.1f} mm{link.p95_mm:>7.1f} mm{link.coverage:>10.0%}"
        print(f"{link.link_name:<28}{link.faces:>8}{figures}")
    print(
        f"fitness {found.fitness:.2f}, coverage {found.coverage:.2f}, inlier RMSE {found.inlier_rmse * 1e3:.1f} mm, "
        f"scale {found.similarity.scale:.6g} units per metre; {segmentation.dropped} of "
        f"{len(segmentation.face_link)} faces dropped; links without faces: "
        f"{', '.join(alignment.links_without_faces) or 'none'}; {urdf}"
    )
