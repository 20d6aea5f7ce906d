"""What a run tells: losses as CSV, as TensorBoard events and as a PNG plot."""

import csv
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_FIRST = "iteration"


class LossReport:
    """Rows of `losses.csv` in a run's folder; a resumed run goes on after its checkpoint's row."""

    def __init__(self, folder: Path, *, iteration: int):
        self._path = folder / "losses.csv"
        self._rows = [row for row in read_losses(self._path) if row[_FIRST] <= iteration]
        self._board = _board(folder, iteration)
        self._write()

    def add(self, iteration: int, values: dict[str, float]) -> None:
        row = {_FIRST: float(iteration), **values}
        grown = bool(self._rows) and set(row) <= set(self._columns())
        self._rows.append(row)
        if grown:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns()).writerow(_plain(row))
        else:
            self._write()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, iteration)

    def plot(self) -> None:
        """Draw the losses so far as `losses.png`."""
        if self._board is not None:
            self._board.flush()
        if self._rows:
            plot_losses(self._rows, self._path.with_suffix(".png"))

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self._rows for name in row))

    def _write(self) -> None:
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(_plain(row) for row in self._rows)


def read_losses(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def plot_losses(rows: list[dict[str, float]], path: Path) -> None:
    """Draw each column over the iterations, a panel each; without matplotlib, say so."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("No loss plot: matplotlib is not installed (extra 'train').")
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != _FIRST))
    figure = Figure(figsize=(8, 2.2 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, names, strict=True):
        points = [(row[_FIRST], row[name]) for row in rows if name in row]
        panel.plot(*zip(*points, strict=True), linewidth=1)
        panel.set_ylabel(name)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel(_FIRST)
    figure.savefig(path, dpi=100)


def _plain(row: dict[str, float]) -> dict[str, float | int]:
    return {name: int(value) if name == _FIRST else value for name, value in row.items()}


def _board(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        log.warning("No TensorBoard events: tensorboard is not installed (extra 'train').")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=iteration + 1)
