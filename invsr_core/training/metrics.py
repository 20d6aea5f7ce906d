"""Image quality: PSNR and SSIM on luma here, the learned and natural-image ones through pyiqa."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

Measure = Callable[[Tensor, Tensor | None], float]
"""A restored image and its HR image [1, 3, H, W] in [0, 1] to a number."""


@dataclass(frozen=True)
class Metric:
    """One column: `pyiqa` is its name there, empty for ours; `digits` are those of the paper."""

    title: str
    pyiqa: str
    needs_hr: bool
    higher_is_better: bool
    digits: int


METRICS = (
    Metric("PSNR", "", True, True, 2),
    Metric("SSIM", "", True, True, 4),
    Metric("LPIPS", "lpips-vgg", True, False, 4),
    Metric("LPIPS-Alex", "lpips", True, False, 4),
    Metric("NIQE", "niqe", False, False, 4),
    Metric("PI", "pi", False, False, 4),
    Metric("CLIPIQA", "clipiqa", False, True, 4),
    Metric("MUSIQ", "musiq", False, True, 4),
)
"""The paper's columns in its order; it does not say which LPIPS it used, so both are given."""


def available_metrics(*, with_hr: bool, device: str) -> dict[Metric, Measure]:
    """Load every metric that can be had; what is missing is named, one line each."""
    found: dict[Metric, Measure] = {}
    for metric in METRICS:
        if metric.needs_hr and not with_hr:
            continue
        try:
            found[metric] = _load(metric, device)
        except Exception as error:  # pyiqa, and what it downloads with, raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("%s is left out: it could not be loaded (%s).", metric.title, reason)
    return found


def _load(metric: Metric, device: str) -> Measure:
    if metric.title == "PSNR":
        return _with_hr(psnr_y)
    if metric.title == "SSIM":
        return _with_hr(ssim_y)
    import pyiqa

    measure: Any = pyiqa.create_metric(metric.pyiqa, device=torch.device(device))
    if metric.needs_hr:
        return _with_hr(lambda image, hr: float(measure(image, hr)))
    return lambda image, hr: float(measure(image))


def _with_hr(measure: Callable[[Tensor, Tensor], float]) -> Measure:
    def checked(image: Tensor, hr: Tensor | None) -> float:
        assert hr is not None, "this metric compares with an HR image"
        return measure(image, hr)

    return checked


def luma(image: Tensor) -> Tensor:
    """Give BT.601 luma in studio range, 16 to 235, of RGB [B, 3, H, W] in [0, 1]: float64."""
    r, g, b = image.double().split(1, dim=1)
    return 16.0 + 65.481 * r + 128.553 * g + 24.966 * b


def psnr_y(image: Tensor, hr: Tensor) -> float:
    """Give the peak signal-to-noise ratio on luma in decibels, over the whole image."""
    error = F.mse_loss(luma(image), luma(hr))
    return float(10.0 * torch.log10(255.0**2 / error))


def ssim_y(image: Tensor, hr: Tensor) -> float:
    """Give the structural similarity on luma (Wang et al. 2004): Gaussian window 11, sigma 1.5."""
    x, y = luma(image), luma(hr)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x = _windowed(x * x) - mean_x**2
    var_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    likeness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    likeness = likeness * (2 * covariance + c2) / (var_x + var_y + c2)
    return float(likeness.mean())


def _windowed(x: Tensor) -> Tensor:
    offsets = torch.arange(11, dtype=x.dtype, device=x.device) - 5
    weights = torch.exp(-(offsets**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(x, weights.view(1, 1, 1, 11)), weights.view(1, 1, 11, 1))


def cropped_alike(image: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Cut both to their common top left region, as the authors' script does."""
    height, width = (min(a, b) for a, b in zip(image.shape[-2:], hr.shape[-2:], strict=True))
    return image[..., :height, :width], hr[..., :height, :width]
