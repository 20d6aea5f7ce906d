"""A small MODEL, VAE, CONDITIONING and noise predictor from one file's tensors."""

from typing import Any

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import torch
from torch import Tensor

from ...invsr_core.predictor import NoisePredictor, PredictorConfig
from .managed_predictor import ManagedPredictor

CONTEXT_SHAPE = (1, 8, 64)
"""The conditioning: pictures, tokens, channels."""

PREDICTOR = PredictorConfig(
    block_out_channels=(64, 128),
    layers_per_block=(1, 1),
    temb_channels=128,
    sinusoid_channels=128,
)

# SD 2's UNet with fewer channels, levels and blocks; the host wants multiples of 64.
_UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "channel_mult": [1, 2],
    "num_res_blocks": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1],
    "context_dim": CONTEXT_SHAPE[-1],
    "use_checkpoint": False,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "legacy": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}


def small_model(state: dict[str, Tensor], disable_dynamic: bool = False) -> Any:
    """Build a MODEL: the host's own SD 2 class over a small UNet with the weights of `state`.

    Training builds it anew the way the host does for its own models, with `disable_dynamic`.
    """
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    config = comfy.supported_models.SD20(_UNET)
    dtype = comfy.model_management.unet_dtype(device=load_device)
    config.set_inference_dtype(dtype, comfy.model_management.unet_manual_cast(dtype, load_device))
    model = config.get_model({}, device=offload_device)
    patcher_class = comfy.model_patcher.CoreModelPatcher
    if disable_dynamic:
        patcher_class = comfy.model_patcher.ModelPatcher
    patcher = patcher_class(model, load_device, offload_device)
    patcher.cached_patcher_init = (small_model, (state,))
    model.diffusion_model.load_state_dict(state, assign=patcher.is_dynamic())
    return patcher


def small_vae(state: dict[str, Tensor]) -> Any:
    """Build a VAE of TAESD's layout; without `vae_scale` the host would read latents at scale 1."""
    vae = comfy.sd.VAE(sd=state)
    vae.throw_exception_if_invalid()
    return vae


def small_conditioning(context: Tensor) -> list:
    return [[context, {}]]


def small_predictor(state: dict[str, Tensor]) -> ManagedPredictor:
    return ManagedPredictor(PREDICTOR, state, "auto")


def tensor_shapes() -> dict[str, torch.Size]:
    """List every tensor of the four, as `unet.*`, `vae.*`, `predictor.*` and `context`."""
    networks = {
        "unet": comfy.model_base.UNetModel(
            **comfy.supported_models.SD20(_UNET).unet_config,
            device="meta",
            operations=comfy.ops.disable_weight_init,
        ),
        "vae": comfy.taesd.taesd.TAESD(),
        "predictor": NoisePredictor(PREDICTOR, device="meta"),
    }
    found = {
        f"{name}.{key}": tensor.shape
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
    return {**found, "context": torch.Size(CONTEXT_SHAPE)}
