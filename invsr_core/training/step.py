"""One training step in plain torch: degrade, encode, predict noise, denoise once, compare.

The frozen base comes in as callables, so that a command line and a host run the same step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..posterior import Posterior
from ..resize import upsample_x4
from ..sampling import add_noise
from ..schedule import START_TIMESTEP, model_timesteps, sigmas_for
from .degradation import DegradationConfig, degrade
from .draw import normal
from .losses import CLAMP, hinge_for_discriminator, hinge_for_predictor, latent_l2

Encode = Callable[[Tensor, torch.Generator], Tensor]
"""Images [B, 3, H, W] in [0, 1] (unclamped) to clean, scaled latents [B, 4, H/8, W/8], no grad."""

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Noisy x [B, 4, h, w] and 0-based timesteps [B] to clean latents; gradients flow to x."""

Judge = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""Clean latents and 0-based timesteps [B] to the discriminator's maps of logits."""

Predict = Callable[[Tensor, Tensor], Posterior]
"""LR images [B, 3, h, w] in [0, 1] and 0-based timesteps [B] to the start noise's posterior."""


@dataclass(frozen=True)
class Base:
    """The frozen text-to-image model as a step sees it."""

    encode: Encode
    denoise: Denoise


@dataclass(frozen=True)
class Objective:
    """What is minimised; the defaults are the published ones. A weight of 0 turns a loss off."""

    latent_l2: float = 1.0
    latent_lpips: float = 2.0
    adversarial: float = 0.1
    adversarial_from: int = 10_000
    """Updates before the predictor hears the discriminator, which learns from the first."""
    start_timesteps: tuple[int, ...] = (250, 200, 150, 100)
    """Published timesteps, drawn per image with equal chance."""
    intermediate: bool = False
    """Predict noise for HR latents, below the start only: the supplement's InvSR-Int."""

    def __post_init__(self) -> None:
        for timestep in self.start_timesteps:
            sigmas_for((timestep,))
        if not self.timesteps:
            raise ValueError("start_timesteps must name at least one timestep (two for InvSR-Int).")
        if not self.latent_l2 and not self.latent_lpips and not self.adversarial:
            raise ValueError("All loss weights are 0: nothing would be learned. Set one above 0.")

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The published timesteps in use."""
        kept = (t for t in self.start_timesteps if not self.intermediate or t < START_TIMESTEP)
        return tuple(kept)


@dataclass(frozen=True)
class Batch:
    """Training pairs: lr [B, 3, h, w] in [0, 1] and clean hr_latents [B, 4, h/2, w/2]."""

    lr: Tensor
    hr_latents: Tensor


@dataclass(frozen=True)
class Estimate:
    """The one-step estimate of the clean latents (Eq. 9), and the 0-based timesteps it is from."""

    denoised: Tensor
    timesteps: Tensor


def make_batch(
    hr: Tensor, degradation: DegradationConfig, encode: Encode, generator: torch.Generator
) -> Batch:
    """Degrade and encode hr [B, 3, H, W] in [0, 1], H and W multiples of 64."""
    return Batch(degrade(hr, degradation, generator), encode(hr, generator))


def draw_timesteps(
    objective: Objective, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw 0-based start timesteps [B] and their sigmas [B], one per image."""
    published = objective.timesteps
    picked = torch.randint(
        len(published), (count,), generator=generator, device=generator.device
    ).cpu()
    sigmas = torch.stack([sigmas_for((timestep,))[0] for timestep in published])
    return torch.tensor(model_timesteps(published))[picked], sigmas[picked]


def estimate(
    predictor: Predict,
    batch: Batch,
    base: Base,
    objective: Objective,
    generator: torch.Generator,
) -> Estimate:
    """Start the diffusion from predicted noise and denoise once (Eq. 8 and 9)."""
    timesteps, sigmas = (
        drawn.to(batch.lr.device) for drawn in draw_timesteps(objective, len(batch.lr), generator)
    )
    clean = (
        batch.hr_latents
        if objective.intermediate
        else base.encode(upsample_x4(batch.lr), generator)
    )
    posterior = predictor(batch.lr, timesteps)
    noise = posterior.sample(normal(generator, clean.shape, clean))
    x = add_noise(clean, noise, sigma=sigmas[:, None, None, None])
    return Estimate(base.denoise(x, timesteps), timesteps)


def predictor_losses(
    made: Estimate,
    batch: Batch,
    objective: Objective,
    *,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None,
    judge: Judge | None,
) -> dict[str, Tensor]:
    """Give the weighted losses of Eq. 11 by name, each a scalar; their sum is minimised.

    `perceptual` is the latent LPIPS; it and `judge` may be left out, and so their loss.
    """
    losses: dict[str, Tensor] = {}
    if objective.latent_l2:
        losses["latent_l2"] = objective.latent_l2 * latent_l2(made.denoised, batch.hr_latents)
    if objective.latent_lpips and perceptual is not None:
        distance = perceptual(made.denoised, batch.hr_latents)
        losses["latent_lpips"] = objective.latent_lpips * distance
    if objective.adversarial and judge is not None:
        fake = judge(made.denoised.clamp(-CLAMP, CLAMP), made.timesteps)
        losses["adversarial"] = objective.adversarial * hinge_for_predictor(fake)
    return {name: loss.float().mean() for name, loss in losses.items()}


def discriminator_loss(made: Estimate, batch: Batch, judge: Judge) -> Tensor:
    """Give the hinge loss of the discriminator on the estimate, detached: a scalar.

    Real and fake go through `judge` in one call, as distributed training needs.
    """
    fake = made.denoised.detach().clamp(-CLAMP, CLAMP)
    maps = judge(torch.cat([batch.hr_latents, fake]), made.timesteps.repeat(2))
    halves = [logits.float().chunk(2) for logits in maps]
    loss = hinge_for_discriminator([real for real, _ in halves], [fake for _, fake in halves])
    return loss.mean()
