"""The partial diffusion: the noised start and the Euler loop, in k-diffusion's calling form."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import Tensor


def add_noise(latents: Tensor, noise: Tensor, *, sigma: float | Tensor) -> Tensor:
    """Diffuse clean latents to noise level `sigma`: x = latents + sigma * noise.

    Variance-exploding form of InvSR Eq. 8. Both [B, 4, h, w], same dtype; one sigma, or one per
    image as [B, 1, 1, 1].
    """
    return latents + sigma * noise


def sample_euler(
    model: Callable[..., Tensor],
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
) -> Tensor:
    """Walk x [B, 4, h, w] down `sigmas` by Euler's method (Karras et al. 2022, Algorithm 2).

    `model(x, sigma [B], **extra_args)` returns the denoised latents. Deterministic. `disable` is
    taken for k-diffusion's signature only: there is no progress bar to disable.
    """
    ones = x.new_ones(x.shape[0])
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = model(x, sigma * ones, **(extra_args or {}))
        slope = (x - denoised) / sigma
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        x = x + slope * (sigma_next - sigma)
    return x
