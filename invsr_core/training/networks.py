"""What a run trains and judges with, made from its configuration."""

import logging
from dataclasses import dataclass

import torch

from ..predictor import NoisePredictor
from ..weights import load_predictor
from .base import FrozenBase
from .config import TrainingConfig
from .discriminator import Discriminator
from .draw import generator_for
from .initial import fresh_predictor, initialise
from .latent_lpips import LatentLPIPS, load_latent_lpips

log = logging.getLogger(__name__)


@dataclass
class Networks:
    predictor: NoisePredictor
    discriminator: Discriminator | None
    perceptual: LatentLPIPS | None


def make_networks(config: TrainingConfig, base: FrozenBase) -> Networks:
    """Build or load the networks of a run on the CPU in float32."""
    return Networks(_predictor(config), _discriminator(config, base), _perceptual(config))


def _predictor(config: TrainingConfig) -> NoisePredictor:
    if config.predictor.start:
        return load_predictor(config.predictor.start).float().requires_grad_(True)
    generator = generator_for("cpu", config.run.seed, "predictor")
    return fresh_predictor(config.predictor.sizes, generator)


def _discriminator(config: TrainingConfig, base: FrozenBase) -> Discriminator | None:
    if not config.loss.adversarial:
        return None
    sizes, width = config.discriminator, base.prompt.shape[-1]
    if sizes.cross_attention_dim != width:
        raise ValueError(
            f"discriminator.cross_attention_dim is {sizes.cross_attention_dim}, but the base "
            f"model's text embedding is {width} wide. Set it to {width}."
        )
    with torch.device("meta"):
        network = Discriminator(sizes)
    return initialise(network, generator_for("cpu", config.run.seed, "discriminator"))


def _perceptual(config: TrainingConfig) -> LatentLPIPS | None:
    if not config.loss.latent_lpips:
        return None
    if not config.loss.latent_lpips_file:
        log.warning(
            "The latent LPIPS loss is off: set loss.latent_lpips_file to the authors' "
            "vgg16_sdturbo_lpips.pth."
        )
        return None
    return load_latent_lpips(config.loss.latent_lpips_file)
