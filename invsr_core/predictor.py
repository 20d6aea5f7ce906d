"""The noise predictor f_w of InvSR (paper, section 3.2): LR image and timestep to start noise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import NORM_EPS, Attention, Downsample, ResidualBlock, TimeEmbedding, sinusoid
from .posterior import Posterior


@dataclass(frozen=True)
class PredictorConfig:
    """Sizes of a noise predictor; the defaults are the published network of 33,837,576 parameters.

    `norm_num_groups` and `attention_head_dim` leave no trace in the tensors, so files of other
    networks must carry them in their metadata.
    """

    in_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (256, 512)
    layers_per_block: tuple[int, ...] = (3, 3)
    temb_channels: int = 512
    sinusoid_channels: int = 256
    norm_num_groups: int = 32
    attention_head_dim: int = 64

    def __post_init__(self) -> None:
        for channels in self.block_out_channels:
            for name in ("norm_num_groups", "attention_head_dim"):
                if channels % getattr(self, name):
                    raise ValueError(
                        f"A block of {channels} channels does not divide by {name} = "
                        f"{getattr(self, name)}. State both in the file's metadata."
                    )

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Tensor],
        *,
        norm_num_groups: int = 32,
        attention_head_dim: int = 64,
    ) -> "PredictorConfig":
        """Read the sizes off the tensors' shapes.

        Raises ValueError, naming the tensor, if one that tells a size is absent or misshapen.
        """

        def shape(key: str, dims: int) -> torch.Size:
            if key not in state or state[key].ndim != dims:
                raise ValueError(f"not an InvSR noise predictor: {_what_is_at(state, key, dims)}.")
            return state[key].shape

        blocks = _count(state, r"encoder\.down_blocks\.(\d+)\.")
        block = "encoder.down_blocks.{}.resnets"
        temb_channels, sinusoid_channels = shape("encoder.time_embedding.linear_1.weight", 2)
        return cls(
            in_channels=shape("encoder.conv_in.weight", 4)[1],
            latent_channels=shape("encoder.conv_out.weight", 4)[0] // 2,
            block_out_channels=tuple(
                shape(f"{block.format(i)}.0.conv1.weight", 4)[0] for i in range(max(blocks, 1))
            ),
            layers_per_block=tuple(
                _count(state, rf"encoder\.down_blocks\.{i}\.resnets\.(\d+)\.")
                for i in range(blocks)
            ),
            temb_channels=temb_channels,
            sinusoid_channels=sinusoid_channels,
            norm_num_groups=norm_num_groups,
            attention_head_dim=attention_head_dim,
        )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({found.group(1) for key in state if (found := re.match(pattern, key))})


def _what_is_at(state: Mapping[str, Tensor], key: str, dims: int) -> str:
    if key in state:
        return f"'{key}' has shape {list(state[key].shape)}, expected {dims} dimensions"
    first = next(iter(state), "none")
    return f"expected the key '{key}', found {len(state)} others (first: '{first}')"


class NoisePredictor(nn.Module):
    """Predict the start noise of the partial diffusion from LR pixels and the start timestep."""

    def __init__(self, config: PredictorConfig, operations: Any = nn, **factory: Any):
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config, operations=operations, **factory)

    def forward(self, lr: Tensor, timestep: int | Tensor) -> Posterior:
        """Map `lr` [B, 3, h, w] in [0, 1], h and w even, to a posterior over [B, 4, h/2, w/2].

        `timestep` is the 0-based index (published t - 1), one for all or an int tensor [B].
        The network runs in the dtype of `lr`; the posterior is float32.
        """
        timesteps = torch.as_tensor(timestep, device=lr.device).expand(lr.shape[0])
        return Posterior.from_moments(self.encoder(lr * 2.0 - 1.0, timesteps))


class _Encoder(nn.Module):
    def __init__(self, config: PredictorConfig, *, operations: Any, **factory: Any):
        super().__init__()
        channels, inner = config.block_out_channels, {"operations": operations, **factory}
        self.sinusoid_channels = config.sinusoid_channels
        self.time_embedding = TimeEmbedding(config.sinusoid_channels, config.temb_channels, **inner)
        self.conv_in = operations.Conv2d(config.in_channels, channels[0], 3, padding=1, **factory)
        self.down_blocks = nn.ModuleList(
            _DownBlock(config, level, inner) for level in range(len(channels))
        )
        self.mid_block = _MidBlock(config, channels[-1], inner)
        self.conv_norm_out = operations.GroupNorm(
            config.norm_num_groups, channels[-1], eps=NORM_EPS, **factory
        )
        self.conv_out = operations.Conv2d(
            channels[-1], 2 * config.latent_channels, 3, padding=1, **factory
        )

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        temb = self.time_embedding(sinusoid(timesteps, self.sinusoid_channels).to(x.dtype))
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x, temb)
        x = self.mid_block(x, temb)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class _DownBlock(nn.Module):
    def __init__(self, config: PredictorConfig, level: int, factory: dict[str, Any]):
        super().__init__()
        channels, layers = config.block_out_channels[level], config.layers_per_block[level]
        in_channels = config.block_out_channels[max(level - 1, 0)]
        last = level + 1 == len(config.block_out_channels)
        self.resnets = nn.ModuleList(
            _residual(config, channels if i else in_channels, channels, factory)
            for i in range(layers)
        )
        self.attentions = nn.ModuleList(
            _attention(config, channels, factory) for _ in range(layers)
        )
        self.downsamplers = nn.ModuleList([] if last else [Downsample(channels, **factory)])

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        for residual, attention in zip(self.resnets, self.attentions, strict=True):
            x = attention(residual(x, temb))
        for downsample in self.downsamplers:
            x = downsample(x)
        return x


class _MidBlock(nn.Module):
    def __init__(self, config: PredictorConfig, channels: int, factory: dict[str, Any]):
        super().__init__()
        self.resnets = nn.ModuleList(
            _residual(config, channels, channels, factory) for _ in range(2)
        )
        self.attentions = nn.ModuleList([_attention(config, channels, factory)])

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        x = self.resnets[0](x, temb)
        x = self.attentions[0](x)
        return self.resnets[1](x, temb)


def _residual(
    config: PredictorConfig, in_channels: int, out_channels: int, factory: dict[str, Any]
) -> ResidualBlock:
    return ResidualBlock(
        in_channels,
        out_channels,
        temb_channels=config.temb_channels,
        groups=config.norm_num_groups,
        **factory,
    )


def _attention(config: PredictorConfig, channels: int, factory: dict[str, Any]) -> Attention:
    return Attention(
        channels, head_dim=config.attention_head_dim, groups=config.norm_num_groups, **factory
    )
