"""Fine-tune a noise predictor on images in the graph, and save it."""

import json
from typing import Any

import comfy.model_management
from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.predictor import NoisePredictor
from ..invsr_core.training.degradation import SETTINGS
from ..invsr_core.training.finetune import FineTuning, fine_tune
from ..invsr_core.weights import save_predictor
from .host.files import new_predictor_path
from .host.frozen_base import frozen_base, training
from .host.images import to_bchw
from .host.managed_predictor import ManagedPredictor
from .host.progress import Progress
from .host.sockets import Predictor
from .noise import MAX_SEED

LossMap = io.Custom("LOSS_MAP")


class TrainPredictor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRTrainPredictor",
            display_name="Train InvSR Noise Predictor",
            category="InvSR/training",
            description="Fine-tunes a noise predictor on high-resolution images against your MODEL "
            "and VAE, which stay as they are. Low-resolution copies are made by degrading crops.",
            search_aliases=["fine-tune", "finetune", "training", "super resolution"],
            is_experimental=True,
            inputs=[
                Predictor.Input("noise_predictor", tooltip="Where training starts; not changed."),
                io.Model.Input("model", tooltip="SD-Turbo: the predictor learns to serve it."),
                io.Vae.Input("vae", tooltip="The VAE of SD-Turbo or SD 2.1."),
                io.Conditioning.Input(
                    "positive", tooltip="The prompt it will be used with; one plain text."
                ),
                io.Image.Input("images", tooltip="High-resolution pictures to learn from."),
                io.Int.Input(
                    "updates",
                    default=500,
                    min=2,
                    max=100000,
                    tooltip="Number of training updates; each learns from batch_size crops.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Crops per update. More learns more evenly and takes more memory.",
                ),
                io.Int.Input(
                    "crop_size",
                    default=512,
                    min=64,
                    max=1024,
                    step=64,
                    tooltip="Side of the square crops in HR pixels, a multiple of 64. 512 is what "
                    "the published predictor learned from; less takes less memory.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=1e-5,
                    min=1e-7,
                    max=1e-2,
                    step=1e-7,
                    tooltip="Size of a step (AdamW). The paper trains with 5e-5; use less.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    tooltip="Chooses crops, degradations and noise.",
                ),
                io.Combo.Input(
                    "degradation",
                    options=list(SETTINGS),
                    default="training",
                    advanced=True,
                    tooltip="How LR copies are made. training: strong, as the paper trains. "
                    "imagenet-test: mild, as the paper's test set.",
                ),
            ],
            outputs=[
                Predictor.Output("noise_predictor", tooltip="The trained one, weights averaged."),
                LossMap.Output("loss_map", tooltip="For Plot Loss Graph: latent L2 per update."),
            ],
        )

    @classmethod
    def execute(
        cls,
        noise_predictor: ManagedPredictor,
        model: Any,
        vae: Any,
        positive: Any,
        images: Tensor,
        updates: int,
        batch_size: int,
        crop_size: int,
        learning_rate: float,
        seed: int,
        degradation: str,
    ) -> io.NodeOutput:
        options = FineTuning(updates, batch_size, crop_size, learning_rate, seed, degradation)
        hr = to_bchw(images)
        progress = Progress(updates)
        with training():
            base = frozen_base(model, vae, positive)
            device = comfy.model_management.get_torch_device()
            trained = noise_predictor.plain_copy().to(device)
            crops = list(hr.clone())
            losses = fine_tune(
                trained, crops, base, options, on_update=lambda _: progress.advance()
            )
        return io.NodeOutput(managed(trained, noise_predictor), {"loss": losses})


class SavePredictor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRSavePredictor",
            display_name="Save InvSR Noise Predictor",
            category="InvSR/training",
            description="Writes a noise predictor as .safetensors into the output folder invsr, "
            "where Load InvSR Noise Predictor finds it too.",
            search_aliases=["export", "training", "super resolution"],
            is_experimental=True,
            is_output_node=True,
            inputs=[
                Predictor.Input(
                    "noise_predictor", tooltip="From Train InvSR Noise Predictor, or any."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="noise_predictor",
                    tooltip="How the file's name starts; a number follows.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, noise_predictor: ManagedPredictor, filename_prefix: str) -> io.NodeOutput:
        path = new_predictor_path(filename_prefix)
        facts = {"invsr_training": json.dumps({"made_with": "InvSRTrainPredictor"})}
        save_predictor(noise_predictor.plain_copy(), path, facts)
        return io.NodeOutput(ui={"text": (f"Saved {path}",)})


def managed(trained: NoisePredictor, like: ManagedPredictor) -> ManagedPredictor:
    """Hand a trained network to the host's memory manager, in the precision of `like`."""
    state = {name: tensor.detach().cpu() for name, tensor in trained.state_dict().items()}
    return ManagedPredictor(trained.config, state, like.dtype)


NODES = [TrainPredictor, SavePredictor]
