"""From an LR image to its latent, with what is needed to come back to exactly x4."""

from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.resize import MULTIPLE, PAD_TO, Frame, upsample_x4
from .host import managed_vae
from .host.images import intermediate, to_bchw
from .host.lr_latent import lr_latent
from .host.model_checks import check_vae
from .host.progress import Progress


class Encode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSREncode",
            display_name="InvSR Encode LR Image",
            category="InvSR",
            description="Enlarges a low-resolution image x4 and encodes it. The latent also "
            "carries the LR pixels for the noise predictor, and how to crop back to exactly x4.",
            search_aliases=["super resolution", "upscale", "SR", "enhance"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Low-resolution picture of any size from 1x1 px, 1 to 4 channels. "
                    "Alpha is dropped.",
                ),
                io.Vae.Input("vae", tooltip="The VAE of SD-Turbo or SD 2.1 (4 latent channels)."),
                io.Int.Input(
                    "pad_to",
                    default=PAD_TO,
                    min=MULTIPLE,
                    max=1024,
                    step=MULTIPLE,
                    advanced=True,
                    tooltip="Sides shorter than this many LR pixels are padded by reflection and "
                    "cropped again after decoding. 128 is what the predictor was trained on.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", tooltip="LR latent of the x4 image, for noise, sampler and decoder."
                )
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, vae: Any, pad_to: int) -> io.NodeOutput:
        lr = to_bchw(image)
        frame = Frame.around(tuple(lr.shape[-2:]), pad_to=pad_to)
        progress = Progress(managed_vae.vae_windows(frame.padded_size, len(lr)))
        return io.NodeOutput(encode_lr(lr, vae, frame, progress))


def encode_lr(lr: Tensor, vae: Any, frame: Frame, progress: Progress) -> dict[str, Any]:
    """Encode lr [B,3,h,w] in [0, 1] as the LATENT of its padded x4 enlargement."""
    check_vae(vae)
    padded = frame.pad(lr)
    latents = managed_vae.encode(vae, upsample_x4(padded), progress)
    return lr_latent(intermediate(latents), padded, frame)


NODES = [Encode]
