"""The two bicubics of InvSR, and the padding that is undone exactly after the x4."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = 4
"""LR to HR. Built into the predictor: it halves its input once, the VAE divides by 8."""

MULTIPLE = 16
"""LR sides the networks take: 64 HR pixels, so that the UNet's three halvings stay whole."""

PAD_TO = 128
"""Smallest LR side, the one the predictor was trained on."""

LATENT_SCALE = 2
"""LR pixels per latent."""


def upsample_x4(lr: Tensor) -> Tensor:
    """Enlarge [B, C, h, w] by 4 for the VAE: cubic with A = -0.75, no antialias, unclamped."""
    return F.interpolate(lr, scale_factor=SCALE, mode="bicubic", align_corners=False)


def resize_bicubic(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize [B, C, h, w] to `size` with the antialiased cubic (A = -0.5), unclamped."""
    return F.interpolate(image, size=size, mode="bicubic", align_corners=False, antialias=True)


@dataclass(frozen=True)
class Frame:
    """Where an LR image of `size` lies inside its padded form. All (height, width) in LR pixels."""

    size: tuple[int, int]
    offset: tuple[int, int]
    padded_size: tuple[int, int]
    pad_to: int

    @classmethod
    def around(cls, size: tuple[int, int], *, pad_to: int) -> "Frame":
        """Plan the padding of an image of `size`, at least 1x1.

        A side shorter than `pad_to` grows to it, centred; each side then grows to a multiple
        of 16 on the right and bottom. Raises ValueError if `pad_to` is no positive multiple of 16.
        """
        if pad_to < MULTIPLE or pad_to % MULTIPLE:
            raise ValueError(f"pad_to must be a multiple of {MULTIPLE}, got {pad_to}.")
        (rows, top), (columns, left) = (_padded_indices(side, pad_to) for side in size)
        return cls(size, (top, left), (len(rows), len(columns)), pad_to)

    @property
    def latent_size(self) -> tuple[int, int]:
        return (self.padded_size[0] // LATENT_SCALE, self.padded_size[1] // LATENT_SCALE)

    def pad(self, lr: Tensor) -> Tensor:
        """Pad [B, C, *size] to [B, C, *padded_size] by reflection."""
        for dim, side in zip((2, 3), self.size, strict=True):
            indices, _ = _padded_indices(side, self.pad_to)
            lr = lr.index_select(dim, torch.tensor(indices, device=lr.device))
        return lr

    def crop(self, image: Tensor, *, scale: int) -> Tensor:
        """Cut the original image out of [B, C, H, W], `scale` times as large as the padded LR."""
        top, left = (offset * scale for offset in self.offset)
        height, width = (side * scale for side in self.size)
        return image[:, :, top : top + height, left : left + width]


def _padded_indices(side: int, pad_to: int) -> tuple[list[int], int]:
    """List which source row each padded row repeats, and how many were put before the first.

    Reflection cannot reach further than the image, so small sides take several rounds, as in the
    authors' code; a side of 1, which has nothing to reflect, is repeated.
    """
    if side == 1:
        return [0] * pad_to, (pad_to - 1) // 2
    rows, before = list(range(side)), 0
    while len(rows) < pad_to:
        head = min((pad_to - len(rows)) // 2, len(rows) - 1)
        tail = min(pad_to - len(rows) - head, len(rows) - 1)
        rows, before = _reflected(rows, head, tail), before + head
    return _reflected(rows, 0, -len(rows) % MULTIPLE), before


def _reflected(rows: list[int], head: int, tail: int) -> list[int]:
    return rows[head:0:-1] + rows + rows[-2 : -2 - tail : -1]
