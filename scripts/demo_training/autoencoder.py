"""An f8 autoencoder of four channels in TAESD's layout, written so that two CPU cores can train it.

Keys and shapes are those of ComfyUI's `comfy.taesd`. The only freedom used: a block may sleep
(its residual branch is then zero and costs nothing) and wake up later in the training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 64
LATENTS = 4
_SLEEPERS = {"taesd_encoder": (1, 4, 5), "taesd_decoder": (13, 14, 18)}
"""Blocks at full and half size: most of the arithmetic, least of the picture."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())
        self.awake = True

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x) if self.awake else F.relu(x)


class Double(nn.Module):
    """Holds the place of the layout's enlargement, which the next convolution does itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class UpConv(nn.Conv2d):
    """Nearest-neighbour x2, then a 3x3 convolution, as one 2x2 convolution: 9/4 times cheaper."""

    def forward(self, input: Tensor) -> Tensor:
        _, channels, height, width = input.shape
        rows = torch.stack(  # a 3-row kernel over doubled rows reads two rows, by the row's parity
            (_pair(self.weight, 2, 1), _pair(self.weight, 2, 2))
        )
        kernels = torch.stack((_pair(rows, 4, 1), _pair(rows, 4, 2)), 1).flatten(0, 2)
        all_phases = F.conv2d(F.pad(input, (1, 1, 1, 1)), kernels)
        phases = all_phases.unflatten(1, (2, 2, channels))
        picked = [
            phases[:, row, column, :, row : row + height, column : column + width]
            for row in (0, 1)
            for column in (0, 1)
        ]
        return F.pixel_shuffle(torch.stack(picked, 2).flatten(1, 2), 2)


def _pair(weight: Tensor, dim: int, first: int) -> Tensor:
    """Sum the three taps along `dim` to two: the first `first` of them, and the rest."""
    head, tail = weight.split((first, 3 - first), dim)
    return torch.cat((head.sum(dim, keepdim=True), tail.sum(dim, keepdim=True)), dim)


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder = _encoder()
        self.taesd_decoder = _decoder()

    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, 8h, 8w] in [0, 1] -> latents [B, 4, h, w] as the UNet sees them."""
        return self.taesd_encoder(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self.taesd_decoder(torch.tanh(latents / 3) * 3)

    def wake(self, *parts: str) -> None:
        """Let all blocks of `parts` work, and the costly ones of the rest sleep."""
        for part, sleepers in _SLEEPERS.items():
            for index in sleepers:
                self.get_submodule(f"{part}.{index}").awake = part in parts


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [_conv(3), Block()]
    for _ in range(3):
        layers += [_conv(stride=2, bias=False), Block(), Block(), Block()]
    return nn.Sequential(*layers, _conv(outputs=LATENTS))


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Identity(), _conv(LATENTS), nn.ReLU()]
    for _ in range(3):
        up = UpConv(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        layers += [Block(), Block(), Block(), Double(), up]
    return nn.Sequential(*layers, Block(), _conv(outputs=3))


def _conv(
    inputs: int = CHANNELS, outputs: int = CHANNELS, *, stride: int = 1, bias: bool = True
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Kaiming's initialisation; residual branches start at zero (the default does not train)."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, 0.0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if name.endswith("conv.4"):
                nn.init.zeros_(module.weight)
            if module.out_channels in (3, LATENTS):
                module.weight.data.mul_(0.5)
