"""Colours of the enlarged image, taken from the LR image."""

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.color import COLOR_METHODS, correct_color
from ..invsr_core.resize import resize_bicubic
from .host.images import repeated_to, to_bchw, to_image

DEFAULT_METHOD = "wavelet"


def color_method_input(input_id: str) -> io.Combo.Input:
    return io.Combo.Input(
        input_id,
        options=list(COLOR_METHODS),
        default=DEFAULT_METHOD,
        tooltip="How the colours of the LR picture are kept. wavelet: everything coarser than "
        "about 13 px, as in the paper's figures. ycbcr: colour of each pixel. adain: mean and "
        "contrast of the whole picture. lab: coarse colour only, brightness stays. none: as is.",
    )


class ColorCorrect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRColorCorrect",
            display_name="InvSR Color Correct",
            category="InvSR",
            description="Gives an enlarged image the colours of the picture it was made from, "
            "in one pass over the whole image.",
            search_aliases=["color fix", "color match", "wavelet", "super resolution"],
            inputs=[
                io.Image.Input("image", tooltip="The enlarged image; alpha is dropped."),
                io.Image.Input(
                    "reference",
                    tooltip="The LR picture, of any size: it is resized to the image (bicubic, "
                    "antialiased). One picture serves a whole batch.",
                ),
                color_method_input("method"),
            ],
            outputs=[io.Image.Output("image", tooltip="The image with corrected colours.")],
        )

    @classmethod
    def execute(cls, image: Tensor, reference: Tensor, method: str) -> io.NodeOutput:
        hr = to_bchw(image)
        lr = repeated_to(len(hr), to_bchw(reference), "reference")
        return io.NodeOutput(to_image(with_colors_of(lr, hr, method)))


def with_colors_of(lr: Tensor, hr: Tensor, method: str) -> Tensor:
    """Correct hr [B,3,H,W] by lr [B,3,h,w] enlarged without a prior: antialiased bicubic."""
    if method == "none":
        return hr
    return correct_color(hr, resize_bicubic(lr, (hr.shape[-2], hr.shape[-1])), method)


NODES = [ColorCorrect]
