"""LPIPS between VAE latents: VGG16 without its first three poolings, on 4 channels.

The tensor names are those of the authors' `vgg16_sdturbo_lpips.pth`. Only the network is here;
without its weights there is no such loss.
"""

import os
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..weights import canonical_keys

_SLICES = (
    ((0, 4, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
)
"""Convolutions of each slice by torchvision's index, with channels in and out."""


class LatentLPIPS(nn.Module):
    """Perceptual distance of scaled latents (those the UNet works in)."""

    def __init__(self, **factory: Any):
        super().__init__()
        self.net = nn.ModuleDict(
            {
                f"slice{number}": nn.ModuleDict(
                    {
                        str(index): nn.Conv2d(in_channels, out_channels, 3, padding=1, **factory)
                        for index, in_channels, out_channels in convolutions
                    }
                )
                for number, convolutions in enumerate(_SLICES, start=1)
            }
        )
        self.lins = nn.ModuleList(
            _Weighting(convolutions[-1][2], **factory) for convolutions in _SLICES
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Give the distance [B] of two latents [B, 4, h, w], h and w even."""
        total = a.new_zeros(len(a))
        pairs = torch.cat([a, b])
        for number, (slice_, lin) in enumerate(zip(self.net.values(), self.lins, strict=True)):
            if number == 4:
                pairs = F.max_pool2d(pairs, 2)  # the only one left
            for convolution in cast(nn.ModuleDict, slice_).values():
                pairs = F.relu(convolution(pairs))
            left, right = _unit(pairs).chunk(2)
            total = total + lin((left - right) ** 2).mean(dim=(1, 2, 3))
        return total


class _Weighting(nn.Module):
    def __init__(self, channels: int, **factory: Any):
        super().__init__()
        conv = nn.Conv2d(channels, 1, 1, bias=False, **factory)
        self.model = nn.Sequential(nn.Identity(), conv)  # a dropout was first in training

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _unit(features: Tensor) -> Tensor:
    return features / (features.norm(dim=1, keepdim=True) + 1e-10)


def load_latent_lpips(path: str | os.PathLike[str]) -> LatentLPIPS:
    """Load a frozen `vgg16_sdturbo_lpips.pth`, or the same tensors as .safetensors.

    Raises ValueError, naming the file, if tensors are missing or misshapen.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        state: dict[str, Any] = {**safetensors.torch.load_file(path)}
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    return latent_lpips_from(canonical_keys(state), name=path.name)


def latent_lpips_from(state: dict[str, Any], *, name: str) -> LatentLPIPS:
    """Build the frozen network from tensors under their published names."""
    network = LatentLPIPS(device="meta")
    expected = network.state_dict()
    wrong = [key for key in expected if getattr(state.get(key), "shape", 0) != expected[key].shape]
    if wrong:
        raise ValueError(
            f"{name} is not the latent LPIPS: {len(wrong)} of {len(expected)} tensors are missing "
            f"or misshapen (first: '{wrong[0]}'). Use the authors' vgg16_sdturbo_lpips.pth."
        )
    network.load_state_dict({key: state[key].float() for key in expected}, assign=True)
    return network.requires_grad_(False).eval()
