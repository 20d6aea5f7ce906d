"""The one-stop node."""

from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.tiling import Tiling
from .host.images import alpha_of, resized_mask, to_bchw, to_image, with_alpha
from .host.managed_predictor import ManagedPredictor
from .host.model_checks import model_sigmas
from .sampler import guidance
from .upscale_inputs import (
    SEARCH_ALIASES,
    chosen_timesteps,
    model_inputs,
    optional_inputs,
    setting_inputs,
)
from .upscaler import Upscaler, output_size

BATCH_NOISE = ("per image", "same")


class Upscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRUpscale",
            display_name="InvSR Upscale Image",
            category="InvSR",
            description="Enlarges and restores an image of any size in one node. Keeps colours "
            "and alpha, works in blended windows when the image is large.",
            search_aliases=SEARCH_ALIASES,
            inputs=[
                *model_inputs(),
                io.Image.Input("image", tooltip="Picture of any size from 1x1 px; alpha is kept."),
                *setting_inputs(),
                io.Combo.Input(
                    "batch_noise",
                    options=list(BATCH_NOISE),
                    default=BATCH_NOISE[0],
                    advanced=True,
                    tooltip="per image: each picture of a batch gets its own random noise. same: "
                    "all get the first one's, which keeps the frames of a video alike.",
                ),
                *optional_inputs(mask="Resized to the output."),
            ],
            outputs=[io.Image.Output("image", tooltip="The enlarged image, RGBA if it had alpha.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        vae: Any,
        positive: Any,
        noise_predictor: ManagedPredictor,
        image: Tensor,
        scale: float,
        longer_side: int,
        fidelity: str,
        steps: int,
        timesteps: str,
        seed: int,
        color_correction: str,
        prescale: float,
        cfg: float,
        variation: float,
        tile_size: int,
        overlap: int,
        tile_batch: int,
        batch_noise: str,
        negative: Any = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        upscaler = Upscaler(
            model=model,
            vae=vae,
            conds=guidance(positive, negative, cfg),
            noise_predictor=noise_predictor,
            sigmas=model_sigmas(model, chosen_timesteps(fidelity, steps, timesteps)),
            seed=seed,
            cfg=cfg,
            variation=variation,
            tiling=Tiling(tile_size, overlap, tile_batch).checked(),
            same_noise=batch_noise == "same",
            color_correction=color_correction,
            prescale=prescale,
        )
        pixels = to_bchw(image)
        size = output_size(pixels, scale, longer_side)
        if mask is not None:
            mask = resized_mask(mask.to(pixels.device), size, len(pixels))
        return io.NodeOutput(with_alpha(to_image(upscaler(pixels, size, mask)), alpha_of(image)))


NODES = [Upscale]
