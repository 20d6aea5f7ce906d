"""Third stage: the noise predictor, by the project's own training step and degradation."""

from pathlib import Path

import torch
from torch import Tensor

from invsr_core.posterior import Posterior
from invsr_core.predictor import NoisePredictor, PredictorConfig
from invsr_core.resize import upsample_x4
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import fresh_predictor
from invsr_core.training.metrics import psnr_y
from invsr_core.training.step import Base, Batch, Objective, estimate, predictor_losses

from .autoencoder import Autoencoder
from .muon import make_optimizers
from .pairs import draw_pair
from .run import Judge, Run
from .stock import Stock
from .unet_stage import Denoiser, encode

UPDATES = 6000
FIRST_PICTURE, STOCK, UPDATES_EACH, SEED = 3_000_000, 320, 2, 11
SIZES = PredictorConfig(
    block_out_channels=(64, 128), layers_per_block=(1, 1), temb_channels=128, sinusoid_channels=128
)
OBJECTIVE = Objective(latent_l2=1.0, latent_lpips=0.0, adversarial=0.0)


def train_predictor(file: Path, autoencoder: Autoencoder, denoiser: Denoiser) -> NoisePredictor:
    """Make, or go on with, the predictor whose state is in `file`."""
    network = fresh_predictor(SIZES, generator_for("cpu", "demo predictor")).train()
    run = Run(file, network, make_optimizers(network, lr=0.006, adam_lr=1e-3), UPDATES)

    def make(number: int) -> tuple[Tensor, ...]:
        hr, lr = draw_pair(FIRST_PICTURE + number)
        return lr[0], encode(autoencoder, upsample_x4(lr))[0], encode(autoencoder, hr)[0]

    stock = Stock(make, size=STOCK, updates_each=UPDATES_EACH)

    def loss_of(number: int) -> Tensor:
        lr, lr_latents, latents = stock.crops(number, seed=SEED)
        base = Base(encode=lambda images, generator: lr_latents, denoise=_mixed(denoiser))
        generator, batch = torch.Generator().manual_seed(number), Batch(lr, latents)
        made = estimate(_mixed(network), batch, base, OBJECTIVE, generator)
        losses = predictor_losses(made, batch, OBJECTIVE, perceptual=None, judge=None)
        return losses["latent_l2"]

    run.train(loss_of, _trial(autoencoder, denoiser, network))
    return network.eval()


def _mixed(network: object) -> object:
    """Run a network in bfloat16 where that is safe, and give float32."""

    def called(x: Tensor, timesteps: Tensor) -> Tensor | Posterior:
        with torch.autocast("cpu", torch.bfloat16):
            given = network(x, timesteps)
        if isinstance(given, Posterior):
            return Posterior(given.mean.float(), given.logvar.float())
        return given.float()

    return called


def _trial(autoencoder: Autoencoder, denoiser: Denoiser, network: NoisePredictor) -> Judge:
    """Restores a few held-out pictures: what one step from t = 200 gains on bicubic."""
    hr, lr, lr_latents = held_out(autoencoder)

    def quality() -> str:
        generator = torch.Generator().manual_seed(0)
        estimated = restored(network, denoiser, lr, lr_latents, 200, generator)
        return f"one step, {trial_quality(autoencoder, estimated, hr, lr)}"

    return quality


def held_out(autoencoder: Autoencoder) -> tuple[Tensor, Tensor, Tensor]:
    """Give a few held-out pictures, their LR pictures, and the latents of those, enlarged."""
    pairs = [draw_pair(number) for number in range(8)]
    hr, lr = (torch.cat(each) for each in zip(*pairs, strict=True))
    return hr, lr, encode(autoencoder, upsample_x4(lr))


def restored(
    predictor: NoisePredictor,
    denoiser: Denoiser,
    lr: Tensor,
    lr_latents: Tensor,
    published: int,
    generator: torch.Generator,
) -> Tensor:
    """Give the latents [B, 4, h, w] that one step from a published timestep makes of lr."""
    timesteps = torch.full((len(lr),), published - 1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        posterior = predictor(lr, timesteps)
        noise = posterior.sample(torch.randn(lr_latents.shape, generator=generator)).float()
        made = denoiser(lr_latents + denoiser.sigmas[published - 1] * noise, timesteps)
    return made.float().clone()


def trial_quality(autoencoder: Autoencoder, latents: Tensor, hr: Tensor, lr: Tensor) -> str:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = autoencoder.decode(latents).float().clamp(0, 1)
    bicubic = upsample_x4(lr).clamp(0, 1)
    return f"PSNR-Y {_mean_psnr(found, hr):.2f}, bicubic {_mean_psnr(bicubic, hr):.2f}"


def _mean_psnr(images: Tensor, hr: Tensor) -> float:
    return sum(psnr_y(a[None], b[None]) for a, b in zip(images, hr, strict=True)) / len(hr)
