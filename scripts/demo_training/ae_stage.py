"""First stage: the autoencoder, on 64x64 crops of endless pictures."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .autoencoder import Autoencoder, initialise
from .muon import make_optimizers
from .pairs import SIDE, as_tensor, draw_hr
from .pictures import draw_picture
from .run import Run

UPDATES = 2900
BATCH, CROP, STOCK = 8, 64, 192
FIRST_PICTURE = 1_000_000
LATENT_NOISE = 0.1
"""Largest standard deviation of the noise that the decoder learns to bear: what it is given in use
is an estimate, never an encoder's exact output."""

# Rows: Y, Cb, Cr of JPEG.
_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
_WEIGHTS = torch.tensor([1.0, 0.6, 0.6])[:, None, None]


def train_autoencoder(file: Path) -> Autoencoder:
    """Make, or go on with, the autoencoder whose state is in `file`; costly blocks sleep."""
    network = Autoencoder()
    initialise(network, torch.Generator().manual_seed(0))
    network.wake()
    network.to(memory_format=torch.channels_last)
    run = Run(file, network, make_optimizers(network, lr=0.004, adam_lr=1e-3), UPDATES)
    stock, held_out = _Stock(), torch.cat([draw_hr(n) for n in range(8)])

    def loss_of(update: int) -> Tensor:
        return _loss(network, _crops(stock, update), torch.Generator().manual_seed(update))

    run.train(loss_of, lambda: _quality(network, held_out))
    return network


def _loss(network: Autoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
    """The picture's error after noise on the latents, which are to be of unit scale."""
    with torch.autocast("cpu", torch.bfloat16):
        latents = network.encode(images).float()
        amount = LATENT_NOISE * torch.rand((len(images), 1, 1, 1), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        decoded = network.decode(latents + amount * noise).float()
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    off_scale = (mean.square() + (std - 1).square()).mean()
    return picture_loss(decoded, images) + 0.01 * off_scale


def picture_loss(decoded: Tensor, images: Tensor) -> Tensor:
    """L1 and squared error of pictures [B, 3, H, W], luma counting most."""
    error = torch.einsum("oc,bchw->bohw", _YCBCR, decoded - images)
    return ((error.abs() + 5 * error.square()) * _WEIGHTS).mean()


def _quality(network: Autoencoder, held_out: Tensor) -> str:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        decoded = (
            torch.cat([network.decode(network.encode(one)) for one in held_out.split(1)])
            .float()
            .clamp(0, 1)
        )
    luma = torch.einsum("c,bchw->bhw", _YCBCR[0], decoded - held_out) * (219 / 255)
    rgb = decibels((decoded - held_out).square().flatten(1).mean(1))
    return f"PSNR-Y {decibels(luma.square().flatten(1).mean(1)):.2f}  PSNR {rgb:.2f}"


def decibels(squared_errors: Tensor) -> float:
    return float((-10 * squared_errors.log10()).mean())


class _Stock:
    """The pictures that crops come from: one leaves for a new one every second update."""

    def __init__(self) -> None:
        self._held: dict[int, np.ndarray] = {}

    def at(self, update: int) -> list[np.ndarray]:
        wanted = range(update // 2, update // 2 + STOCK)
        self._held = {
            number: self._held[number]
            if number in self._held
            else np.asarray(draw_picture(FIRST_PICTURE + number, SIDE))
            for number in wanted
        }
        return list(self._held.values())


def _crops(stock: _Stock, update: int) -> Tensor:
    """One batch [BATCH, 3, CROP, CROP]; one crop in eight is blurred, as enlarged LR images are."""
    rng = np.random.default_rng((5, update))
    pictures = stock.at(update)
    images = as_tensor([_crop(pictures, rng) for _ in range(BATCH)])
    blurred = BATCH // 8
    small = F.avg_pool2d(images[:blurred], 4)
    images[:blurred] = F.interpolate(small, scale_factor=4, mode="bicubic").clamp(0, 1)
    return images.to(memory_format=torch.channels_last)


def _crop(pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random part of a random picture, mirrored, turned and in other colours at random."""
    picture = pictures[rng.integers(len(pictures))]
    top, left = rng.integers(0, SIDE - CROP + 1, 2)
    crop = picture[top : top + CROP, left : left + CROP]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = np.rot90(crop, rng.integers(4))
    if rng.random() < 0.25:
        crop = crop[..., rng.permutation(3)]
    return 255 - crop if rng.random() < 0.1 else crop
