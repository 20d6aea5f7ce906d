"""Second stage: the UNet, an SD 2 type denoiser of the autoencoder's latents up to t = 250."""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from invsr_core.schedule import START_TIMESTEP, sigmas_for
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import initialise

from .autoencoder import Autoencoder
from .muon import make_optimizers
from .pairs import draw_hr
from .run import Run
from .stock import Stock

UPDATES = 2000
FIRST_PICTURE, STOCK, UPDATES_EACH, SEED = 2_000_000, 256, 2, 7
CONTEXT_SHAPE = (1, 8, 64)
SIZES = {
    "sample_size": 16,
    "block_out_channels": (64, 128),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "layers_per_block": 1,
    "attention_head_dim": (1, 2),
    "cross_attention_dim": CONTEXT_SHAPE[-1],
    "use_linear_projection": True,
}


class Denoiser:
    """The UNet as a training step wants it: from noisy latents to clean ones."""

    def __init__(self) -> None:
        generator = generator_for("cpu", "demo UNet")
        with torch.device("meta"):
            unet = UNet2DConditionModel(**SIZES)
        self.unet = initialise(unet, generator)
        self.context = torch.randn(CONTEXT_SHAPE, generator=generator)
        self.sigmas = torch.cat([sigmas_for((t,))[:1] for t in range(1, START_TIMESTEP + 1)])

    def noise(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Estimate the unit noise in x [B, 4, h, w] at 0-based timesteps [B]."""
        scaled = x / (self._sigma(timesteps).square() + 1).sqrt()
        context = self.context.expand(len(x), -1, -1)
        return self.unet(scaled, timesteps, encoder_hidden_states=context).sample.float()

    def __call__(self, x: Tensor, timesteps: Tensor) -> Tensor:
        return x - self._sigma(timesteps) * self.noise(x, timesteps)

    def loss(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """The squared error of the noise, at timesteps drawn uniformly below 250."""
        timesteps = torch.randint(START_TIMESTEP, (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        x = latents + self._sigma(timesteps) * noise
        with torch.autocast("cpu", torch.bfloat16):
            found = self.noise(x, timesteps)
        return F.mse_loss(found, noise)

    def _sigma(self, timesteps: Tensor) -> Tensor:
        return self.sigmas[timesteps][:, None, None, None]


def train_unet(file: Path, autoencoder: Autoencoder) -> Denoiser:
    """Make, or go on with, the UNet whose state is in `file`."""
    denoiser = Denoiser()
    network = denoiser.unet.train()
    run = Run(file, network, make_optimizers(network, lr=0.006, adam_lr=1e-3), UPDATES)

    def make(number: int) -> tuple[Tensor, ...]:
        return (hr_latents(autoencoder, FIRST_PICTURE + number),)

    stock = Stock(make, size=STOCK, updates_each=UPDATES_EACH)
    held_out = torch.stack([hr_latents(autoencoder, number) for number in range(8)])

    def loss_of(number: int) -> Tensor:
        (latents,) = stock.crops(number, seed=SEED)
        return denoiser.loss(latents, torch.Generator().manual_seed(number))

    run.train(loss_of, lambda: _quality(denoiser, held_out))
    network.requires_grad_(False).eval()
    return denoiser


def hr_latents(autoencoder: Autoencoder, number: int) -> Tensor:
    """Encode the picture of one number: [4, SIDE / 8, SIDE / 8]."""
    return encode(autoencoder, draw_hr(number))[0]


def encode(autoencoder: Autoencoder, images: Tensor) -> Tensor:
    """Give the clean latents of images in [0, 1]."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        latents = autoencoder.encode(images.to(memory_format=torch.channels_last))
    return latents.float().clone()


def _quality(denoiser: Denoiser, held_out: Tensor) -> str:
    """What noise of t = 200 costs: the latents' error left by one step, from 1 of pure noise."""
    timesteps = torch.full((len(held_out),), 199)
    noise = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(0))
    sigma = float(denoiser.sigmas[199])
    with torch.inference_mode():
        left = denoiser(held_out + sigma * noise, timesteps) - held_out
    return f"error {float(left.square().mean().sqrt()):.4f} of noise {sigma:.4f}"
