"""The LR latent: what a LATENT of InvSR Encode carries, and whether it still fits."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...invsr_core.resize import LATENT_SCALE, Frame

KEY = "invsr"


@dataclass(frozen=True)
class LowResolution:
    """Padded LR pixels [B,3,h,w] in [0, 1], where the image lies in them, and their latents."""

    lr: Tensor
    frame: Frame
    latents: Tensor


def lr_latent(latents: Tensor, lr: Tensor, frame: Frame) -> dict[str, Any]:
    return {"samples": latents, KEY: LowResolution(lr, frame, latents)}


def frame_of(latent: dict[str, Any]) -> Frame | None:
    """Give the frame of a LATENT if it still fits the size of its samples."""
    source = latent.get(KEY)
    fits = source is not None and tuple(latent["samples"].shape[-2:]) == source.frame.latent_size
    return source.frame if fits else None


def lr_pixels_of(latent: dict[str, Any], image: Tensor | None) -> Tensor:
    """Give the LR pixels [B,3,h,w] of a LATENT, or those of `image` if it carries none.

    Raises ValueError if there are none, or they do not fit the samples.
    """
    samples = check_samples(latent)
    if KEY in latent:
        return _own_pixels(latent, samples)
    if image is None:
        raise ValueError(
            "latent carries no LR pixels, because it does not come from InvSR Encode LR Image. "
            "Connect the LR picture to the input 'image', or encode with that node."
        )
    return _given_pixels(image, samples)


def check_samples(latent: dict[str, Any]) -> Tensor:
    """Give the samples of a LATENT. Raises ValueError unless they are [B,4,h,w]."""
    samples = latent["samples"]
    if samples.is_nested or samples.ndim != 4 or samples.shape[1] != 4:
        raise ValueError(
            "latent must be a picture's of 4 channels, got "
            + ("a nested one." if samples.is_nested else f"shape {list(samples.shape)}.")
            + " Use InvSR Encode LR Image."
        )
    return samples


def _own_pixels(latent: dict[str, Any], samples: Tensor) -> Tensor:
    source: LowResolution = latent[KEY]
    if frame_of(latent) is None:
        raise ValueError(
            f"latent was resized after InvSR Encode LR Image: expected {_sides(source.latents)} "
            f"latents, got {_sides(samples)}. Resize the LR picture before encoding instead."
        )
    if len(samples) == len(source.lr):
        return source.lr
    rows = latent.get("batch_index")
    if rows is not None and len(rows) == len(samples) and max(rows) < len(source.lr):
        picked = [int(row) for row in rows]
        if torch.equal(samples, source.latents[picked]):
            return source.lr[picked]
    raise ValueError(
        f"latent has {len(samples)} pictures but the LR pixels of {len(source.lr)}: another node "
        "repeated or picked from it. Repeat or pick the LR picture before encoding instead."
    )


def _given_pixels(lr: Tensor, samples: Tensor) -> Tensor:
    expected = tuple(side * LATENT_SCALE for side in samples.shape[-2:])
    if tuple(lr.shape[-2:]) != expected or len(lr) not in (1, len(samples)):
        raise ValueError(
            f"image must be {expected[1]}x{expected[0]}, twice as large as the latent, and "
            f"{len(samples)} in number, got {len(lr)} of {lr.shape[-1]}x{lr.shape[-2]}."
        )
    return lr.expand(len(samples), -1, -1, -1)


def _sides(latents: Tensor) -> str:
    return f"{latents.shape[-1]}x{latents.shape[-2]}"
