"""Our side: a ComfyUI in this process, with the pack loaded as the host loads packs."""

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cost import Counter, our_counter
from networks import Networks
from safetensors.torch import save_file
from torch import Tensor

from invsr_core.predictor import NoisePredictor, PredictorConfig
from invsr_core.schedule import published_timesteps
from invsr_core.tiling import Tiling

ROOT = Path(__file__).resolve().parent.parent
PREDICTOR = "random.safetensors"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True)
class Models:
    """What the sockets of InvSRUpscale take."""

    model: Any
    vae: Any
    positive: Any
    noise_predictor: Any


class Host:
    """A booted ComfyUI; memory is not managed dynamically, so that it can be measured."""

    def __init__(self, tree: Path, *, cpu: bool) -> None:
        self._base = tempfile.TemporaryDirectory()
        base = Path(self._base.name)
        for folder in ("custom_nodes", "models/invsr", "input", "output", "user", "temp"):
            (base / folder).mkdir(parents=True)
        sys.argv = ["main.py", *(["--cpu"] if cpu else []), "--base-directory", str(base)]
        sys.argv += ["--use-pytorch-cross-attention", "--disable-dynamic-vram"]
        sys.path.insert(0, str(tree))
        import comfy.options

        comfy.options.enable_args_parsing()
        import nodes

        if not asyncio.run(nodes.load_custom_node(str(ROOT))):
            raise SystemExit("The host could not load the pack; see its messages above.")
        self._registry = nodes.NODE_CLASS_MAPPINGS
        self._predictors = base / "models" / "invsr"

    def call(self, node_id: str, **inputs: Any) -> Any:
        """Run one of our nodes."""
        with torch.inference_mode():
            return self._registry[node_id].execute(**inputs).result

    @property
    def vae_tiling(self) -> Tiling:
        """Tell which windows the pack gives the VAE."""
        prefix = self._registry["InvSRUpscale"].__module__.removesuffix(".nodes.upscale")
        return sys.modules[f"{prefix}.nodes.host.managed_vae"].VAE_TILING

    def models(self, networks: Networks, context: Tensor, precision: str) -> Models:
        """Load the weights of `networks`, which must be in float32, at `precision`."""
        import comfy.sd

        dtype = DTYPES[precision]
        unet, vae = (
            {key: tensor.detach().cpu() for key, tensor in network.state_dict().items()}
            for network in (networks.unet, networks.vae)
        )
        predictor = networks.predictor.state_dict()
        save_file({f"encoder.{k}": v for k, v in predictor.items()}, self._predictors / PREDICTOR)
        (loaded,) = self.call("InvSRPredictorLoader", predictor_name=PREDICTOR, dtype=precision)
        return Models(
            comfy.sd.load_diffusion_model_state_dict(unet, model_options={"dtype": dtype}),
            comfy.sd.VAE(sd=vae, dtype=dtype),
            [[context, {}]],
            loaded,
        )

    def demo_models(self) -> Models:
        model, vae, positive, predictor = self.call("InvSRDemoModels")
        return Models(model, vae, positive, predictor)

    def upscale(self, models: Models, image: Tensor, steps: int) -> Tensor:
        """Run InvSRUpscale with its defaults, without the colour correction the reference lacks."""
        (hr,) = self.call(
            "InvSRUpscale",
            **vars(models),
            image=image,
            scale=4.0,
            longer_side=0,
            fidelity="Balanced",
            steps=steps,
            timesteps=", ".join(map(str, published_timesteps(steps))),
            seed=0,
            color_correction="none",
            prescale=1.0,
            cfg=1.0,
            variation=1.0,
            tile_size=Tiling.tile_size,
            overlap=Tiling.overlap,
            tile_batch=Tiling.tile_batch,
            batch_noise="per image",
        )
        return hr

    def counter(self) -> Counter:
        """Count over the host's own UNet and VAE classes, and our predictor."""
        import comfy.ldm.models.autoencoder
        import comfy.ldm.modules.diffusionmodules.openaimodel as openai_model
        import comfy.ops

        with torch.device("meta"):
            return our_counter(
                NoisePredictor(PredictorConfig()).eval(),
                openai_model.UNetModel(**_UNET, operations=comfy.ops.disable_weight_init).eval(),
                comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=_VAE, embed_dim=4).eval(),
            )


_UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": (1, 2, 4, 4),
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "context_dim": 1024,
    "num_head_channels": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "use_checkpoint": False,
    "legacy": False,
}
_VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}
"""SD-Turbo in the host's words, as its detection reads them off the weights."""
