"""Windows over an image too large for a network, and the blend that puts their results together."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from .resize import LATENT_SCALE, MULTIPLE

DEFAULT_TILE = 128
DEFAULT_OVERLAP = 16


@dataclass(frozen=True)
class Window:
    """A rectangle of a grid, in the grid's own pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, x: Tensor) -> Tensor:
        """View this window of x [..., H, W]."""
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Axis:
    """Equal windows along one side: where each starts, and how long all of them are."""

    length: int
    window: int
    starts: tuple[int, ...]

    @classmethod
    def cover(cls, length: int, *, tile: int, overlap: int, multiple: int) -> "Axis":
        if length <= tile:
            return cls(length, length, (0,))
        count = math.ceil((length - overlap) / (tile - overlap))
        window = math.ceil((length + (count - 1) * overlap) / count / multiple) * multiple
        slack = length - window
        # Starts fall on whole latents where the last one does; rounding all of them down to one
        # raster keeps every overlap at least as wide as asked.
        raster = math.gcd(slack, LATENT_SCALE)
        starts = (i * slack // (count - 1) // raster * raster for i in range(count))
        return cls(length, window, tuple(starts))

    def scaled(self, up: int, down: int) -> "Axis":
        return Axis(
            self.length * up // down,
            self.window * up // down,
            tuple(start * up // down for start in self.starts),
        )

    def weights(self) -> Tensor:
        """Give each window's blend weight per pixel: float32 [windows, window], sums to 1 along x.

        Neighbours are cross-faded over their overlap by sin^4 against cos^4, never reaching zero:
        steeper than a half cosine, because a network is least sure along the edge of its window.
        """
        raw = torch.ones(len(self.starts), self.window, dtype=torch.float64)
        for i, (start, after) in enumerate(pairwise(self.starts)):
            shared = start + self.window - after
            ramp = torch.sin(math.pi / 2 * (torch.arange(shared) + 0.5) / shared) ** 4
            raw[i + 1, :shared] *= ramp
            raw[i, self.window - shared :] *= ramp.flip(0)
        total = torch.zeros(self.length, dtype=torch.float64)
        for start, weight in zip(self.starts, raw, strict=True):
            total[start : start + self.window] += weight
        sums = torch.stack([total[start : start + self.window] for start in self.starts])
        return (raw / sums).float()


@dataclass(frozen=True)
class TileGrid:
    """Equal overlapping windows over an image, row by row."""

    rows: Axis
    columns: Axis

    @classmethod
    def cover(
        cls,
        size: tuple[int, int],
        *,
        tile: int = DEFAULT_TILE,
        overlap: int = DEFAULT_OVERLAP,
        multiple: int = MULTIPLE,
    ) -> "TileGrid":
        """Cover `size` (height, width) with the fewest windows of at most `tile` a side.

        Neighbours share at least `overlap` pixels; windows are evenly spread, all of one size, no
        larger than that takes, a multiple of `multiple`. A side within `tile` is one window.
        `tile` 0 means one window for everything. Raises ValueError if the numbers do not fit.
        """
        check_tiling(tile, overlap, multiple=multiple)
        tile = tile or max(size)
        fit = {"tile": tile, "overlap": overlap + overlap % LATENT_SCALE, "multiple": multiple}
        return cls(Axis.cover(size[0], **fit), Axis.cover(size[1], **fit))

    @property
    def size(self) -> tuple[int, int]:
        return (self.rows.length, self.columns.length)

    @property
    def window_size(self) -> tuple[int, int]:
        return (self.rows.window, self.columns.window)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        return tuple(
            Window(top, left, *self.window_size)
            for top in self.rows.starts
            for left in self.columns.starts
        )

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def scaled(self, up: int, down: int = 1) -> "TileGrid":
        """Give the same windows on an image `up / down` times as large."""
        return TileGrid(self.rows.scaled(up, down), self.columns.scaled(up, down))

    def weight(self, index: int) -> Tensor:
        """Give the blend weight of window `index`: float32 [height, width], sums to 1 over all."""
        row, column = divmod(index, len(self.columns.starts))
        rows, columns = self._axis_weights
        return rows[row][:, None] * columns[column][None, :]

    @cached_property
    def _axis_weights(self) -> tuple[Tensor, Tensor]:
        return self.rows.weights(), self.columns.weights()


def check_tiling(tile: int, overlap: int, *, multiple: int = MULTIPLE) -> None:
    """Raise ValueError unless `tile` (0: one window) fits the networks and exceeds `overlap`.

    By a whole latent at least, because windows are shifted by whole latents.
    """
    if tile < 0 or tile % multiple:
        raise ValueError(f"tile_size must be a multiple of {multiple} (or 0 for none), got {tile}.")
    if overlap < 0 or (tile and overlap > tile - LATENT_SCALE):
        raise ValueError(
            f"overlap must be smaller than tile_size {tile} by {LATENT_SCALE} or more, "
            f"got {overlap}."
        )


@dataclass(frozen=True)
class Tiling:
    """How to window an image: largest window and overlap in LR pixels, and windows per batch."""

    tile_size: int = DEFAULT_TILE
    overlap: int = DEFAULT_OVERLAP
    tile_batch: int = 1

    def checked(self) -> "Tiling":
        """Give itself. Raises ValueError unless the numbers fit together and the networks."""
        check_tiling(self.tile_size, self.overlap)
        return self

    def grid(self, size: tuple[int, int]) -> TileGrid:
        """Cover an LR image of `size`. Raises ValueError if the numbers do not fit together."""
        return TileGrid.cover(size, tile=self.tile_size, overlap=self.overlap)

    def smaller(self, size: tuple[int, int]) -> "Tiling | None":
        """Halve the batch, or else the windows, for less memory; None when there is no less."""
        if self.tile_batch > 1:
            return replace(self, tile_batch=self.tile_batch // 2)
        window = max(self.grid(size).window_size)
        tile = math.ceil(window / 2 / MULTIPLE) * MULTIPLE
        fits = self.overlap + LATENT_SCALE <= tile < window
        return replace(self, tile_size=tile) if fits else None


class Blender:
    """Sum weighted window results into one image [B, C, *grid.size]."""

    def __init__(self, grid: TileGrid):
        self._grid = grid
        self._sum: Tensor | None = None

    def add(self, index: int, tile: Tensor) -> None:
        """Add the result [B, C, *grid.window_size] of window `index`."""
        if len(self._grid) == 1:
            self._sum = tile
            return
        if self._sum is None:
            self._sum = tile.new_zeros((*tile.shape[:-2], *self._grid.size))
        weight = self._grid.weight(index).to(tile)
        self._grid.windows[index].of(self._sum).add_(tile * weight)

    @property
    def result(self) -> Tensor:
        assert self._sum is not None, "no window was added"
        return self._sum


def batches(count: int, size: int) -> Iterator[Sequence[int]]:
    """Split range(count) into runs of at most `size`."""
    for first in range(0, count, size):
        yield range(first, min(first + size, count))


def _split_batch(x: Tensor) -> Sequence[Tensor]:
    """View x [B, ...] as B tensors [1, ...]."""
    return [x[i : i + 1] for i in range(x.shape[0])]


def map_windows(
    compute: Callable[[Tensor], Tensor],
    x: Tensor,
    grid: TileGrid,
    out_grid: TileGrid,
    *,
    tile_batch: int,
    on_tile: Callable[[int], None] | None = None,
) -> Tensor:
    """Run `compute` over the windows of x [B, C, *grid.size]; blend to [B, C', *out_grid.size].

    `compute` maps [N, C, *grid.window_size] to [N, C', *out_grid.window_size]; N is at most
    `tile_batch`, all windows of one image, so that a batch of images gives what each gives alone.
    `on_tile` hears how many windows were finished.
    """
    images: list[Tensor] = []
    for image in _split_batch(x):
        blender = Blender(out_grid)
        for batch in batches(len(grid), tile_batch):
            tiles = compute(torch.cat([grid.windows[i].of(image) for i in batch]))
            for i, tile in zip(batch, _split_batch(tiles), strict=True):
                blender.add(i, tile)
            if on_tile is not None:
                on_tile(len(batch))
        images.append(blender.result)
    return torch.cat(images)
