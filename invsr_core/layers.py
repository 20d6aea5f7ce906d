"""Building blocks of the noise predictor, with the published tensor names.

Every block takes `operations`, the module that supplies Linear, Conv2d and GroupNorm: torch.nn, or
a host's own with casting and partial loading. `factory` holds device and dtype of the parameters.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6


def sinusoid(timestep: Tensor, channels: int) -> Tensor:
    """Embed 0-based timesteps [B] as [B, channels]: cosines, then sines, in float32.

    Frequencies fall geometrically from 1 towards 1/10000, as in Vaswani et al. (2017), section 3.5.
    """
    half = channels // 2
    exponent = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep.float()[:, None] * torch.exp(-math.log(10000.0) * exponent)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    def __init__(self, sinusoid_channels: int, channels: int, *, operations: Any, **factory: Any):
        super().__init__()
        self.linear_1 = operations.Linear(sinusoid_channels, channels, **factory)
        self.linear_2 = operations.Linear(channels, channels, **factory)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(embedding)))


class ResidualBlock(nn.Module):
    """Pre-norm convolution block; the time embedding is added between its convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temb_channels: int,
        groups: int,
        operations: Any,
        **factory: Any,
    ):
        super().__init__()
        self.norm1 = operations.GroupNorm(groups, in_channels, eps=NORM_EPS, **factory)
        self.conv1 = operations.Conv2d(in_channels, out_channels, 3, padding=1, **factory)
        self.time_emb_proj = operations.Linear(temb_channels, out_channels, **factory)
        self.norm2 = operations.GroupNorm(groups, out_channels, eps=NORM_EPS, **factory)
        self.conv2 = operations.Conv2d(out_channels, out_channels, 3, padding=1, **factory)
        self.conv_shortcut = (
            operations.Conv2d(in_channels, out_channels, 1, **factory)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return self.conv_shortcut(x) + h


class Attention(nn.Module):
    """Self-attention over all pixels, added to its input; fused, so no [HW, HW] map is stored."""

    def __init__(
        self, channels: int, *, head_dim: int, groups: int, operations: Any, **factory: Any
    ):
        super().__init__()
        self.head_dim = head_dim
        self.group_norm = operations.GroupNorm(groups, channels, eps=NORM_EPS, **factory)
        self.to_q = operations.Linear(channels, channels, **factory)
        self.to_k = operations.Linear(channels, channels, **factory)
        self.to_v = operations.Linear(channels, channels, **factory)
        self.to_out = nn.ModuleList([operations.Linear(channels, channels, **factory)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # BCHW -> B(HW)C
        q, k, v = (self._heads(project(tokens)) for project in (self.to_q, self.to_k, self.to_v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        mixed = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return x + mixed.transpose(1, 2).reshape(x.shape)

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (-1, self.head_dim)).transpose(1, 2)  # BNC -> B(heads)N(dim)


class Downsample(nn.Module):
    """Halve the sides, with zeros padded to the right and bottom only."""

    def __init__(self, channels: int, *, operations: Any, **factory: Any):
        super().__init__()
        self.conv = operations.Conv2d(channels, channels, 3, stride=2, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))
