"""The multi-in multi-out UNet discriminator of the adversarial loss, built from diffusers' blocks.

It judges latents given timestep and text: a second look at the input enters before every down
block, and a map of logits leaves after the middle and after every up block (paper, section 3.3).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d_blocks import (
    CrossAttnDownBlock2D,
    CrossAttnUpBlock2D,
    DownBlock2D,
    UNetMidBlock2DCrossAttn,
    UpBlock2D,
)
from torch import Tensor, nn


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes; the defaults are the published network of 112,082,532 parameters, 519 tensors."""

    latent_channels: int = 4
    feature_channels: int = 32
    block_out_channels: tuple[int, ...] = (128, 256, 512)
    layers_per_block: tuple[int, ...] = (1, 2, 2)
    temb_channels: int = 512
    cross_attention_dim: int = 1024
    attention_heads: int = 16
    text_heads: int = 64
    norm_num_groups: int = 32


class Discriminator(nn.Module):
    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        channels = config.block_out_channels
        self.conv_in = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1)
        self.feature_in = nn.Conv2d(config.latent_channels, config.feature_channels, 3, padding=1)
        self.time_proj = Timesteps(channels[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(channels[0], config.temb_channels)
        self.add_embedding = TextTimeEmbedding(
            config.cross_attention_dim, config.temb_channels, num_heads=config.text_heads
        )
        levels = range(len(channels))
        self.down_blocks = nn.ModuleList(_down_block(config, level) for level in levels)
        self.mid_block = UNetMidBlock2DCrossAttn(
            in_channels=channels[-1], **_shared(config), **_attention(config)
        )
        self.up_blocks = nn.ModuleList(_up_block(config, level) for level in reversed(levels))
        self.out_blocks = nn.ModuleList(
            _out_block(count, config.norm_num_groups) for count in (channels[-1], *channels[::-1])
        )

    def forward(self, latents: Tensor, timesteps: Tensor, text: Tensor) -> list[Tensor]:
        """Judge clean latents [B, 4, h, w] at 0-based `timesteps` [B], given text [B, n, width].

        Gives one map of logits [B, 1, ...] after the middle and after each up block.
        """
        emb = self.time_embedding(self.time_proj(timesteps).to(latents.dtype))
        emb = emb + self.add_embedding(text)
        x, skips = self._down(latents, emb, text)
        x = self.mid_block(x, emb, encoder_hidden_states=text)
        maps = [self.out_blocks[0](x)]
        for block, out_block in zip(self.up_blocks, self.out_blocks[1:], strict=True):
            count = len(cast(Any, block).resnets)
            taken, skips = skips[-count:], skips[:-count]
            x = block(x, taken, emb, **_text_for(block, text))
            maps.append(out_block(x))
        return maps

    def _down(self, latents: Tensor, emb: Tensor, text: Tensor) -> tuple[Tensor, Any]:
        features = self.feature_in(latents)
        x = self.conv_in(latents)
        skips: tuple[Tensor, ...] = (x,)
        for block in self.down_blocks:
            seen = features if features.shape[-2:] == x.shape[-2:] else _shrunk(features, x)
            x, outputs = block(torch.cat([x, seen], dim=1), emb, **_text_for(block, text))
            skips += tuple(outputs)
        return x, skips


def _shrunk(features: Tensor, like: Tensor) -> Tensor:
    # Bicubic has no bfloat16 gradient on every device.
    small = F.interpolate(features.float(), size=like.shape[-2:], mode="bicubic")
    return small.to(features.dtype)


def _text_for(block: nn.Module, text: Tensor) -> dict[str, Tensor]:
    attends = getattr(block, "has_cross_attention", False)
    return {"encoder_hidden_states": text} if attends else {}


def _shared(config: DiscriminatorConfig) -> dict[str, Any]:
    return {
        "temb_channels": config.temb_channels,
        "resnet_eps": 1e-5,
        "resnet_act_fn": "silu",
        "resnet_groups": config.norm_num_groups,
    }


def _attention(config: DiscriminatorConfig) -> dict[str, Any]:
    return {
        "num_attention_heads": config.attention_heads,
        "cross_attention_dim": config.cross_attention_dim,
    }


def _down_block(config: DiscriminatorConfig, level: int) -> nn.Module:
    channels = config.block_out_channels
    sizes: dict[str, Any] = {
        "num_layers": config.layers_per_block[level],
        "in_channels": channels[max(level - 1, 0)] + config.feature_channels,
        "out_channels": channels[level],
        "add_downsample": level + 1 < len(channels),
        **_shared(config),
    }
    if level == 0:
        return DownBlock2D(**sizes)
    return CrossAttnDownBlock2D(**sizes, **_attention(config))


def _up_block(config: DiscriminatorConfig, level: int) -> nn.Module:
    channels = config.block_out_channels
    sizes: dict[str, Any] = {
        "num_layers": config.layers_per_block[level] + 1,
        "in_channels": channels[max(level - 1, 0)],
        "out_channels": channels[level],
        "prev_output_channel": channels[min(level + 1, len(channels) - 1)],
        "add_upsample": level > 0,
        **_shared(config),
    }
    if level == 0:
        return UpBlock2D(**sizes)
    return CrossAttnUpBlock2D(**sizes, **_attention(config))


def _out_block(channels: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(groups, channels, eps=1e-5),
        nn.SiLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.GroupNorm(groups, channels, eps=1e-5),
        nn.SiLU(),
        nn.Conv2d(channels, 1, 3, padding=1),
    )
