"""The nodes of the pack, and its model folder."""

from comfy_api.v0_0_2 import ComfyExtension, io
from typing_extensions import override

from . import (
    color,
    decode,
    demo_models,
    encode,
    loader,
    noise,
    sampler,
    scheduler,
    train,
    upscale,
    video,
)
from .host.files import register_model_folder


class InvSRExtension(ComfyExtension):
    @override
    async def on_load(self) -> None:
        register_model_folder()

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        steps = (loader, encode, scheduler, noise, sampler, decode, color)
        files = (upscale, video, *steps, demo_models, train)
        return [node for file in files for node in file.NODES]
