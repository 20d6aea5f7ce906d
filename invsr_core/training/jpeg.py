"""JPEG compression of tensors: baseline, 4:2:0, as libjpeg does it (ITU-T T.81, Annexes A and K).

The authors' DiffJPEG differs in three ways that are not kept: it does not round the scaled tables,
stores the luma table transposed and pads with zeros. Chroma is enlarged by repetition, as there.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_BLOCK = 8
_MCU = 16
"""Pixels a side that share one block of each chroma channel."""


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Compress and restore [B, 3, h, w] in [0, 1] at `quality` [B] from 1 to 100."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % _MCU, 0, -height % _MCU), mode="replicate")
    luma, chroma = _to_ycbcr(torch.round(padded * 255.0))
    luma = _quantised(luma, _table(_LUMA, quality))
    chroma = _quantised(torch.round(F.avg_pool2d(chroma, 2)), _table(_CHROMA, quality))
    restored = _to_rgb(luma, F.interpolate(chroma, scale_factor=2, mode="nearest"))
    return restored[..., :height, :width].clamp(0.0, 255.0).div(255.0)


def _to_ycbcr(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Split RGB in 0..255 into level-shifted JFIF luma [B, 1, ...] and chroma [B, 2, ...]."""
    r, g, b = rgb.split(1, dim=1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = torch.cat([(b - y) / 1.772, (r - y) / 1.402], dim=1)
    return torch.round(y) - 128.0, torch.round(chroma)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    y, (cb, cr) = luma + 128.0, chroma.split(1, dim=1)
    return torch.cat([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], dim=1)


def _table(base: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Scale a quantisation table for each quality: [B, 1, 1, 1, 8, 8], whole numbers 1 to 255."""
    percent = torch.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality)
    table = torch.tensor(base, device=quality.device) * percent[:, None, None] / 100.0
    return torch.floor(table + 0.5).clamp(1.0, 255.0)[:, None, None, None]


def _quantised(plane: Tensor, table: Tensor) -> Tensor:
    """Round the DCT coefficients of a plane [B, C, h, w] to multiples of the table's."""
    batch, channels, height, width = plane.shape
    blocks = plane.reshape(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = blocks.transpose(3, 4)  # BC(rows)8(columns)8 -> BC(rows)(columns)88
    basis, table = _dct_basis().to(plane), table.to(plane)
    coefficients = _rounded(basis @ blocks @ basis.T / table) * table
    return (basis.T @ coefficients @ basis).transpose(3, 4).reshape(plane.shape)


def _rounded(x: Tensor) -> Tensor:
    """Round halves away from zero, as libjpeg does; blocks of whole numbers hit them often."""
    return torch.sign(x) * torch.floor(x.abs() + 0.5)


def _dct_basis() -> Tensor:
    """Give the orthonormal DCT-II of 8 samples: [frequency, sample]."""
    sample, frequency = torch.arange(_BLOCK) + 0.5, torch.arange(_BLOCK)[:, None]
    basis = torch.cos(math.pi / _BLOCK * sample * frequency) * math.sqrt(2.0 / _BLOCK)
    basis[0] /= math.sqrt(2.0)
    return basis
