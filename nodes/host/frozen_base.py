"""The user's MODEL and VAE as the frozen base of a training step, gradients flowing to x."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...invsr_core.training.step import Base
from . import managed_vae
from .model_checks import check_model, check_vae
from .progress import Progress


@contextmanager
def training() -> Iterator[None]:
    """Leave the host's inference mode and tell its layers that gradients are wanted."""
    with torch.inference_mode(False):
        comfy.model_management.in_training = True
        try:
            yield
        finally:
            comfy.model_management.in_training = False


def frozen_base(model: Any, vae: Any, positive: Any) -> Base:
    """Wrap MODEL, VAE and CONDITIONING; call it inside `training`.

    Raises ValueError if they do not fit InvSR, or the conditioning is not one plain text.
    """
    check_model(model)
    check_vae(vae)
    context = _plain_text(positive)
    model = _loaded_anew(model)
    model.model.requires_grad_(False)

    def encode(images: Tensor, _: torch.Generator) -> Tensor:
        with torch.inference_mode():
            latents = managed_vae.encode(vae, images, Progress.unseen())
        return model.model.process_latent_in(latents.clone()).to(images.device)

    def denoise(x: Tensor, timesteps: Tensor) -> Tensor:
        # All memory there is, and whole: the backward pass needs every weight where it was.
        comfy.model_management.load_models_gpu([model], memory_required=1e20, force_full_load=True)
        sigmas = model.get_model_object("model_sampling").sigma(timesteps.float())
        crossattn = context.to(x.device).expand(len(x), -1, -1)
        return model.model.apply_model(x, sigmas.to(x), c_crossattn=crossattn).float()

    return Base(encode, denoise)


def _plain_text(positive: Any) -> Tensor:
    if len(positive) != 1 or {"control", "area", "mask"} & positive[0][1].keys():
        raise ValueError(
            "positive must be one plain prompt for training: no ControlNet, no areas or masks, no "
            "combined conditionings. Connect a CLIP Text Encode."
        )
    return positive[0][0].clone()


def _loaded_anew(model: Any) -> Any:
    """Give a copy, patches included, whose weights can take part in a backward pass.

    As for the host's own training: weights loaded in inference mode cannot.
    """
    if model.cached_patcher_init is None:
        raise ValueError(
            "model cannot be loaded a second time for training, because the node that made it does "
            "not say how. Use Load Checkpoint or Load Diffusion Model."
        )
    return model.clone(force_deepcopy=True)
