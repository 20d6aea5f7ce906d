"""The host's IMAGE [B,H,W,C] and the core's [B,C,H,W], both float in [0, 1]."""

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...invsr_core.resize import resize_bicubic

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
    check_size("image", (image.shape[1], image.shape[2]))
    if not torch.isfinite(image).all():
        raise ValueError(
            "image holds NaN or infinite values. Look at the node that made it: a VAE or model "
            "overflowing in fp16 is the usual cause."
        )


def check_size(name: str, size: tuple[int, int], *, cure: str = "Shrink or crop it first.") -> None:
    """Raise ValueError if a picture of `size` (height, width) is too large."""
    if max(size) > MAX_SIDE:
        raise ValueError(
            f"{name} may measure at most {MAX_SIDE} px a side, got {size[1]}x{size[0]}. " + cure
        )


def alpha_of(image: Tensor) -> Tensor | None:
    """Give the alpha channel [B,1,H,W] of an IMAGE with 2 or 4 channels."""
    return image[..., -1:].movedim(-1, 1).float() if image.shape[-1] in (2, 4) else None


def with_alpha(image: Tensor, alpha: Tensor | None) -> Tensor:
    """Attach alpha [B,1,h,w], enlarged by bicubic, to a larger RGB IMAGE."""
    if alpha is None:
        return image
    enlarged = resize_bicubic(alpha, (image.shape[1], image.shape[2]))
    return torch.cat([image, to_image(enlarged)], dim=-1)


def repeated_to(count: int, images: Tensor, name: str) -> Tensor:
    """Repeat a single picture `count` times. Raises ValueError for other numbers of pictures."""
    if len(images) not in (1, count):
        raise ValueError(f"{name} must hold 1 or {count} pictures, got {len(images)}.")
    return images.expand(count, -1, -1, -1)


def resized_mask(mask: Tensor, size: tuple[int, int], count: int) -> Tensor:
    """Fit a MASK [B,h,w] or [h,w] to `count` pictures of `size` as the host does: [count,1,H,W]."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float().clamp(0.0, 1.0)
    mask = comfy.utils.common_upscale(mask, size[1], size[0], "bilinear", "disabled")
    return comfy.utils.repeat_to_batch_size(mask, count)


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
