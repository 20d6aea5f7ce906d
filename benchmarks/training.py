"""Throughput and peak memory of training: python benchmarks/training.py [--full] [--updates N]
[--warmup N] [--batch N] [--precision fp32|bf16|fp16].

Without --full the networks have the demo sizes and HR crops measure 128; with it they have those of
SD-Turbo and the published predictor and discriminator, random weights, and HR crops measure 512.
"""

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from invsr_core.training import configs_folder
from invsr_core.training.base import FrozenBase
from invsr_core.training.config import TrainingConfig, load_config
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import initialise
from invsr_core.training.loading import SD2_UNET, SD2_VAE, demo_base
from invsr_core.training.loop import _DTYPES, make_accelerator
from invsr_core.training.update import Updater


def full_base() -> FrozenBase:
    """Make SD-Turbo's UNet and VAE with random weights."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD2_UNET), AutoencoderKL(**SD2_VAE)
    generator = generator_for("cpu", "benchmark")
    base = FrozenBase(
        initialise(unet, generator),
        initialise(vae, generator),
        torch.randn(1, 77, 1024, generator=generator),
    )
    base.checkpoint_gradients()
    return base


def configuration(options: argparse.Namespace) -> TrainingConfig:
    name = "published.toml" if options.full else "demo.toml"
    config = load_config(configs_folder() / name)
    batch = options.batch
    return replace(
        config,
        run=replace(config.run, precision=options.precision),
        data=replace(config.data, batch=batch, microbatch=batch, pool=0, workers=0),
        loss=replace(config.loss, latent_lpips=0.0, adversarial_from=0),
    )


def peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    options = parser.parse_args()
    options.batch = options.batch or (1 if options.full else 4)
    config = configuration(options)
    accelerator = make_accelerator(config)
    base = full_base() if options.full else demo_base()
    updater = Updater(config, base.to(accelerator.device, _DTYPES[options.precision]), accelerator)
    crops = iter(lambda: torch.rand(options.batch, 3, config.data.crop, config.data.crop), None)
    for _ in range(options.warmup):
        updater.update(crops)
    start = time.perf_counter()
    for _ in range(options.updates):
        losses = updater.update(crops)
    seconds = (time.perf_counter() - start) / options.updates
    print(f"device            {accelerator.device}, {torch.get_num_threads()} threads")
    print(f"networks          {'SD-Turbo size' if options.full else 'demo sizes'}")
    print(f"batch, HR crop    {options.batch}, {config.data.crop} px, {options.precision}")
    print(f"seconds an update {seconds:.2f}")
    print(f"images a second   {options.batch / seconds:.4f}")
    print(f"peak memory       {peak_bytes() / 2**30:.2f} GiB")
    print(f"losses            { {name: round(float(loss), 4) for name, loss in losses.items()} }")


if __name__ == "__main__":
    main()
