"""The losses of the paper's Eq. 11, each between the one-step estimate and the HR latents."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CLAMP = 10.0
"""Estimates are clamped to this before they are judged, as published."""


def latent_l2(denoised: Tensor, hr_latents: Tensor) -> Tensor:
    """Give the mean squared error per image: [B]."""
    return F.mse_loss(denoised, hr_latents, reduction="none").mean(dim=(1, 2, 3))


def hinge_for_predictor(fake: Sequence[Tensor]) -> Tensor:
    """Give minus the mean logit per image, averaged over the discriminator's maps: [B]."""
    return -torch.stack([logits.mean(dim=(1, 2, 3)) for logits in fake]).mean(dim=0)


def hinge_for_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Give (relu(1 - real) + relu(1 + fake)) / 2 per image, averaged over the maps: [B]."""
    maps = [
        0.5 * (F.relu(1.0 - good) + F.relu(1.0 + bad)).mean(dim=(1, 2, 3))
        for good, bad in zip(real, fake, strict=True)
    ]
    return torch.stack(maps).mean(dim=0)
