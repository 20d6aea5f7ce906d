"""The networks of the reference pipeline in stock diffusers and transformers, SD-Turbo's sizes."""

import zlib
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.unets.unet_2d_blocks import AttnDownBlock2D, UNetMidBlock2D
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

LATENT_FACTOR = 0.18215

PROMPT_TOKENS = 77
PROMPT = (
    *(49406, 25602, 267, 1400, 268, 18501, 267, 1125, 268, 16157, 267, 279, 330, 267, 8118, 4414),
    *(267, 613, 890, 4281, 23163, 267, 22146, 17126, 1294, 267, 1878, 2193, 561, 37715, 49407),
)
"""The authors' positive prompt as CLIP's tokens; SD 2 pads with 0."""

_UNET = {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "sample_size": 64,
}
_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
}
_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 0,
    "attn_implementation": "sdpa",
}


class Predictor(nn.Module):
    """The authors' TimeAwareEncoder, of the stock blocks that it is made of."""

    def __init__(self) -> None:
        super().__init__()
        block = {"temb_channels": 512, "attention_head_dim": 64}
        down = {**block, "num_layers": 3, "downsample_padding": 0}
        self.time_embedding = TimestepEmbedding(256, 512)
        self.conv_in = nn.Conv2d(3, 256, 3, padding=1)
        self.down_blocks = nn.ModuleList(
            [
                AttnDownBlock2D(256, 256, **down),
                AttnDownBlock2D(256, 512, **{**down, "downsample_type": None}),
            ]
        )
        self.mid_block = UNetMidBlock2D(512, **block)
        self.conv_norm_out = nn.GroupNorm(32, 512, eps=1e-6)
        self.conv_out = nn.Conv2d(512, 8, 3, padding=1)

    def forward(self, lr: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Give the mean and standard deviation [B,4,h/2,w/2] for lr [B,3,h,w] in [0, 1]."""
        waves = get_timestep_embedding(timestep, 256, flip_sin_to_cos=True, downscale_freq_shift=0)
        embedding = self.time_embedding(waves.to(self.conv_in.weight.dtype))
        x = self.conv_in(lr * 2 - 1)
        for block in self.down_blocks:
            x, _ = block(x, embedding)
        x = self.mid_block(x, embedding)
        mean, logvar = self.conv_out(nn.functional.silu(self.conv_norm_out(x))).chunk(2, dim=1)
        return mean, torch.exp(0.5 * logvar.clamp(-30, 20))


@dataclass
class Networks:
    """The four networks of the reference."""

    text: nn.Module
    predictor: nn.Module
    unet: nn.Module
    vae: nn.Module

    @classmethod
    def on_meta(cls) -> "Networks":
        """Build them without any memory."""
        with torch.device("meta"):
            return cls(
                CLIPTextModel(CLIPTextConfig(**_TEXT)).eval(),
                Predictor().eval(),
                UNet2DConditionModel(**_UNET).eval(),
                AutoencoderKL(**_VAE).eval(),
            )

    @classmethod
    def with_random_weights(cls) -> "Networks":
        """Build them on the CPU in float32, with the same weights every time."""
        networks = cls.on_meta()
        networks.text = CLIPTextModel(CLIPTextConfig(**_TEXT)).eval()  # has buffers beside weights
        for name, network in vars(networks).items():
            network.load_state_dict(random_weights(name, network), assign=True)
        return networks

    def to(self, device: torch.device, dtype: torch.dtype) -> "Networks":
        """Move them; like the authors', the predictor keeps float32 weights for autocast."""
        self.predictor.to(device)
        for network in (self.text, self.unet, self.vae):
            network.to(device, dtype)
        return self


def random_weights(name: str, network: nn.Module) -> dict[str, Tensor]:
    """Draw every tensor of `network` at a scale that keeps activations finite, by its own seed."""
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    return {key: _random_tensor(f"{name}.{key}", shape) for key, shape in shapes.items()}


def _random_tensor(key: str, shape: torch.Size) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    tensor = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return tensor.div_((tensor.numel() / shape[0]) ** 0.5)
    return tensor.mul_(0.1).add_(1) if key.endswith("weight") else tensor.mul_(0.05)


def prompt_tokens(batch: int, device: torch.device) -> Tensor:
    """Give the padded prompt's tokens [batch, 77]."""
    padding = (0,) * (PROMPT_TOKENS - len(PROMPT))
    return torch.tensor(PROMPT + padding, device=device).expand(batch, -1)
