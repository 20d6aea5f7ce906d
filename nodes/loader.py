"""Load the noise predictor from `models/invsr`."""

from comfy_api.v0_0_2 import io

from ..invsr_core.weights import read_predictor
from .host.files import predictor_names, predictor_path
from .host.managed_predictor import DTYPES, ManagedPredictor
from .host.sockets import Predictor


class PredictorLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRPredictorLoader",
            display_name="Load InvSR Noise Predictor",
            category="InvSR",
            description="Loads the small network that predicts the start noise of InvSR. "
            "Put noise_predictor_sd_turbo_v5.pth into models/invsr.",
            search_aliases=["super resolution", "upscale", "SR", "enhance", "InvSR model"],
            inputs=[
                io.Combo.Input(
                    "predictor_name",
                    options=predictor_names(),
                    tooltip="A file in models/invsr: the released .pth, a training checkpoint or a "
                    ".safetensors. A .pth is read as tensors only; no code in it can run.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", *DTYPES],
                    default="auto",
                    advanced=True,
                    tooltip="Precision of the predictor. auto picks the fastest that the device "
                    "does well; fp32 is exact and slower; fp16 and bf16 take half the memory.",
                ),
            ],
            outputs=[Predictor.Output("noise_predictor", tooltip="For InvSR Predict Start Noise.")],
        )

    @classmethod
    def execute(cls, predictor_name: str, dtype: str) -> io.NodeOutput:
        config, state = read_predictor(predictor_path(predictor_name))
        return io.NodeOutput(ManagedPredictor(config, state, dtype))


NODES = [PredictorLoader]
