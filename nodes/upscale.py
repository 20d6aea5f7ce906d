"""The one-stop node."""

from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.schedule import FIDELITY, MAX_STEPS, fidelity_timesteps, parse_timesteps
from ..invsr_core.tiling import Tiling
from .color import color_method_input
from .host.images import alpha_of, resized_mask, to_bchw, to_image, with_alpha
from .host.managed_predictor import ManagedPredictor
from .host.model_checks import model_sigmas
from .host.sockets import Predictor, tiling_inputs
from .noise import MAX_SEED, variation_input
from .sampler import cfg_input, guidance, negative_input
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
            search_aliases=["super resolution", "upscale", "SR", "enhance", "restore", "x4"],
            inputs=[
                io.Model.Input("model", tooltip="SD-Turbo, or the demo models' model."),
                io.Vae.Input("vae", tooltip="The VAE of SD-Turbo or SD 2.1 (4 latent channels)."),
                io.Conditioning.Input(
                    "positive",
                    tooltip="What the picture should look like; the paper uses one prompt for "
                    "everything (see the templates).",
                ),
                Predictor.Input("noise_predictor", tooltip="From Load InvSR Noise Predictor."),
                io.Image.Input("image", tooltip="Picture of any size from 1x1 px; alpha is kept."),
                io.Float.Input(
                    "scale",
                    default=4.0,
                    min=0.5,
                    max=8.0,
                    step=0.05,
                    tooltip="Output size, in times the input's. InvSR always works at x4: x2 costs "
                    "what x4 costs and is then shrunk; x8 is x4, then bicubic.",
                ),
                io.Int.Input(
                    "longer_side",
                    default=0,
                    min=0,
                    max=32768,
                    tooltip="Output size by its longer side, in px, instead of 'scale'. 0 = use "
                    "'scale'.",
                ),
                io.Combo.Input(
                    "fidelity",
                    options=list(FIDELITY),
                    default="Balanced",
                    tooltip="Faithful starts at timestep 100 and keeps closest to the input (paper "
                    "Table 1: PSNR 24.66 dB), Balanced at 200 (24.14 dB), Vivid at 250 and invents "
                    "most detail (23.84 dB, the best MUSIQ, 72.58).",
                ),
                io.Int.Input(
                    "steps",
                    default=1,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Number of model calls. 1 is fastest and keeps closest to the input; "
                    "3 to 5 add texture.",
                ),
                io.String.Input(
                    "timesteps",
                    default="",
                    placeholder="250, 150, 50",
                    tooltip="Your own timesteps instead of 'fidelity' and 'steps': falling whole "
                    "numbers from 250 to 1. Empty = use those.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Chooses the random part of the noise: another reading of the picture.",
                ),
                color_method_input("color_correction"),
                io.Float.Input(
                    "prescale",
                    default=1.0,
                    min=0.25,
                    max=1.0,
                    step=0.05,
                    tooltip="Shrinks the input by this factor before restoring it; the output size "
                    "stays. For large or already blurry pictures: InvSR expects input that is "
                    "really low-resolution. 0.5 also costs a quarter. 1 = off.",
                ),
                cfg_input(),
                variation_input(),
                *tiling_inputs(),
                io.Combo.Input(
                    "batch_noise",
                    options=list(BATCH_NOISE),
                    default=BATCH_NOISE[0],
                    advanced=True,
                    tooltip="per image: each picture of a batch gets its own random noise. same: "
                    "all get the first one's, which keeps the frames of a video alike.",
                ),
                negative_input(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Restores only where white; elsewhere the picture is enlarged by "
                    "bicubic. Resized to the output. Load Image gives an all-black mask for "
                    "pictures without alpha: then nothing is restored.",
                ),
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
            mask = resized_mask(mask, size, len(pixels))
        return io.NodeOutput(with_alpha(to_image(upscaler(pixels, size, mask)), alpha_of(image)))


def chosen_timesteps(fidelity: str, steps: int, timesteps: str) -> tuple[int, ...]:
    """Read the user's own timesteps, or the schedule for `fidelity` and `steps` without any."""
    return parse_timesteps(timesteps) if timesteps.strip() else fidelity_timesteps(fidelity, steps)


NODES = [Upscale]
