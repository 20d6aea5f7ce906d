"""The inputs that the one-stop nodes share."""

from comfy_api.v0_0_2 import io

from ..invsr_core.schedule import FIDELITY, MAX_STEPS, fidelity_timesteps, parse_timesteps
from .color import color_method_input
from .host.sockets import Predictor, tiling_inputs
from .noise import MAX_SEED, variation_input
from .sampler import cfg_input, negative_input

SEARCH_ALIASES = ["super resolution", "upscale", "SR", "enhance", "restore", "x4"]


def model_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="SD-Turbo, or the demo models' model."),
        io.Vae.Input("vae", tooltip="The VAE of SD-Turbo or SD 2.1 (4 latent channels)."),
        io.Conditioning.Input(
            "positive",
            tooltip="What the picture should look like; the paper uses one prompt for "
            "everything (see the templates).",
        ),
        Predictor.Input("noise_predictor", tooltip="From Load InvSR Noise Predictor."),
    ]


def setting_inputs() -> list[io.Input]:
    """Give the widgets from scale to tile_batch, in their order for ever."""
    return [*_size_inputs(), *_schedule_inputs(), *_look_inputs(), *tiling_inputs()]


def _size_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "scale",
            default=4.0,
            min=0.5,
            max=8.0,
            step=0.05,
            tooltip="Output size, in times the input's. InvSR always works at x4: x2 costs "
            "what x4 costs and is then shrunk; x8 is x4, then bicubic.",
        ),
        io.Int.Input(
            "longer_side",
            default=0,
            min=0,
            max=32768,
            tooltip="Output size by its longer side, in px, instead of 'scale'. 0 = use 'scale'.",
        ),
    ]


def _schedule_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "fidelity",
            options=list(FIDELITY),
            default="Balanced",
            tooltip="Faithful starts at timestep 100 and keeps closest to the input (paper "
            "Table 1: PSNR 24.66 dB), Balanced at 200 (24.14 dB), Vivid at 250 and invents "
            "most detail (23.84 dB, the best MUSIQ, 72.58).",
        ),
        io.Int.Input(
            "steps",
            default=1,
            min=1,
            max=MAX_STEPS,
            tooltip="Number of model calls. 1 is fastest and keeps closest to the input; "
            "3 to 5 can help very blurry pictures.",
        ),
        io.String.Input(
            "timesteps",
            default="",
            placeholder="250, 150, 50",
            tooltip="Your own timesteps instead of 'fidelity' and 'steps': falling whole "
            "numbers from 250 to 1. Empty = use those.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=MAX_SEED,
            control_after_generate=True,
            tooltip="Chooses the random part of the noise: another reading of the picture.",
        ),
    ]


def _look_inputs() -> list[io.Input]:
    return [
        color_method_input("color_correction"),
        io.Float.Input(
            "prescale",
            default=1.0,
            min=0.25,
            max=1.0,
            step=0.05,
            tooltip="Shrinks the input by this factor before restoring it; the output size "
            "stays. For large or already blurry pictures: InvSR expects input that is "
            "really low-resolution. 0.5 also takes a quarter of the time. 1 = off.",
        ),
        cfg_input(),
        variation_input(),
    ]


def optional_inputs(*, mask: str) -> list[io.Input]:
    """Give negative and mask; `mask` is how the latter is fitted to the pictures."""
    return [
        negative_input(),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="Restores only where white; elsewhere the picture is enlarged by bicubic. "
            f"{mask} Load Image gives an all-black mask for pictures without alpha: then nothing "
            "is restored.",
        ),
    ]


def chosen_timesteps(fidelity: str, steps: int, timesteps: str) -> tuple[int, ...]:
    """Read the user's own timesteps, or the schedule for `fidelity` and `steps` without any."""
    return parse_timesteps(timesteps) if timesteps.strip() else fidelity_timesteps(fidelity, steps)
