"""The partial diffusion from the start noise, and the same tiling for any stock sampler."""

from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.tiling import Tiling
from .host.guided_sampling import sample_euler
from .host.lr_latent import check_samples
from .host.model_checks import check_model, start_of
from .host.progress import Progress
from .host.sockets import tiling_inputs
from .host.tiled_model import latent_grid, tiled_model
from .noise import StartNoise


def cfg_input() -> io.Float.Input:
    return io.Float.Input(
        "cfg",
        default=1.0,
        min=1.0,
        max=10.0,
        step=0.1,
        tooltip="Guidance scale. 1 = none, as published: SD-Turbo was not trained for more, and it "
        "doubles the time. Above 1 connect a negative.",
    )


def negative_input() -> io.Conditioning.Input:
    return io.Conditioning.Input(
        "negative",
        optional=True,
        tooltip="What to keep away from; read only when cfg is not 1.",
    )


class PartialSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRPartialSampler",
            display_name="InvSR Sampler",
            category="InvSR",
            description="Runs SD-Turbo from the LR latent and its start noise down the short "
            "schedule (Euler, deterministic). Large latents run in overlapping windows.",
            search_aliases=["super resolution", "upscale", "SR", "enhance", "KSampler"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="SD-Turbo, with LoRA or other patches as you like."
                ),
                io.Conditioning.Input(
                    "positive", tooltip="What the picture should look like; ControlNet goes here."
                ),
                io.Noise.Input("start_noise", tooltip="From InvSR Predict Start Noise."),
                io.Sigmas.Input("sigmas", tooltip="From InvSR Scheduler, as for the start noise."),
                io.Latent.Input("latent", tooltip="From InvSR Encode LR Image."),
                cfg_input(),
                negative_input(),
                *tiling_inputs(),
            ],
            outputs=[io.Latent.Output("latent", tooltip="For InvSR Decode or any VAE Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        start_noise: StartNoise,
        sigmas: Tensor,
        latent: dict[str, Any],
        cfg: float,
        negative: Any = None,
        tile_size: int = Tiling.tile_size,
        overlap: int = Tiling.overlap,
        tile_batch: int = Tiling.tile_batch,
    ) -> io.NodeOutput:
        tiling = Tiling(tile_size, overlap, tile_batch)
        grid = latent_grid(tiling, check_samples(latent))
        progress = Progress(len(grid) * (len(sigmas) - 1))
        conds = guidance(positive, negative, cfg)
        return io.NodeOutput(
            sample_partial(model, conds, cfg, start_noise, sigmas, latent, tiling, progress)
        )


class TiledModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRTiledModel",
            display_name="InvSR Tiled Model",
            category="InvSR",
            description="Makes any sampler run the model over overlapping windows of a large "
            "latent, blended at every step. Latents within one window run unchanged. IP-Adapter "
            "masks and other patches that know the whole picture see each window as a picture.",
            search_aliases=["tiled diffusion", "multidiffusion", "super resolution", "upscale"],
            inputs=[
                io.Model.Input("model", tooltip="The model to run in windows; it is cloned."),
                *tiling_inputs(),
            ],
            outputs=[io.Model.Output("model", tooltip="For any sampler or guider.")],
        )

    @classmethod
    def execute(cls, model: Any, tile_size: int, overlap: int, tile_batch: int) -> io.NodeOutput:
        return io.NodeOutput(tiled_model(model, Tiling(tile_size, overlap, tile_batch).checked()))


def guidance(positive: Any, negative: Any, cfg: float) -> dict[str, Any]:
    """Collect the CONDITIONINGs. Raises ValueError if `cfg` needs a negative that is not there."""
    if cfg == 1.0:
        return {"positive": positive}
    if negative is None:
        raise ValueError(
            f"cfg is {cfg:g} but nothing is connected to 'negative'. Connect a CONDITIONING there, "
            "or set cfg to 1."
        )
    return {"positive": positive, "negative": negative}


def sample_partial(
    model: Any,
    conds: dict[str, Any],
    cfg: float,
    start_noise: StartNoise,
    sigmas: Tensor,
    latent: dict[str, Any],
    tiling: Tiling,
    progress: Progress,
) -> dict[str, Any]:
    """Run the partial trajectory over `latent`; what else it carries goes along."""
    check_model(model)
    start_of(sigmas)
    samples = sample_euler(
        tiled_model(model, tiling, progress),
        conds,
        cfg,
        start_noise.generate_noise(latent),
        latent,
        sigmas,
        start_noise.seed,
        progress,
    )
    return {**latent, "samples": samples}


NODES = [PartialSampler, TiledModel]
