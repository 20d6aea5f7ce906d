"""Small models for a first try without any download."""

import logging
from pathlib import Path

import safetensors.torch
import torch
from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from .host.small_models import (
    small_conditioning,
    small_model,
    small_predictor,
    small_vae,
    tensor_shapes,
)
from .host.sockets import Predictor

FILE = Path(__file__).parent.parent / "demo_models.safetensors"
VAE_SCALE = 0.18215
_SEED = 20250610


class DemoModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRDemoModels",
            display_name="InvSR Demo Models",
            category="InvSR",
            description="Small models that come with the pack, to try the nodes without a "
            "download. They know only generated pictures; use SD-Turbo for photographs.",
            search_aliases=["super resolution", "upscale", "demo", "test models"],
            inputs=[],
            outputs=[
                io.Model.Output("model", tooltip="A small SD 2 type UNet."),
                io.Vae.Output("vae", tooltip="A small VAE of 4 channels, 1/8 the size."),
                io.Conditioning.Output("positive", tooltip="The conditioning it was made with."),
                Predictor.Output("noise_predictor", tooltip="A small noise predictor."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        trained = FILE.exists()
        tensors = safetensors.torch.load_file(FILE) if trained else untrained_tensors()
        says = (
            "Small demo models: they know only generated pictures."
            if trained
            else "Untrained demo models: the output is noise. They only show that the graph runs."
        )
        logging.info("InvSR: %s", says)
        return io.NodeOutput(
            small_model(_part(tensors, "unet")),
            small_vae(_part(tensors, "vae")),
            small_conditioning(tensors["context"].float()),
            small_predictor(_part(tensors, "predictor")),
            ui=ui.PreviewText(says),
        )


def untrained_tensors() -> dict[str, Tensor]:
    """Fill the demo models from a fixed seed: convolutions keep the variance, norms are neutral."""
    generator = torch.Generator().manual_seed(_SEED)
    tensors = {
        name: _filled(name, shape, generator) for name, shape in sorted(tensor_shapes().items())
    }
    return {
        **tensors,
        "vae.vae_scale": torch.tensor(VAE_SCALE),
        "vae.vae_shift": torch.tensor(0.0),
    }


def _filled(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if len(shape) > 1:
        return torch.randn(shape, generator=generator) / (shape.numel() / shape[0]) ** 0.5
    return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }


NODES = [DemoModels]
