"""Blur kernels of the degradation: Gaussians, their generalised and plateau forms, and sinc.

The formulas are Real-ESRGAN's (arXiv 2107.10833, section 3) as published for InvSR.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .draw import chance, choice, uniform

SHAPES = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")


@dataclass(frozen=True)
class KernelConfig:
    """How one stage draws its kernels; `shape_weights` go with `SHAPES`.

    Sizes are odd; `size` is what every kernel is padded to, one step above the largest drawn.
    """

    size: int
    sizes: tuple[int, ...]
    shape_weights: tuple[float, ...]
    sigma: tuple[float, float]
    generalized_beta: tuple[float, float] = (0.5, 4.0)
    plateau_beta: tuple[float, float] = (1.0, 2.0)
    sinc_probability: float = 0.1


def draw_kernel(config: KernelConfig, generator: torch.Generator) -> Tensor:
    """Draw one normalised blur kernel [size, size] of a stage."""
    size = choice(generator, config.sizes)
    if chance(generator, config.sinc_probability):
        low = math.pi / 3 if size < 13 else math.pi / 5
        return _padded(sinc_kernel(size, uniform(generator, low, math.pi)), config.size)
    shape = choice(generator, SHAPES, config.shape_weights)
    return _padded(_draw_gaussian(shape, size, config, generator), config.size)


def draw_final_kernel(
    size: int, sizes: tuple[int, ...], probability: float, generator: torch.Generator
) -> Tensor:
    """Draw the last stage's [size, size]: a sinc with `probability`, else a delta."""
    if not chance(generator, probability):
        return _padded(torch.ones(1, 1), size)
    drawn = choice(generator, sizes)
    return _padded(sinc_kernel(drawn, uniform(generator, math.pi / 3, math.pi)), size)


def _draw_gaussian(
    shape: str, size: int, config: KernelConfig, generator: torch.Generator
) -> Tensor:
    sigma_x, sigma_y, angle = uniform(generator, *config.sigma), 0.0, 0.0
    if shape.endswith("aniso"):
        sigma_y = uniform(generator, *config.sigma)
        angle = uniform(generator, -math.pi, math.pi)
    distance = mahalanobis(size, sigma_x, sigma_y or sigma_x, angle)
    if shape.startswith("plateau"):
        return plateau_kernel(distance, _draw_beta(config.plateau_beta, generator))
    if shape.startswith("generalized"):
        return gaussian_kernel(distance, _draw_beta(config.generalized_beta, generator))
    return gaussian_kernel(distance, 1.0)


def _draw_beta(limits: tuple[float, float], generator: torch.Generator) -> float:
    """Draw an exponent below 1 as often as above, though the range above is wider."""
    low, high = limits
    below = chance(generator, 0.5)
    return uniform(generator, low, 1.0) if below else uniform(generator, 1.0, high)


def mahalanobis(size: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    """Give the squared distance of each kernel pixel from the centre in rotated sigmas: float64."""
    x, y = _offsets(size)
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma_x
    across = (y * math.cos(angle) - x * math.sin(angle)) / sigma_y
    return along**2 + across**2


def gaussian_kernel(distance: Tensor, beta: float) -> Tensor:
    """Turn squared distances into exp(-distance^beta / 2), summing to 1; beta 1 is a Gaussian."""
    return _normalised(torch.exp(-0.5 * distance**beta))


def plateau_kernel(distance: Tensor, beta: float) -> Tensor:
    """Turn squared distances into 1 / (1 + distance^beta), summing to 1."""
    return _normalised(1.0 / (1.0 + distance**beta))


def sinc_kernel(size: int, cutoff: float) -> Tensor:
    """Make the circular low-pass of `cutoff` in (0, pi]: cutoff J1(cutoff r) / (2 pi r)."""
    x, y = _offsets(size)
    radius = torch.hypot(x, y)
    wave = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    wave[size // 2, size // 2] = cutoff**2 / (4 * math.pi)  # its limit at r = 0
    return _normalised(wave)


def filter_each(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter image b of [B, C, h, w] with kernel b of [B, k, k], k odd; edges are reflected."""
    batch, channels, height, width = images.shape
    reach = kernels.shape[-1] // 2
    # Reflection cannot exceed the image; what is left is repeated. Only tiny images have any.
    near = (min(reach, width - 1), min(reach, height - 1))
    padded = F.pad(images, (near[0], near[0], near[1], near[1]), mode="reflect")
    rest = (reach - near[0], reach - near[1])
    padded = F.pad(padded, (rest[0], rest[0], rest[1], rest[1]), mode="replicate")
    weight = kernels.to(images).repeat_interleave(channels, dim=0)[:, None]
    flat = padded.reshape(1, batch * channels, *padded.shape[-2:])
    return F.conv2d(flat, weight, groups=batch * channels).reshape(images.shape)


def _offsets(size: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    return axis[None, :].expand(size, size), axis[:, None].expand(size, size)


def _normalised(kernel: Tensor) -> Tensor:
    return (kernel / kernel.sum()).float()


def _padded(kernel: Tensor, size: int) -> Tensor:
    margin = (size - kernel.shape[-1]) // 2
    return F.pad(kernel, (margin, margin, margin, margin))
