"""Measures whether the deviations that k4d-calibrate states hold, on the noisy set-ups of its tests.

    python bench/calibration.py --poses 20 --draws 8

Prints the error of each calibration, and how errors along the six axes are spread in stated standard deviations: where
these hold, the root mean square is 1, and 68 % are below 1.
"""

import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from k4d_kinematics.calibration import calibrate
from k4d_kinematics.errors import CalibrationError

SET_UPS = Path(__file__).resolve().parent.parent / "tests" / "kinematics" / "calibration" / "conftest.py"


@dataclass(frozen=True)
class Arguments:
    """How much is measured."""

    poses: int = 20
    """Postures of the robot in each calibration."""
    draws: int = 8
    """Draws of the noise for each of the five set-ups."""


def main() -> None:
    """Calibrates and prints."""
    arguments, tests = tyro.cli(Arguments), _set_ups()
    spread, distances, stated = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        panda = tests.reduced_panda(Path(folder))
    for kind, seed in tests.NOISY:
        case = tests.make_set_up(panda, seed, kind, arguments.poses, 0.6)
        for draw in range(arguments.draws):
            views = tests.spoil(case.views, 50 + seed + 1000 * draw)
            try:
                found = calibrate(case.robot.surface, case.camera, views, case.T_guess_base)
            except CalibrationError as error:
                print(f"{kind} {seed}.{draw}: refused: {error}")
                continue
            distance, angle = case.errors(found.T_cam_parent)
            spread.append(case.errors_over_deviations(found))
            distances.append(1e3 * distance)
            stated.append(1e3 * found.position_std)
            print(
                f"{kind} {seed}.{draw}: {distances[-1]:.2f} mm {np.degrees(angle):.3f} deg, stated {stated[-1]:.2f} mm"
            )
    sizes = np.abs(spread)
    within = ", ".join(f"{(sizes < k).mean():.0%} below {k}" for k in (1, 2, 3))
    print(
        f"errors over deviations: root mean square {np.sqrt(np.mean(sizes**2)):.2f}; {within}; most {sizes.max():.1f}"
    )
    print(f"distance: median {np.median(distances):.2f} mm, most {max(distances):.2f} mm")


def _set_ups() -> Any:
    spec = importlib.util.spec_from_file_location("calibration_set_ups", SET_UPS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
