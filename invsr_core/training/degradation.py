"""The second-order degradation that makes LR images from HR ones, with both published settings.

Blur, resize, noise and JPEG of Real-ESRGAN (arXiv 2107.10833) as InvSR uses them. As published, a
batch shares each discrete choice and size; kernels, noise levels and JPEG quality are per image.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resize import SCALE
from .draw import chance, choice, normal, uniform, uniforms
from .jpeg import jpeg
from .kernels import KernelConfig, draw_final_kernel, draw_kernel, filter_each

_MODES = ("area", "bilinear", "bicubic")
_ALL_SHAPES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)


def _odd(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1, 2))


@dataclass(frozen=True)
class StageConfig:
    """One round of blur, resize and noise. Gaussian sigmas count in 255ths."""

    kernels: KernelConfig
    blur_probability: float
    resize_weights: tuple[float, float, float]
    """Of enlarging, reducing and keeping the size."""
    scale: tuple[float, float]
    gaussian_sigma: tuple[float, float]
    poisson_scale: tuple[float, float]
    gaussian_probability: float = 0.5
    gray_probability: float = 0.4


@dataclass(frozen=True)
class DegradationConfig:
    first: StageConfig
    second: StageConfig | None
    second_probability: float
    first_jpeg: tuple[float, float]
    final_jpeg: tuple[float, float]
    final_kernel: int
    final_sizes: tuple[int, ...]
    final_sinc_probability: float


TRAINING = DegradationConfig(
    first=StageConfig(
        kernels=KernelConfig(21, _odd(3, 19), _ALL_SHAPES, (0.2, 3.0)),
        blur_probability=1.0,
        resize_weights=(0.2, 0.7, 0.1),
        scale=(0.15, 1.5),
        gaussian_sigma=(1.0, 30.0),
        poisson_scale=(0.05, 3.0),
    ),
    second=StageConfig(
        kernels=KernelConfig(15, _odd(3, 13), _ALL_SHAPES, (0.2, 1.5)),
        blur_probability=0.8,
        resize_weights=(0.3, 0.4, 0.3),
        scale=(0.3, 1.2),
        gaussian_sigma=(1.0, 25.0),
        poisson_scale=(0.05, 2.5),
    ),
    second_probability=0.5,
    first_jpeg=(30.0, 95.0),
    final_jpeg=(30.0, 95.0),
    final_kernel=15,
    final_sizes=_odd(3, 13),
    final_sinc_probability=0.8,
)
"""What the published predictor was trained on."""

IMAGENET_TEST = DegradationConfig(
    first=StageConfig(
        kernels=KernelConfig(13, _odd(3, 11), (0.6, 0.4, 0.0, 0.0, 0.0, 0.0), (0.2, 0.8)),
        blur_probability=1.0,
        resize_weights=(0.2, 0.7, 0.1),
        scale=(0.5, 1.5),
        gaussian_sigma=(1.0, 15.0),
        poisson_scale=(0.05, 0.3),
    ),
    second=None,
    second_probability=0.0,
    first_jpeg=(70.0, 95.0),
    final_jpeg=(80.0, 100.0),
    final_kernel=7,
    final_sizes=_odd(3, 5),
    final_sinc_probability=0.2,
)
"""What ImageNet-Test, the paper's synthetic test set, was made with."""

SETTINGS = {"training": TRAINING, "imagenet-test": IMAGENET_TEST}


