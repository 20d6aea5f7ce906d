"""A test set from HR pictures, made as the paper made ImageNet-Test: the `degrade` command."""

import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resize import SCALE
from .data import find_images, read_image, write_image
from .degradation import SETTINGS, DegradationConfig, degrade
from .draw import generator_for

log = logging.getLogger(__name__)

_GRID_IMAGES = 16


def synthesise(
    source: Path, output: Path, *, setting: str, size: int, count: int, seed: int, grid: bool
) -> None:
    """Write pairs of the images in `source` as `output`/lr and `output`/hr, all PNG.

    What happens to an image depends on `seed` and its place in the sorted folder only.
    """
    if setting not in SETTINGS:
        raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, got '{setting}'.")
    if size < SCALE or size % SCALE:
        raise ValueError(f"size must be a multiple of {SCALE}, got {size}.")
    for name in ("lr", "hr"):
        (output / name).mkdir(parents=True, exist_ok=True)
    pairs: list[tuple[Tensor, Tensor]] = []
    for index, path in enumerate(find_images([source])[: count or None]):
        pair = _make_pair(path, SETTINGS[setting], size, (seed, index))
        if pair is None:
            continue
        write_image(pair[0], output / "lr" / f"{path.stem}.png")
        write_image(pair[1], output / "hr" / f"{path.stem}.png")
        pairs = [*pairs, pair][:_GRID_IMAGES]
    if grid and pairs:
        write_image(grid_of(pairs), output / "grid.png")


def _make_pair(
    path: Path, config: DegradationConfig, size: int, counters: tuple[int, int]
) -> tuple[Tensor, Tensor] | None:
    try:
        hr = centre_crop(read_image(path), size)
    except OSError as error:
        log.warning("Skipped: %s.", error)
        return None
    return degrade(hr[None], config, generator_for("cpu", *counters))[0], hr


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Resize the smaller side of [3, H, W] to `size` by area, then cut the centre, in 255ths."""
    scale = size / min(image.shape[1:])
    sides = tuple(max(size, round(side * scale)) for side in image.shape[1:])
    image = F.interpolate(image[None], size=sides, mode="area")[0]
    top, left = ((side - size) // 2 for side in sides)
    return torch.round(image[:, top : top + size, left : left + size] * 255.0) / 255.0


def grid_of(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Lay LR (enlarged by repetition) and HR side by side, about as many rows as columns."""
    tiles = [
        torch.cat([F.interpolate(lr[None], scale_factor=SCALE)[0], hr], dim=2) for lr, hr in pairs
    ]
    columns = math.ceil(math.sqrt(len(tiles) / 2))
    tiles += [torch.ones_like(tiles[0])] * (-len(tiles) % columns)
    rows = [torch.cat(tiles[i : i + columns], dim=2) for i in range(0, len(tiles), columns)]
    return torch.cat(rows, dim=1)
