"""The frozen text-to-image model: its VAE, its UNet and one prompt, as a step needs them."""

from typing import Any

import torch
from torch import Tensor, nn

from ..schedule import sigmas_for
from .draw import normal
from .step import Base

ENCODE_BATCH = 8
"""Images the VAE takes at once, as published."""


class FrozenBase:
    """Diffusers' UNet and VAE behind the callables of a step; nothing in it is ever trained.

    `unet` and `vae` (AutoencoderKL, or AutoencoderTiny for the demo models) compute in their own
    dtype and give float32. `prompt` [1, n, width] is the text embedding of every image.
    `prediction` is what the UNet gives: "epsilon" or "v_prediction".
    """

    def __init__(self, unet: Any, vae: Any, prompt: Tensor, *, prediction: str = "epsilon"):
        if prediction not in ("epsilon", "v_prediction"):
            raise ValueError(
                f"The base model predicts '{prediction}', expected epsilon or v_prediction. "
                "Use SD-Turbo or an SD 2.x model."
            )
        channels = unet.config.in_channels
        if channels != 4:
            raise ValueError(f"The base model has {channels} latent channels, InvSR needs 4.")
        self.unet, self.vae, self.prompt = _frozen(unet), _frozen(vae), prompt
        self.prediction = prediction
        self._sigmas = torch.stack([sigmas_for((t,))[0] for t in range(1, 251)])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "FrozenBase":
        self.unet.to(device, dtype)
        self.vae.to(device, dtype)
        self.prompt = self.prompt.to(device, dtype)
        self._sigmas = self._sigmas.to(device)
        return self

    def checkpoint_gradients(self) -> None:
        """Recompute the UNet's activations in the backward pass instead of keeping them."""
        self.unet.enable_gradient_checkpointing()

    @property
    def callables(self) -> Base:
        return Base(encode=self.encode, denoise=self.denoise)

    def encode(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Encode [B, 3, H, W] in [0, 1] to scaled latents: a draw of the posterior, or its mode.

        Training draws, as published; without a generator it is the mode, as a host gives it.
        """
        with torch.no_grad():
            return torch.cat(
                [self._encode(chunk, generator) for chunk in images.split(ENCODE_BATCH)]
            )

    def _encode(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        encoded = self.vae.encode((images * 2.0 - 1.0).to(self.vae.dtype))
        if not hasattr(encoded, "latent_dist"):
            return encoded.latents.float()  # AutoencoderTiny: deterministic, already scaled
        posterior = encoded.latent_dist
        latents = posterior.mean.float()
        if generator is not None:
            latents = latents + posterior.std.float() * normal(generator, latents.shape, latents)
        return latents * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [B, 4, h, w] to images [B, 3, 8h, 8w] in [0, 1]."""
        with torch.no_grad():
            scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
            images = [self.vae.decode(one).sample.float() for one in scaled.split(1)]
        return torch.cat(images).div(2.0).add(0.5).clamp(0.0, 1.0)

    def denoise(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Estimate the clean latents of x [B, 4, h, w] at 0-based timesteps [B] (Eq. 9)."""
        sigma = self._sigmas[timesteps][:, None, None, None]
        scale = (sigma**2 + 1.0).sqrt()
        output = self.unet(
            (x / scale).to(self.unet.dtype),
            timesteps,
            encoder_hidden_states=self.prompt.expand(len(x), -1, -1),
        ).sample.float()
        if self.prediction == "epsilon":
            return x - sigma * output
        return x / scale**2 - output * sigma / scale


def _frozen(network: nn.Module) -> Any:
    return network.requires_grad_(False).eval()
