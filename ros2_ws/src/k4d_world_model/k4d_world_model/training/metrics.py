"""What a run reports: one CSV for tables, TensorBoard for curves, sheets of pictures."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from k4d_kinematics.pictures import write_png

COLUMNS = (
    "step", "clips", "seconds", "learning_rate", "loss", "loss_rgb", "loss_points", "gradient_norm",
    "validation_loss", "changed_rgb_psnr", "changed_rgb_gain_db", "changed_points_gain_db",
)  # fmt: skip


class Metrics:
    """Writes metrics.csv and TensorBoard's files into ``folder``; a resumed run drops what came after its ``step``."""

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.csv"
        rows = _rows_until(self.path, step) if self.path.exists() else []
        unfinished = self.path.with_suffix(".unfinished")
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        unfinished.replace(self.path)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Reports ``values`` of COLUMNS after ``step`` steps."""
        text = io.StringIO(newline="")
        csv.DictWriter(text, COLUMNS).writerow(
            {"step": step, **{name: f"{value:.6g}" for name, value in values.items()}}
        )
        with self.path.open("a", newline="") as file:
            file.write(text.getvalue())
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def draw(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Keeps a sheet (H, W, 3) of pictures made after ``step`` steps."""
        path = self.path.parent / "sheets" / f"step_{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        write_png(path, picture)

    def close(self) -> None:
        """Flushes TensorBoard's files."""
        self._board.close()


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if set(row) == set(COLUMNS) and int(row["step"]) <= step]
