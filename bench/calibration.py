"""Measures whether the deviations that k4d-calibrate states hold, on the set-ups of its tests.

    python bench/calibration.py --poses 20 --draws 8
    python bench/calibration.py --masks all --draws 1

Prints the error of each calibration, and how errors along the six axes are spread in stated standard deviations: where
these hold, the root mean square is 1, and 68 % are below 1. Masks are noisy or clean, and may have been grown or shrunk
by whole pixels all around, as a segmenter's often are.
"""

import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    """Draws of the noise for each of the five set-ups; clean masks have one."""
    masks: Literal["noisy", "all"] = "noisy"
    """Noisy masks of the robot's size, or also clean ones, and all of them grown by 1 and 2 px and shrunk by 1 px."""
    seed: int = 0
    """The set-ups of the tests at 0; others at 100, 200 and so on."""

    @property
    def growths(self) -> tuple[int, ...]:
        """By how many pixels masks are grown."""
        return (0,) if self.masks == "noisy" else (0, 1, 2, -1)


@dataclass
class Outcomes:
    """What came of the calibrations of one kind of masks."""

    errors_over_deviations: list[Any] = field(default_factory=list)
    distances_mm: list[float] = field(default_factory=list)
    stated_mm: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, other: "Outcomes") -> None:
        """Takes in those of another kind."""
        self.errors_over_deviations += other.errors_over_deviations
        self.distances_mm += other.distances_mm
        self.stated_mm += other.stated_mm
        self.refused += other.refused

    def __str__(self) -> str:
        sizes = np.abs(self.errors_over_deviations)
        within = ", ".join(f"{(sizes < k).mean():.0%} below {k}" for k in (1, 2, 3))
        return (
            f"error median {np.median(self.distances_mm):.2f} mm, most {max(self.distances_mm):.2f}, stated median "
            f"{np.median(self.stated_mm):.2f} mm; errors over deviations: root mean square "
            f"{np.sqrt(np.mean(sizes**2)):.2f}; {within}; most {sizes.max():.1f}; {self.refused} refused"
        )


def main() -> None:
    """Calibrates and prints."""
    arguments, tests = tyro.cli(Arguments), _set_ups()
    outcomes: dict[str, Outcomes] = {}
    with tempfile.TemporaryDirectory() as folder:
        panda = tests.reduced_panda(Path(folder))
    for kind, seed in tests.NOISY:
        case = tests.make_set_up(panda, seed + arguments.seed, kind, arguments.poses, 0.6)
        for name, draw, views in _masks(tests, case, seed, arguments):
            outcome = outcomes.setdefault(name, Outcomes())
            where = f"{kind} {seed + arguments.seed}.{draw} {name}"
            try:
                found = calibrate(case.robot.surface, case.camera, views, case.T_guess_base)
            except CalibrationError as error:
                print(f"{where}: refused: {error}")
                outcome.refused += 1
                continue
            distance, angle = case.errors(found.T_cam_parent)
            outcome.errors_over_deviations.append(case.errors_over_deviations(found))
            outcome.distances_mm.append(1e3 * distance)
            outcome.stated_mm.append(1e3 * found.position_std)
            print(
                f"{where}: {1e3 * distance:.2f} mm {np.degrees(angle):.3f} deg, stated {outcome.stated_mm[-1]:.2f} mm, "
                f"masks {found.growth_px:+.2f} px",
                flush=True,
            )
    together = Outcomes()
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
        together.add(outcome)
    print(f"together: {together}")


def _masks(tests: Any, case: Any, seed: int, arguments: Arguments) -> Iterator[tuple[str, int, Any]]:
    """Kind, number of the draw, and views."""
    for draw in range(arguments.draws):
        noisy = tests.spoil(case.views, 50 + seed + 1000 * draw)
        for growth in arguments.growths:
            yield f"noisy {growth:+d} px", draw, tests.grow(noisy, growth)
    if arguments.masks == "all":
        for growth in arguments.growths:
            yield f"clean {growth:+d} px", 0, tests.grow(case.views, growth)


def _set_ups() -> Any:
    spec = importlib.util.spec_from_file_location("calibration_set_ups", SET_UPS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
