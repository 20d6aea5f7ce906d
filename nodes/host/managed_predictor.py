"""The noise predictor under the host's memory manager."""

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from torch import Tensor

from ...invsr_core.posterior import Posterior
from ...invsr_core.predictor import NoisePredictor, PredictorConfig
from .images import on_intermediate_device

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class ManagedPredictor:
    """What an INVSR_PREDICTOR socket carries: the network, and the patcher that may evict it.

    The host finds `patcher` by its name and moves weights between devices as memory allows.
    """

    def __init__(self, config: PredictorConfig, state: dict[str, Tensor], dtype: str) -> None:
        self.dtype = dtype
        load_device = comfy.model_management.get_torch_device()
        offload_device = comfy.model_management.unet_offload_device()
        weight_dtype = DTYPES.get(dtype) or _fitting_dtype(load_device, state)
        cast_dtype = comfy.model_management.unet_manual_cast(weight_dtype, load_device)
        self.compute_dtype = cast_dtype or weight_dtype
        model = NoisePredictor(
            config,
            comfy.ops.pick_operations(weight_dtype, cast_dtype),
            device=offload_device,
            dtype=weight_dtype,
        ).eval()
        comfy.model_management.archive_model_dtypes(model)
        # By attribute: the host rebinds the class at start when it manages memory dynamically.
        self.patcher = comfy.model_patcher.CoreModelPatcher(model, load_device, offload_device)
        model.load_state_dict(state, assign=self.patcher.is_dynamic())

    def load(self, windows: int, height: int, width: int) -> None:
        """Make room for `windows` of height x width LR pixels and put the weights in place."""
        comfy.model_management.load_models_gpu(
            [self.patcher], memory_required=self._activation_bytes(windows * height * width)
        )

    def __call__(self, lr: Tensor, timestep: int) -> Posterior:
        """Run the loaded network on lr [N,3,h,w]; the posterior is on the intermediate device."""
        lr = lr.to(device=self.patcher.load_device, dtype=self.compute_dtype)
        posterior = self.patcher.model(lr, timestep)
        return Posterior(
            on_intermediate_device(posterior.mean), on_intermediate_device(posterior.logvar)
        )

    def plain_copy(self) -> NoisePredictor:
        """Give the network in plain torch on the CPU in float32, for training or saving."""
        network: NoisePredictor = self.patcher.model
        copied = NoisePredictor(network.config)
        copied.load_state_dict({key: value.float() for key, value in network.state_dict().items()})
        return copied

    def _activation_bytes(self, pixels: int) -> int:
        # Residual, norm, q, k, v, attention output and two temporaries of the first level live at
        # once; the second, twice as wide on a quarter of the pixels, holds half as much.
        channels = self.patcher.model.config.block_out_channels[0]
        return pixels * channels * 8 * comfy.model_management.dtype_size(self.compute_dtype)


def _fitting_dtype(device: torch.device, state: dict[str, Tensor]) -> torch.dtype:
    parameters = sum(tensor.numel() for tensor in state.values())
    return comfy.model_management.unet_dtype(device=device, model_params=parameters)
