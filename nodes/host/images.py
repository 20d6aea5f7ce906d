"""The host's IMAGE [B,H,W,C] and the core's [B,C,H,W], both float in [0, 1]."""

import comfy.model_management
import torch
from torch import Tensor

MAX_SIDE = 32768


def to_bchw(image: Tensor) -> Tensor:
    """Turn an IMAGE of 1 to 4 channels into RGB [B,3,H,W] float32; grey is repeated, alpha dropped.

    Raises ValueError for empty, oversized or non-finite images.
    """
    check_image(image)
    channels = image.movedim(-1, 1).float()  # BHWC -> BCHW
    colors = channels[:, : 1 if channels.shape[1] < 3 else 3]
    return colors.expand(-1, 3, -1, -1).contiguous()


def check_image(image: Tensor) -> None:
    if image.ndim != 4 or 0 in image.shape or image.shape[-1] > 4:
        raise ValueError(
            "image must hold at least one picture of 1x1 or more with 1 to 4 channels, got shape "
            f"{list(image.shape)}."
        )
    if max(image.shape[1:3]) > MAX_SIDE:
        raise ValueError(
            f"image may measure at most {MAX_SIDE} px a side, got "
            f"{image.shape[2]}x{image.shape[1]}. Shrink or crop it first."
        )
    if not torch.isfinite(image).all():
        raise ValueError(
            "image holds NaN or infinite values. Look at the node that made it: a VAE or model "
            "overflowing in fp16 is the usual cause."
        )


def to_image(pixels: Tensor) -> Tensor:
    """Turn [B,3,H,W] into an IMAGE on the host's intermediate device, clamped to [0, 1]."""
    return intermediate(pixels.clamp(0.0, 1.0).movedim(1, -1))  # BCHW -> BHWC


def on_intermediate_device(tensor: Tensor) -> Tensor:
    """Put a stage's result where the host keeps results, in float32 for blending."""
    return tensor.to(device=comfy.model_management.intermediate_device(), dtype=torch.float32)


def intermediate(tensor: Tensor) -> Tensor:
    """Put a tensor where, and in the precision in which, the host keeps results between nodes."""
    return tensor.to(
        device=comfy.model_management.intermediate_device(),
        dtype=comfy.model_management.intermediate_dtype(),
    )
