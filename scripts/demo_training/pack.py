"""Last stage: the three networks as one file of the pack, in half precision, with its facts."""

import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .unet_stage import CONTEXT_SHAPE, SIZES, Denoiser

VAE_SCALE = 0.18215
"""The host's latents are the UNet's divided by this, as for any SD VAE."""


def pack(
    file: Path,
    autoencoder: Autoencoder,
    denoiser: Denoiser,
    predictor: torch.nn.Module,
    *,
    host: Path,
    facts: dict[str, Any],
) -> None:
    """Write `file`, the tensors under the names that the pack's demo node reads."""
    parts = {
        "unet": host_names(denoiser.unet.state_dict(), host),
        "vae": {
            **autoencoder.state_dict(),
            "vae_scale": torch.tensor(VAE_SCALE),
            "vae_shift": torch.tensor(0.0),
        },
        "predictor": predictor.state_dict(),
    }
    tensors = {
        f"{part}.{key}": _half(tensor)
        for part, state in parts.items()
        for key, tensor in state.items()
    }
    partial = file.with_suffix(".partial")
    metadata = {"invsr_demo_models": json.dumps(facts)}
    safetensors.torch.save_file({**tensors, "context": denoiser.context}, partial, metadata)
    partial.replace(file)


def _half(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.ndim else tensor).contiguous()


def host_names(state: dict[str, Tensor], host: Path) -> dict[str, Tensor]:
    """Rename a diffusers UNet's tensors to what the host calls them."""
    sys.path.append(str(host))
    import comfy.utils

    levels = len(SIZES["block_out_channels"])
    names = comfy.utils.unet_to_diffusers(
        {
            "num_res_blocks": [SIZES["layers_per_block"]] * levels,
            "channel_mult": [1, 2],
            "transformer_depth": [1] * levels,
            "transformer_depth_middle": 1,
            "transformer_depth_output": [1] * (levels * (SIZES["layers_per_block"] + 1)),
            "context_dim": CONTEXT_SHAPE[-1],
        }
    )
    return {names[key]: tensor for key, tensor in state.items()}
