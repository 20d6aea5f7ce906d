"""A node in the place of CheckpointLoaderSimple: the same widget and outputs, the demo models.

The host cannot load a small SD 2 UNet from a checkpoint file: it knows the type by its size.
"""

from typing import Any

import folder_paths
from comfy_api.v0_0_2 import ComfyExtension, io

import nodes


class StandInCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StandInCheckpoint",
            display_name="Load Checkpoint (small stand-in)",
            category="testing",
            inputs=[
                io.Combo.Input("ckpt_name", options=folder_paths.get_filename_list("checkpoints"))
            ],
            outputs=[io.Model.Output("MODEL"), io.Clip.Output("CLIP"), io.Vae.Output("VAE")],
        )

    @classmethod
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        demo_models = nodes.NODE_CLASS_MAPPINGS["InvSRDemoModels"]
        model, vae, positive, _ = demo_models.execute().result
        return io.NodeOutput(model, StandInClip(positive), vae)


class StandInClip:
    """A CLIP as far as CLIPTextEncode needs one: every text gives the same conditioning."""

    def __init__(self, conditioning: list) -> None:
        self._conditioning = conditioning

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list:
        return [[context, dict(options)] for context, options in self._conditioning]


class StandIns(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [StandInCheckpoint]


async def comfy_entrypoint() -> Any:
    return StandIns()
