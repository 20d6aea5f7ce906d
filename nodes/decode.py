"""From the sampled latent to an image of exactly x4."""

from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.resize import LATENT_SCALE, SCALE
from .host import managed_vae
from .host.images import to_image
from .host.lr_latent import check_samples, frame_of
from .host.model_checks import check_vae
from .host.progress import Progress


class Decode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRDecode",
            display_name="InvSR Decode",
            category="InvSR",
            description="Decodes and crops to exactly four times the size of the LR image. Above "
            "1024 px a side it decodes in windows, each pixel about once.",
            search_aliases=["super resolution", "upscale", "SR", "enhance", "VAE decode"],
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="From InvSR Sampler or a stock sampler. A latent that another node "
                    "resized is decoded whole, without the crop.",
                ),
                io.Vae.Input("vae", tooltip="The VAE that encoded the LR image."),
            ],
            outputs=[io.Image.Output("image", tooltip="The image, exactly x4.")],
        )

    @classmethod
    def execute(cls, latent: dict[str, Any], vae: Any) -> io.NodeOutput:
        samples = check_samples(latent)
        size = (samples.shape[-2] * LATENT_SCALE, samples.shape[-1] * LATENT_SCALE)
        progress = Progress(managed_vae.vae_windows(size, len(samples)))
        return io.NodeOutput(to_image(decode_hr(latent, vae, progress)))


def decode_hr(latent: dict[str, Any], vae: Any, progress: Progress) -> Tensor:
    """Decode LATENT to hr [B,3,4h,4w] in [0, 1], cropped if it still has its frame."""
    check_vae(vae)
    hr = managed_vae.decode(vae, check_samples(latent), progress)
    frame = frame_of(latent)
    return hr if frame is None else frame.crop(hr, scale=SCALE)


NODES = [Decode]
