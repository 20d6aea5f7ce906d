"""First stage: the autoencoder, on 64x64 crops of endless pictures; then its decoder alone.

The encoder is final after the first of the two, so the UNet need not wait for the second.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import Autoencoder, initialise
from .muon import make_optimizers
from .pairs import SIDE, as_tensor, draw_hr
from .pictures import draw_picture
from .run import Run

UPDATES, DECODER_UPDATES = 2900, 1200
BATCH, CROP, STOCK = 8, 64, 192
FIRST_PICTURE = 1_000_000
FIRST_OF_DECODER = 100_000
"""What the decoder's own updates count from: they see other pictures."""
LATENT_NOISE, DECODER_NOISE = 0.1, 0.3
"""Largest standard deviation of the noise that the decoder learns to bear, in the two stages: what
it is given in use is an estimate, never an encoder's exact output."""

# Rows: Y, Cb, Cr of JPEG.
_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
_WEIGHTS = torch.tensor([1.0, 0.6, 0.6])[:, None, None]


def train_autoencoder(file: Path) -> Autoencoder:
    """Make, or go on with, the autoencoder whose state is in `file`; costly blocks sleep."""
    network = Autoencoder()
    initialise(network, torch.Generator().manual_seed(0))
    network.wake()
    _train(network, network, file, UPDATES, first=0, noise=LATENT_NOISE)
    return network


def train_decoder(file: Path, autoencoder: Autoencoder) -> None:
    """Go on with the decoder alone, all of it awake."""
    autoencoder.taesd_encoder.requires_grad_(False)
    autoencoder.wake("taesd_decoder")
    first, noise = FIRST_OF_DECODER, DECODER_NOISE
    decoder = autoencoder.taesd_decoder
    _train(autoencoder, decoder, file, DECODER_UPDATES, first=first, noise=noise)


def _train(
    network: Autoencoder,
    trained: nn.Module,
    file: Path,
    updates: int,
    *,
    first: int,
    noise: float,
) -> None:
    network.to(memory_format=torch.channels_last)
    run = Run(file, trained, make_optimizers(trained, lr=0.004, adam_lr=1e-3), updates)
    stock, held_out = _Stock(), torch.cat([draw_hr(n) for n in range(8)])

    def loss_of(update: int) -> Tensor:
        number = first + update
        return _loss(network, _crops(stock, number), noise, torch.Generator().manual_seed(number))

    run.train(loss_of, lambda: _quality(network, held_out))


def _loss(
    network: Autoencoder, images: Tensor, largest: float, generator: torch.Generator
) -> Tensor:
    """L1 and squared error of the noisy latents' picture, luma counting most; unit latents."""
    with torch.autocast("cpu", torch.bfloat16):
        latents = network.encode(images).float()
        amount = largest * torch.rand((len(images), 1, 1, 1), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        decoded = network.decode(latents + amount * noise).float()
    error = torch.einsum("oc,bchw->bohw", _YCBCR, decoded - images)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    off_scale = (mean.square() + (std - 1).square()).mean()
    return ((error.abs() + 5 * error.square()) * _WEIGHTS).mean() + 0.01 * off_scale


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
