"""Restore an LR image with a trained predictor: the nodes' walk, over the training base."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..noise import predict_noise
from ..predictor import NoisePredictor
from ..resize import PAD_TO, SCALE, Frame, upsample_x4
from ..sampling import add_noise, sample_euler
from ..schedule import model_timesteps, sigmas_for, start_timestep
from ..tiling import TileGrid
from .base import FrozenBase
from .draw import normal


def restore(
    predictor: NoisePredictor,
    base: FrozenBase,
    lr: Tensor,
    published: tuple[int, ...],
    *,
    seed: int,
    pad_to: int = PAD_TO,
) -> Tensor:
    """Give the x4 image [B, 3, 4h, 4w] of lr [B, 3, h, w], both in [0, 1].

    `published` timesteps are counted from 1. The noise is drawn on the CPU from `seed`, the same
    for each image of its size; latents go through the UNet whole.
    """
    frame = Frame.around((lr.shape[-2], lr.shape[-1]), pad_to=pad_to)
    padded = frame.pad(lr)
    with torch.no_grad():
        clean = base.encode(upsample_x4(padded), None)
        noise = _start_noise(predictor, padded, model_timesteps(published)[0], seed)
        sigmas = sigmas_for(published).to(clean)
        x = add_noise(clean, noise, sigma=sigmas[0])
        latents = sample_euler(_denoiser(base), x, sigmas)
        return frame.crop(base.decode(latents), scale=SCALE)


def _start_noise(predictor: NoisePredictor, lr: Tensor, timestep: int, seed: int) -> Tensor:
    grid = TileGrid.cover((lr.shape[-2], lr.shape[-1]))
    posterior = predict_noise(predictor, lr, timestep, grid)
    generator = torch.Generator().manual_seed(seed)
    return posterior.sample(normal(generator, posterior.mean.shape, posterior.mean))


def _denoiser(base: FrozenBase) -> Callable[[Tensor, Tensor], Tensor]:
    def denoised(x: Tensor, sigma: Tensor) -> Tensor:
        timestep = start_timestep(float(sigma[0]))
        return base.denoise(x, torch.full((len(x),), timestep, device=x.device))

    return denoised
