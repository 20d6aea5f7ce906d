"""Pictures on hand for training: each is made once from its number, used for a while, replaced."""

from collections.abc import Callable

import torch
from torch import Tensor

CROPS = ((16, 12), (16, 12), (16, 12), (4, 24))
"""Batch and side (in latents) of every fourth update in turn: many small crops, a few large."""
FIRST = 32


class Stock:
    """At most the last `size` made, 32 at first; one comes every `updates_each` updates.

    `make(number)` gives maps of one picture whose sides are multiples of its latents' sides.
    """

    def __init__(
        self, make: Callable[[int], tuple[Tensor, ...]], *, size: int, updates_each: int
    ) -> None:
        self._make, self._size, self._updates_each = make, size, updates_each
        self._held: dict[int, tuple[Tensor, ...]] = {}

    def crops(
        self, update: int, *, seed: int, shapes: tuple[tuple[int, int], ...] = CROPS
    ) -> tuple[Tensor, ...]:
        """Give the batch of one update: the same crop of each map of random pictures."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + update)
        held = self._at(update)
        batch, side = shapes[update % len(shapes)]
        crops = [_crop(held[_below(len(held), generator)], side, generator) for _ in range(batch)]
        return tuple(torch.stack(each) for each in zip(*crops, strict=True))

    def _at(self, update: int) -> list[tuple[Tensor, ...]]:
        end = FIRST + update // self._updates_each
        self._held = {
            number: self._held[number] if number in self._held else self._make(number)
            for number in range(max(0, end - self._size), end)
        }
        return list(self._held.values())


def _crop(maps: tuple[Tensor, ...], side: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Cut the same square, `side` latents wide, from maps [C, n * h, n * w]; the last has n = 1."""
    height, width = maps[-1].shape[1:]
    top, left = _below(height - side + 1, generator), _below(width - side + 1, generator)
    return tuple(
        each[:, n * top : n * (top + side), n * left : n * (left + side)]
        for each in maps
        for n in (each.shape[1] // height,)
    )


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
