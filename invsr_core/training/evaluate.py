"""Judge a predictor on a folder: restore each LR image at each preset, measure, and tabulate."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..predictor import NoisePredictor
from ..weights import load_predictor
from .base import FrozenBase
from .data import find_images, read_image, write_image
from .loading import BaseConfig, load_base
from .metrics import Measure, Metric, available_metrics, cropped_alike
from .restore import restore
from .tables import (
    PAPER_METHODS,
    PAPER_STEPS,
    Row,
    Timesteps,
    as_text,
    shown_metrics,
    write_csv,
    write_picture,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to judge: without `hr_folder` only metrics that need no reference are measured."""

    predictor: Path
    lr_folder: Path
    hr_folder: Path | None
    output: Path
    presets: tuple[Timesteps, ...]
    count: int
    seed: int
    pad_to: int
    device: str


@dataclass(frozen=True)
class Pair:
    name: str
    lr: Tensor
    hr: Tensor | None


def evaluate(base_config: BaseConfig, request: Request) -> str:
    """Write pictures, `results.csv`, `results.md` and `results.png`; give the table as text."""
    device = request.device or ("cuda" if torch.cuda.is_available() else "cpu")
    pairs = read_pairs(request.lr_folder, request.hr_folder, request.count)
    predictor = load_predictor(request.predictor).float().to(device)
    base = load_base(base_config).to(device, torch.float32)
    measures = available_metrics(with_hr=request.hr_folder is not None, device=device)
    rows = [_judge(predictor, base, pairs, preset, measures, request) for preset in request.presets]
    return _report([*rows, *PAPER_STEPS, *PAPER_METHODS], list(measures), request.output)


def read_pairs(lr_folder: Path, hr_folder: Path | None, count: int) -> list[Pair]:
    """Read LR images, each with the HR image of the same name; the unreadable are skipped.

    Raises ValueError if an HR image is absent or no image can be read.
    """
    matches = {path.stem: path for path in find_images([hr_folder])} if hr_folder else {}
    pairs: list[Pair] = []
    for path in find_images([lr_folder])[: count or None]:
        if hr_folder is not None and path.stem not in matches:
            raise ValueError(f"{path.name} has no HR image of that name in '{hr_folder}'.")
        try:
            hr = read_image(matches[path.stem])[None] if hr_folder is not None else None
            pairs.append(Pair(path.stem, read_image(path)[None], hr))
        except OSError as error:
            log.warning("Skipped: %s.", error)
    if not pairs:
        raise ValueError(f"None of the images in '{lr_folder}' can be read.")
    return pairs


def _judge(
    predictor: NoisePredictor,
    base: FrozenBase,
    pairs: list[Pair],
    preset: Timesteps,
    measures: Mapping[Metric, Measure],
    request: Request,
) -> Row:
    """Restore every image from one preset; give the mean of each metric."""
    folder = request.output / "-".join(map(str, preset))
    folder.mkdir(parents=True, exist_ok=True)
    sums = dict.fromkeys((metric.title for metric in measures), 0.0)
    device = next(predictor.parameters()).device
    for pair in tqdm(pairs, desc=folder.name, unit="image"):
        image = restore(
            predictor, base, pair.lr.to(device), preset, seed=request.seed, pad_to=request.pad_to
        )
        write_image(image[0], folder / f"{pair.name}.png")
        for title, value in _measured(image, pair, measures).items():
            sums[title] += value / len(pairs)
    return Row(request.predictor.stem, request.lr_folder.name, preset, sums)


def _measured(image: Tensor, pair: Pair, measures: Mapping[Metric, Measure]) -> dict[str, float]:
    """Measure what a PNG file of the image would hold."""
    image = torch.round(image * 255.0) / 255.0
    hr = None if pair.hr is None else pair.hr.to(image.device)
    if hr is not None:
        image, hr = cropped_alike(image, hr)
    return {metric.title: measure(image, hr) for metric, measure in measures.items()}


def _report(rows: list[Row], measured: list[Metric], output: Path) -> str:
    metrics = shown_metrics(measured)
    text = as_text(rows, metrics)
    (output / "results.md").write_text(text + "\n", encoding="utf-8")
    write_csv(rows, metrics, output / "results.csv")
    try:
        write_picture(rows, metrics, output / "results.png")
    except ImportError:
        log.warning("No picture of the table: matplotlib is not installed (extra 'train').")
    return text
