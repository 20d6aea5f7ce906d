"""Files of a base model -> FrozenBase: a diffusers folder, one checkpoint, or the demo sizes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .base import FrozenBase
from .draw import generator_for
from .initial import initialise

PROMPT = (
    "Cinematic, high-contrast, photo-realistic, 8k, ultra HD, meticulous detailing, "
    "hyper sharpness, perfect without deformations"
)
"""The positive prompt of the paper, the same for every image in training and use."""

# fmt: off
PROMPT_IDS = (
    49406, 25602, 267, 1400, 268, 18501, 267, 1125, 268, 16157, 267, 279, 330, 267, 8118, 4414, 267,
    613, 890, 4281, 23163, 267, 22146, 17126, 1294, 267, 1878, 2193, 561, 37715, 49407,
)
# fmt: on
"""PROMPT in CLIP's vocabulary, so that it can be embedded without a tokenizer's files."""

PROMPT_LENGTH = 77

SD2_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
SD2_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}
SD2_TEXT: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,  # of 24: the one before the last is what SD 2 listens to
    "hidden_act": "gelu",
    "projection_dim": 512,
}
DEMO_UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (64, 128),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": (1, 2),
    "cross_attention_dim": 64,
    "use_linear_projection": True,
}
DEMO_VAE: dict[str, Any] = {
    "encoder_block_out_channels": (16, 16, 16, 16),
    "decoder_block_out_channels": (16, 16, 16, 16),
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
}
FORMS = ("diffusers", "single_file", "demo")


@dataclass(frozen=True)
class BaseConfig:
    """Which frozen model to train against."""

    form: str = "diffusers"
    """A diffusers folder or hub name, a single_file checkpoint, or the demo sizes."""
    path: str = "stabilityai/sd-turbo"
    prompt: str = PROMPT
    tokenizer: str = ""
    """Folder or hub name of a tokenizer, for another prompt with a single file."""
    prediction: str = ""
    """epsilon or v_prediction; a diffusers folder states it itself."""
    gradient_checkpointing: bool = True

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got '{self.form}'.")


def load_base(config: BaseConfig) -> FrozenBase:
    """Load a base model on the CPU in float32, its prompt embedded and its text encoder dropped."""
    if config.form == "demo":
        base = demo_base(config.path)
    elif config.form == "single_file":
        base = _from_single_file(config)
    else:
        base = _from_diffusers(config)
    if config.gradient_checkpointing:
        base.checkpoint_gradients()
    return base


def _from_diffusers(config: BaseConfig) -> FrozenBase:
    try:
        unet = UNet2DConditionModel.from_pretrained(config.path, subfolder="unet")
        vae = AutoencoderKL.from_pretrained(config.path, subfolder="vae")
        text = CLIPTextModel.from_pretrained(config.path, subfolder="text_encoder")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"The base model '{config.path}' cannot be loaded ({reason}). Give the folder of a "
            "diffusers model, or set form = 'single_file' for a checkpoint."
        ) from None
    ids = _token_ids(config.prompt, lambda: _tokenizer(config.path, "tokenizer"))
    stated = Path(config.path, "scheduler", "scheduler_config.json")
    told = json.loads(stated.read_text()) if stated.is_file() else {}
    prediction = config.prediction or told.get("prediction_type", "epsilon")
    return FrozenBase(unet, vae, embed(text, ids), prediction=prediction)


def _from_single_file(config: BaseConfig) -> FrozenBase:
    path = Path(config.path)
    if not path.is_file():
        raise ValueError(f"The base model '{path}' is not a file. Give a checkpoint of SD 2.x.")
    if path.suffix == ".safetensors":
        state: dict[str, Any] = {**safetensors.torch.load_file(path)}
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
    return single_file_base(state, config)


def single_file_base(
    state: dict[str, Any],
    config: BaseConfig,
    *,
    unet_sizes: dict[str, Any] = SD2_UNET,
    vae_sizes: dict[str, Any] = SD2_VAE,
    text_sizes: dict[str, Any] = SD2_TEXT,
) -> FrozenBase:
    """Build a base from a checkpoint's tensors under their original (LDM) names."""
    unet, vae = UNet2DConditionModel(**unet_sizes), AutoencoderKL(**vae_sizes)
    name = Path(config.path).name
    # The converters name tensors by the config of the network that is to take them.
    unet_config = {**unet.config, "class_embed_type": None, "addition_embed_type": None}
    _fill(unet, convert_ldm_unet_checkpoint(dict(state), unet_config), name, "UNet")
    _fill(vae, convert_ldm_vae_checkpoint(dict(state), vae.config), name, "VAE")
    text = CLIPTextModel(CLIPTextConfig(**text_sizes))
    converted = convert_open_clip_checkpoint(text, dict(state))
    own_prefix = "text_model." if next(iter(text.state_dict())).startswith("text_model.") else ""
    renamed = {own_prefix + key.removeprefix("text_model."): converted[key] for key in converted}
    _fill(text, renamed, name, "text encoder")
    ids = _token_ids(config.prompt, lambda: _tokenizer(config.tokenizer))
    prediction = config.prediction or "epsilon"
    return FrozenBase(unet, vae, embed(text, ids), prediction=prediction)


