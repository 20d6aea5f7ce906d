"""The host's guider and Euler sampler over a partial trajectory."""

from typing import Any

import comfy.samplers
import comfy.utils
import latent_preview
from torch import Tensor

from .images import intermediate
from .progress import Progress


def sample_euler(
    model: Any,
    conds: dict[str, Any],
    cfg: float,
    noise: Tensor,
    latent: dict[str, Any],
    sigmas: Tensor,
    seed: int,
    progress: Progress,
) -> Tensor:
    """Run the host's Euler sampler from latent + sigmas[0] * noise; previews go to `progress`.

    `conds` maps "positive" and, for guidance, "negative" to CONDITIONINGs.
    """
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(conds)
    guider.set_cfg(cfg)
    samples = guider.sample(
        noise,
        latent["samples"],
        comfy.samplers.sampler_object("euler"),
        sigmas,
        denoise_mask=latent.get("noise_mask"),
        callback=_preview_into(progress, model),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return intermediate(samples)


def _preview_into(progress: Progress, model: Any) -> Any:
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def callback(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
        if previewer:
            progress.advance(0, previewer.decode_latent_to_preview_image("JPEG", denoised))

    return callback
