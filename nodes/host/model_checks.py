"""Which MODEL and VAE InvSR can use, said before anything is computed."""

from typing import Any

import comfy.model_sampling
import torch
from torch import Tensor

from ...invsr_core.schedule import check_timesteps, model_timesteps, sigmas_for, start_timestep

LATENT_CHANNELS = 4
SD_LATENT_SCALE = 0.18215


def check_model(model: Any) -> None:
    """Raise ValueError unless MODEL is SD-Turbo's kind: SD latents and epsilon prediction."""
    latents = model.get_model_object("latent_format")
    if latents.latent_channels != LATENT_CHANNELS or latents.scale_factor != SD_LATENT_SCALE:
        raise ValueError(
            f"model works on other latents ({latents.latent_channels} channels, scale "
            f"{latents.scale_factor:g}) than InvSR needs ({LATENT_CHANNELS}, {SD_LATENT_SCALE:g}). "
            "Use SD-Turbo or another SD 1.x / 2.x model; SDXL, SD3 and Flux do not fit."
        )
    sampling = model.get_model_object("model_sampling")
    eps = comfy.model_sampling.EPS
    plain = all(
        getattr(type(sampling), name, None) is getattr(eps, name)
        for name in ("calculate_input", "calculate_denoised", "noise_scaling")
    )
    if not plain:
        kinds = ", ".join(base.__name__ for base in type(sampling).__mro__[1:-1] if base is not eps)
        raise ValueError(
            f"model does not predict epsilon in the plain way InvSR needs (it is: {kinds}). "
            "Use SD-Turbo; v-prediction, x0, EDM and flow models do not fit."
        )


def model_sigmas(model: Any, published: tuple[int, ...]) -> Tensor:
    """Take the model's own noise levels at published timesteps: float32 [S + 1], ending in 0.

    Raises ValueError if the model does not fit or its levels are not SD's.
    """
    check_timesteps(published)
    check_model(model)
    sampling = model.get_model_object("model_sampling")
    levels = sampling.sigma(torch.tensor(model_timesteps(published), dtype=torch.float32))
    sigmas = torch.cat([levels.float().cpu(), torch.zeros(1)])
    expected = sigmas_for(published)
    if not torch.allclose(sigmas, expected, rtol=1e-4, atol=0):
        raise ValueError(
            f"model has other noise levels ({float(sigmas[0]):.4f} at the start, expected "
            f"{float(expected[0]):.4f}). Remove ModelSampling patches from it, or use SD-Turbo."
        )
    return sigmas


def start_of(sigmas: Tensor) -> int:
    """Read the 0-based start timestep off SIGMAS. Raises ValueError if they make no schedule."""
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(
            f"sigmas must hold at least two noise levels, got {len(sigmas.flatten())}. "
            "Use the InvSR Scheduler."
        )
    if not (sigmas[1:] < sigmas[:-1]).all():
        raise ValueError(
            f"sigmas must fall from step to step, got {[round(float(s), 4) for s in sigmas]}. "
            "Use the InvSR Scheduler."
        )
    return start_timestep(float(sigmas[0]))


def check_vae(vae: Any) -> None:
    """Raise ValueError unless VAE has the 4-channel latents, 1/8 the size, of SD."""
    vae.throw_exception_if_invalid()
    if vae.latent_channels != LATENT_CHANNELS:
        raise ValueError(
            f"The VAE gives {vae.latent_channels} latent channels, InvSR needs {LATENT_CHANNELS}. "
            "Use an SD-Turbo or SD 2.1 VAE."
        )
    if vae.downscale_ratio != 8:
        raise ValueError(
            f"The VAE shrinks by {vae.downscale_ratio}, InvSR needs 8. "
            "Use an SD-Turbo or SD 2.1 VAE."
        )