def _fill(network: nn.Module, state: dict[str, Any], name: str, what: str) -> None:
    expected = network.state_dict()
    wrong = [
        key
        for key in expected
        if "position_ids" not in key and getattr(state.get(key), "shape", 0) != expected[key].shape
    ]
    if wrong:
        raise ValueError(
            f"{name} has no {what} of SD 2.x: {len(wrong)} of {len(expected)} tensors are missing "
            f"or misshapen (first: '{wrong[0]}'). Use an SD-Turbo or SD 2.x checkpoint."
        )
    network.load_state_dict({key: state.get(key, expected[key]) for key in expected})


def demo_base(path: str = "") -> FrozenBase:
    """Build the demo sizes: weights of a file that `save_demo_base` wrote, else of a fixed seed."""
    generator = generator_for("cpu", "demo base")
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**DEMO_UNET), AutoencoderTiny(**DEMO_VAE)
    unet, vae = initialise(unet, generator), initialise(vae, generator)
    prompt = torch.randn(1, 8, DEMO_UNET["cross_attention_dim"], generator=generator)
    base = FrozenBase(unet, vae, prompt)
    if path:
        parts = split_parts(safetensors.torch.load_file(path))
        unet.load_state_dict(parts["unet"])
        vae.load_state_dict(parts["vae"])
        base.prompt = parts["prompt"]["embedding"]
    return base


def save_demo_base(base: FrozenBase, path: str | Path) -> None:
    parts = {"unet": base.unet.state_dict(), "vae": base.vae.state_dict()}
    state = {f"{part}.{key}": value for part in parts for key, value in parts[part].items()}
    safetensors.torch.save_file({**state, "prompt.embedding": base.prompt}, path)


def split_parts(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group tensors by what their names start with."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        part, rest = key.split(".", 1)
        parts.setdefault(part, {})[rest] = value
    return parts


def embed(text: Any, ids: Tensor) -> Tensor:
    """Embed token ids [1, 77]: the last hidden state after the final norm, [1, 77, width]."""
    with torch.no_grad():
        return text.eval()(ids).last_hidden_state.float()


def _token_ids(prompt: str, tokenizer: Any) -> Tensor:
    if prompt == PROMPT:
        return torch.tensor([*PROMPT_IDS, *(0,) * (PROMPT_LENGTH - len(PROMPT_IDS))])[None]
    encoded = tokenizer()(
        prompt, padding="max_length", max_length=PROMPT_LENGTH, truncation=True
    ).input_ids
    return torch.tensor(encoded)[None]


def _tokenizer(path: str, subfolder: str = "") -> Any:
    if not path:
        raise ValueError(
            "A prompt of your own needs a tokenizer with a single-file base: set tokenizer to a "
            "folder that has one, or leave the prompt out."
        )
    return CLIPTokenizer.from_pretrained(path, subfolder=subfolder)
