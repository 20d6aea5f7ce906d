"""Results in the form of the paper's tables, beside the paper's own rows.

Numbers of arXiv 2412.09013: Table 1 (steps on ImageNet-Test) and the one-step rows of the method
itself in Tables 2 and 3. Rows of other methods can be added to `PAPER_METHODS`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..schedule import check_timesteps
from .metrics import METRICS, Metric

Timesteps = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One line: who, from which published timesteps, on what, and its numbers by column."""

    method: str
    dataset: str
    timesteps: Timesteps
    values: dict[str, float] = field(default_factory=dict)

    @property
    def steps_text(self) -> str:
        return ", ".join(map(str, self.timesteps))


_COLUMNS = ("PSNR", "SSIM", "LPIPS", "NIQE", "PI", "CLIPIQA", "MUSIQ")
_NO_REFERENCE = _COLUMNS[3:]


def _paper(dataset: str, timesteps: Timesteps, columns: Sequence[str], *numbers: float) -> Row:
    return Row("InvSR (paper)", dataset, timesteps, dict(zip(columns, numbers, strict=True)))


_TABLE_1 = {
    (250, 200, 150, 100, 50): (22.70, 0.6412, 0.2844, 4.8757, 3.4744, 0.6733, 69.8427),
    (250, 150, 50): (22.92, 0.6478, 0.2762, 4.7980, 3.4002, 0.6823, 70.4688),
    (200, 100, 50): (23.41, 0.6609, 0.2648, 4.5089, 3.2074, 0.6851, 70.7024),
    (150, 100, 50): (23.84, 0.6713, 0.2575, 4.2719, 3.0527, 0.6823, 70.4569),
    (250,): (23.84, 0.6713, 0.2575, 4.5287, 3.1748, 0.7132, 72.5773),  # as printed: see row above
    (200,): (24.14, 0.6789, 0.2517, 4.3815, 3.0866, 0.7093, 72.2909),
    (150,): (24.42, 0.6851, 0.2469, 4.2194, 2.9979, 0.7019, 71.7100),
    (100,): (24.66, 0.6891, 0.2450, 4.0606, 2.8951, 0.6912, 70.8251),
}
PAPER_STEPS = tuple(
    _paper("ImageNet-Test", timesteps, _COLUMNS, *numbers)
    for timesteps, numbers in _TABLE_1.items()
)
"""Table 1."""

PAPER_METHODS = (
    _paper("RealSR", (200,), _COLUMNS, 24.50, 0.7262, 0.2872, 4.2189, 3.7779, 0.6918, 67.4586),
    _paper("RealSet80", (200,), _NO_REFERENCE, 4.0284, 3.4666, 0.7291, 69.8055),
)
"""Tables 2 and 3, the method's own rows on the real sets."""

PRESETS = tuple(row.timesteps for row in PAPER_STEPS)


def parse_presets(texts: Sequence[str]) -> tuple[Timesteps, ...]:
    """Read "200" or "200,100,50" each; nothing means the eight presets of Table 1."""
    presets: list[Timesteps] = []
    for text in texts:
        try:
            preset = tuple(int(entry) for entry in text.split(","))
        except ValueError:
            raise ValueError(f"--timesteps must look like 200,100,50, got '{text}'.") from None
        check_timesteps(preset)
        presets.append(preset)
    return tuple(presets) or PRESETS


def as_text(rows: Sequence[Row], metrics: Sequence[Metric]) -> str:
    """Lay rows out as a Markdown table, arrows telling which way is better."""
    titles = ["Method", "Data", "Timesteps", *(_title(metric) for metric in metrics)]
    lines = [titles, ["---"] * len(titles), *(_cells(row, metrics) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_csv(rows: Sequence[Row], metrics: Sequence[Metric], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "data", "timesteps", *(metric.title for metric in metrics)])
        for row in rows:
            numbers = [row.values.get(metric.title, "") for metric in metrics]
            writer.writerow([row.method, row.dataset, row.steps_text, *numbers])


def write_picture(rows: Sequence[Row], metrics: Sequence[Metric], path: Path) -> None:
    """Draw the table as a PNG; raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 + 1.3 * len(metrics), 0.35 * (len(rows) + 2)), layout="tight")
    axes = figure.subplots()
    axes.axis("off")
    table = axes.table(
        cellText=[_cells(row, metrics) for row in rows],
        colLabels=["Method", "Data", "Timesteps", *(_title(metric) for metric in metrics)],
        loc="center",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.auto_set_column_width(list(range(3 + len(metrics))))
    figure.savefig(path, dpi=120)


def shown_metrics(measured: Sequence[Metric]) -> list[Metric]:
    """Give the columns of a table: those the paper has, and those measured, in its order."""
    return [each for each in METRICS if each in measured or each.title in _COLUMNS]


def _title(metric: Metric) -> str:
    return f"{metric.title} {'up' if metric.higher_is_better else 'down'}"


def _cells(row: Row, metrics: Sequence[Metric]) -> list[str]:
    numbers = [
        f"{row.values[metric.title]:.{metric.digits}f}" if metric.title in row.values else "-"
        for metric in metrics
    ]
    return [row.method, row.dataset, row.steps_text, *numbers]
