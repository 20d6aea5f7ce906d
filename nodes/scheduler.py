"""The short schedule of InvSR as SIGMAS."""

from typing import Any

from comfy_api.v0_0_2 import io

from ..invsr_core.schedule import MAX_STEPS, parse_timesteps, published_timesteps
from .host.model_checks import model_sigmas


class Scheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRScheduler",
            display_name="InvSR Scheduler",
            category="InvSR",
            description="The noise levels of InvSR's partial diffusion, read off the model.",
            search_aliases=["super resolution", "upscale", "sigmas", "timesteps"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="SD-Turbo, or another epsilon model on SD 1.x / 2.x latents."
                ),
                io.Int.Input(
                    "steps",
                    default=1,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Number of model calls. 1 to 5 are the published schedules: 200 | "
                    "200, 100 | 200, 100, 50 | 200, 150, 100, 50 | 250, 200, 150, 100, 50; above, "
                    "evenly spaced from 250. One step is closest to the input.",
                ),
                io.String.Input(
                    "timesteps",
                    default="",
                    placeholder="250, 150, 50",
                    tooltip="Your own timesteps instead of 'steps', as the paper counts them: "
                    "falling whole numbers from 250 to 1. A higher first one invents more detail, "
                    "a lower one keeps closer to the input. Empty = use 'steps'.",
                ),
            ],
            outputs=[io.Sigmas.Output("sigmas", tooltip="For start noise and sampler alike.")],
        )

    @classmethod
    def execute(cls, model: Any, steps: int, timesteps: str) -> io.NodeOutput:
        return io.NodeOutput(model_sigmas(model, chosen_timesteps(steps, timesteps)))


def chosen_timesteps(steps: int, timesteps: str) -> tuple[int, ...]:
    """Read the user's own timesteps, or take the published ones for `steps` if there are none."""
    return parse_timesteps(timesteps) if timesteps.strip() else published_timesteps(steps)


NODES = [Scheduler]
