"""From the LR latent to the start noise: predictor, posterior, one draw from it."""

from dataclasses import dataclass
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..invsr_core.noise import predict_noise
from ..invsr_core.posterior import Posterior
from ..invsr_core.resize import LATENT_SCALE
from ..invsr_core.tiling import Tiling
from .host.images import to_bchw, to_image
from .host.lr_latent import frame_of, lr_pixels_of
from .host.managed_predictor import ManagedPredictor
from .host.model_checks import start_of
from .host.progress import Progress, shrink_on_oom
from .host.random import standard_normal
from .host.sockets import Predictor, tiling_inputs

MAX_SEED = 0xFFFFFFFFFFFFFFFF
NOISE_MAP_RANGE = 3.0
"""Standard deviations of noise from black to white in the noise map."""


def variation_input() -> io.Float.Input:
    return io.Float.Input(
        "variation",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.05,
        tooltip="Share of the random part (times its predicted standard deviation). "
        "1 = as published, 0 = the most likely noise, the same for every seed.",
    )


@dataclass(frozen=True)
class StartNoise:
    """What the NOISE socket carries: the posterior, and the seed that draws from it."""

    posterior: Posterior
    seed: int
    variation: float

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        """Draw noise for `latent` as the host asks: [B,4,h,w] float32, new each time.

        Raises ValueError if the latent is of another size than the noise was predicted for.
        """
        samples = latent["samples"]
        if samples.shape != self.posterior.mean.shape:
            raise ValueError(
                f"latent has shape {list(samples.shape)}, but the start noise was predicted for "
                f"{list(self.posterior.mean.shape)}. Connect the same latent to both nodes."
            )
        eps = standard_normal(samples, self.seed, latent.get("batch_index"))
        return self.posterior.sample(self.variation * eps.to(self.posterior.mean))


class PredictStartNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRStartNoise",
            display_name="InvSR Predict Start Noise",
            category="InvSR",
            description="Predicts the noise that leads SD-Turbo from the LR latent to a "
            "high-resolution one. Works with InvSR Sampler and the stock SamplerCustomAdvanced.",
            search_aliases=["super resolution", "upscale", "noise", "diffusion inversion"],
            inputs=[
                Predictor.Input(
                    "noise_predictor", tooltip="From Load InvSR Noise Predictor or Demo Models."
                ),
                io.Latent.Input("latent", tooltip="From InvSR Encode LR Image."),
                io.Sigmas.Input(
                    "sigmas",
                    tooltip="From InvSR Scheduler; the first says at which timestep to predict, "
                    "and the sampler needs the same ones.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Chooses the random part of the noise. Each picture of a batch gets "
                    "the next draw of one sequence, as everywhere in ComfyUI; a latent with "
                    "batch_index gets the draws of those places.",
                ),
                variation_input(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="LR picture for a latent that does not come from InvSR Encode LR "
                    "Image: twice as wide and high as the latent. Not read otherwise.",
                ),
                *tiling_inputs(),
            ],
            outputs=[
                io.Noise.Output("start_noise", tooltip="For InvSR Sampler or any NOISE input."),
                io.Image.Output(
                    "noise_map",
                    tooltip="The predicted noise as a picture of the LR image's size (paper, Fig. "
                    "3b): first three channels of its mean, grey = 0, black and white = 3.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        noise_predictor: ManagedPredictor,
        latent: dict[str, Any],
        sigmas: Tensor,
        seed: int,
        variation: float,
        image: Tensor | None = None,
        tile_size: int = Tiling.tile_size,
        overlap: int = Tiling.overlap,
        tile_batch: int = Tiling.tile_batch,
    ) -> io.NodeOutput:
        tiling = Tiling(tile_size, overlap, tile_batch)
        lr = lr_pixels_of(latent, None if image is None else to_bchw(image))
        progress = Progress(len(tiling.grid(tuple(lr.shape[-2:]))) * len(lr))
        posterior = predict_start_noise(noise_predictor, lr, sigmas, tiling, progress)
        start_noise = StartNoise(posterior, seed, variation)
        return io.NodeOutput(start_noise, noise_map(posterior, latent))


def predict_start_noise(
    noise_predictor: ManagedPredictor,
    lr: Tensor,
    sigmas: Tensor,
    tiling: Tiling,
    progress: Progress,
) -> Posterior:
    """Predict the start noise of padded lr [B,3,h,w] at the timestep where `sigmas` starts."""
    timestep = start_of(sigmas)
    size = (lr.shape[-2], lr.shape[-1])

    def run(tiling: Tiling) -> Posterior:
        grid = tiling.grid(size)
        noise_predictor.load(min(tiling.tile_batch, len(grid)), *grid.window_size)
        return predict_noise(
            noise_predictor,
            lr,
            timestep,
            grid,
            tile_batch=tiling.tile_batch,
            on_tile=progress.advance,
        )

    return shrink_on_oom(run, tiling, size, progress)


def noise_map(posterior: Posterior, latent: dict[str, Any]) -> Tensor:
    """Show the posterior's mean as an IMAGE, cropped to the LR picture."""
    shown = (posterior.mean[:, :3] / NOISE_MAP_RANGE + 1.0) / 2.0
    shown = shown.repeat_interleave(LATENT_SCALE, 2).repeat_interleave(LATENT_SCALE, 3)
    frame = frame_of(latent)
    return to_image(shown if frame is None else frame.crop(shown, scale=1))


NODES = [PredictStartNoise]