def degrade(hr: Tensor, config: DegradationConfig, generator: torch.Generator) -> Tensor:
    """Make LR images [B, 3, H/4, W/4] of hr [B, 3, H, W], both in [0, 1], LR in whole 255ths.

    H and W are multiples of 4. The same generator state gives the same images.
    """
    size = (hr.shape[-2] // SCALE, hr.shape[-1] // SCALE)
    x = _run_stage(hr, hr.shape[-2:], config.first, generator)
    x = _compress(x, config.first_jpeg, generator)
    if config.second is not None and chance(generator, config.second_probability):
        x = _run_stage(x, size, config.second, generator)
    x = _finish(x, size, config, generator)
    return torch.round(x.clamp(0.0, 1.0) * 255.0) / 255.0


def _run_stage(
    x: Tensor, nominal: tuple[int, ...], stage: StageConfig, generator: torch.Generator
) -> Tensor:
    """Blur `x`, resize it to a random multiple of the `nominal` size, and add noise."""
    if chance(generator, stage.blur_probability):
        kernels = [draw_kernel(stage.kernels, generator) for _ in range(len(x))]
        x = filter_each(x, torch.stack(kernels))
    scale = draw_scale(stage, generator)
    size = tuple(max(1, int(side * scale)) for side in nominal)
    return _add_noise(_resize(x, size, generator), stage, generator)


def draw_scale(stage: StageConfig, generator: torch.Generator) -> float:
    """Draw how much a stage resizes by: above 1, below 1, or 1."""
    low, high = stage.scale
    kind = choice(generator, ("up", "down", "keep"), stage.resize_weights)
    if kind == "keep":
        return 1.0
    return uniform(generator, 1.0, high) if kind == "up" else uniform(generator, low, 1.0)


def _resize(x: Tensor, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Resize by a random method without antialias, as published."""
    return F.interpolate(x, size=size, mode=choice(generator, _MODES))


def _add_noise(x: Tensor, stage: StageConfig, generator: torch.Generator) -> Tensor:
    if chance(generator, stage.gaussian_probability):
        noise = gaussian_noise(x, stage.gaussian_sigma, stage.gray_probability, generator)
    else:
        noise = poisson_noise(x, stage.poisson_scale, stage.gray_probability, generator)
    return (x + noise).clamp(0.0, 1.0)


def gaussian_noise(
    x: Tensor, sigma: tuple[float, float], gray_probability: float, generator: torch.Generator
) -> Tensor:
    """Draw Gaussian noise for [B, 3, h, w]: a sigma (in 255ths) per image, colour or gray.

    Gray noise is one field for the batch, scaled per image, as published.
    """
    sigmas = _per_image(uniforms(generator, *sigma, len(x)), x) / 255.0
    gray = _draw_gray(x, gray_probability, generator)
    colour_field = normal(generator, x.shape, x)
    gray_field = normal(generator, x.shape[-2:], x)
    return sigmas * torch.where(gray, gray_field, colour_field)


def poisson_noise(
    x: Tensor, scale: tuple[float, float], gray_probability: float, generator: torch.Generator
) -> Tensor:
    """Draw shot noise for x [B, 3, h, w]: a scale per image, colour or gray."""
    scales = _per_image(uniforms(generator, *scale, len(x)), x)
    gray = _draw_gray(x, gray_probability, generator)
    r, g, b = x.split(1, dim=1)
    luma = 0.2989 * r + 0.587 * g + 0.114 * b
    colour_field, gray_field = _shot(x, generator), _shot(luma, generator)
    return scales * torch.where(gray, gray_field, colour_field)


def _shot(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw Poisson noise minus its mean, with as many levels per image as it has values."""
    x = torch.round(x.clamp(0.0, 1.0) * 255.0) / 255.0
    counts = torch.tensor([len(torch.unique(image)) for image in x], dtype=torch.float32)
    levels = _per_image(2.0 ** torch.ceil(torch.log2(counts)), x)
    events = torch.poisson((x * levels).to(generator.device), generator=generator)
    return events.to(x.device) / levels - x


def _draw_gray(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    return _per_image(uniforms(generator, 0.0, 1.0, len(x)), x) < probability


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device)[:, None, None, None]


def _compress(x: Tensor, quality: tuple[float, float], generator: torch.Generator) -> Tensor:
    return jpeg(x.clamp(0.0, 1.0), uniforms(generator, *quality, len(x)).to(x.device))


def _finish(
    x: Tensor, size: tuple[int, int], config: DegradationConfig, generator: torch.Generator
) -> Tensor:
    """Bring `x` to the LR size and filter it, with JPEG last or first, each as likely."""
    jpeg_last = chance(generator, 0.5)
    if not jpeg_last:
        x = _compress(x, config.final_jpeg, generator)
    x = _resize(x, size, generator)
    kernels = [
        draw_final_kernel(
            config.final_kernel, config.final_sizes, config.final_sinc_probability, generator
        )
        for _ in range(len(x))
    ]
    x = filter_each(x, torch.stack(kernels))
    return _compress(x, config.final_jpeg, generator) if jpeg_last else x
