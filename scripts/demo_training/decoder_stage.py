"""Last stage: the decoder learns to read what one step makes of LR pictures.

The encoder is final before, so the UNet and the predictor do not depend on this. An estimate of
latents is smoother than an encoder's output: a decoder that knows only the latter draws it wrong.
"""

from pathlib import Path

import torch
from torch import Tensor

from invsr_core.predictor import NoisePredictor
from invsr_core.resize import upsample_x4

from .ae_stage import picture_loss
from .autoencoder import Autoencoder
from .muon import make_optimizers
from .pairs import draw_pair
from .predictor_stage import OBJECTIVE, held_out, restored, trial_quality
from .run import Judge, Run
from .stock import Stock
from .unet_stage import Denoiser, encode

UPDATES = 700
FIRST_PICTURE, STOCK, UPDATES_EACH, SEED = 4_000_000, 320, 2, 13
CROPS = ((2, 24),)
MARGIN = 4
"""Latents at the edges of a crop whose picture is not judged: the decoder sees further."""
ENCODED_EACH = 4
"""One update in so many is on the encoder's own latents: the VAE stays one."""


def train_decoder(
    file: Path, autoencoder: Autoencoder, denoiser: Denoiser, predictor: NoisePredictor
) -> None:
    """Make, or go on with, the decoder whose state is in `file`; all its blocks are awake."""
    autoencoder.taesd_encoder.requires_grad_(False)
    autoencoder.wake("taesd_decoder")
    decoder = autoencoder.taesd_decoder
    run = Run(file, decoder, make_optimizers(decoder, lr=0.0003, adam_lr=1e-4), UPDATES)

    def make(number: int) -> tuple[Tensor, ...]:
        hr, lr = draw_pair(FIRST_PICTURE + number)
        generator = torch.Generator().manual_seed(number)
        published = OBJECTIVE.start_timesteps[number % len(OBJECTIVE.start_timesteps)]
        lr_latents = encode(autoencoder, upsample_x4(lr))
        made = restored(predictor, denoiser, lr, lr_latents, published, generator)
        return hr[0], encode(autoencoder, hr)[0], made[0]

    stock = Stock(make, size=STOCK, updates_each=UPDATES_EACH)

    def loss_of(update: int) -> Tensor:
        hr, encoded, made = stock.crops(update, seed=SEED, shapes=CROPS)
        latents = made if update % ENCODED_EACH else encoded
        with torch.autocast("cpu", torch.bfloat16):
            decoded = autoencoder.decode(latents).float()
        return picture_loss(_inner(decoded), _inner(hr))

    run.train(loss_of, _trial(autoencoder, denoiser, predictor))


def _inner(images: Tensor) -> Tensor:
    cut = 8 * MARGIN
    return images[..., cut:-cut, cut:-cut]


def _trial(autoencoder: Autoencoder, denoiser: Denoiser, predictor: NoisePredictor) -> Judge:
    """What the decoder makes of a few held-out pictures: restored from t = 200, and encoded."""
    hr, lr, lr_latents = held_out(autoencoder)
    encoded = encode(autoencoder, hr)
    made = restored(predictor, denoiser, lr, lr_latents, 200, torch.Generator().manual_seed(0))
    return lambda: (
        f"one step, {trial_quality(autoencoder, made, hr, lr)}; "
        f"encoded, {trial_quality(autoencoder, encoded, hr, lr)}"
    )
