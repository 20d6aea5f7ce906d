"""Colours of a super-resolved image, corrected against a reference that has the right ones."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

COLOR_METHODS = ("none", "wavelet", "ycbcr", "adain", "lab")

_RADII = (1, 2, 4, 8, 16)
"""Dilations of the authors' five a-trous levels."""

_REACH = sum(_RADII)
"""How far the coarsest level looks, in pixels."""

_BAND = 128
"""Rows corrected at once: what is needed beside the images does not grow with their height."""


def correct_color(hr: Tensor, reference: Tensor, method: str) -> Tensor:
    """Give `hr` the colours of `reference`, both [B, 3, H, W] RGB around [0, 1].

    - "none": `hr` itself.
    - "wavelet": all that is coarser than about 13 pixels from the reference, the rest from `hr`.
    - "ycbcr": chroma from the reference, pixel by pixel, and luma from `hr`; clamped to [0, 1].
    - "adain": mean and contrast of each channel from the reference, over the whole image.
    - "lab": coarse colour from the reference; lightness and fine colour from `hr`. Removes casts as
      "wavelet" does but leaves brightness alone, and does not blur colour edges as "ycbcr" does.

    Computed in float32, returned in the dtype of `hr`, unclamped except by "ycbcr". Raises
    ValueError for any other method.
    """
    if method not in COLOR_METHODS:
        raise ValueError(f"Color correction must be one of {', '.join(COLOR_METHODS)}: '{method}'.")
    assert hr.shape == reference.shape, "the reference must be resized to the image"
    if method == "none":
        return hr
    corrected = torch.empty_like(hr)
    for i in range(hr.shape[0]):
        if method == "adain":
            _match_statistics(hr[i], reference[i], corrected[i])
        else:
            _correct_bands(_LOCAL_METHODS[method], hr[i], reference[i], corrected[i])
    return corrected


def _correct_bands(
    correct: Callable[[Tensor, Tensor], Tensor], hr: Tensor, reference: Tensor, out: Tensor
) -> None:
    """Correct [3, H, W] in bands of rows, each with the neighbours that the wavelet looks at."""
    height = hr.shape[1]
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        above, below = min(top, _REACH), min(height - bottom, _REACH)
        seen = slice(top - above, bottom + below)
        # Planes: a host's images have their channels last, where blurring takes twice as long.
        band = correct(*(x[None, :, seen].float().contiguous() for x in (hr, reference)))
        out[:, top:bottom] = band[0, :, above : above + bottom - top]


def _wavelet(hr: Tensor, reference: Tensor) -> Tensor:
    """Swap the coarse band: hr - low(hr) + low(reference), in one pass, as `low` is linear."""
    return hr + _low_band(reference - hr)


def _low_band(x: Tensor) -> Tensor:
    """Blur [B, C, H, W] by five 3x3 kernels [1 2 1]^T [1 2 1] / 16, each twice as dilated."""
    for radius in _RADII:
        x = _blurred(_blurred(x, (0, 0, radius, radius)), (radius, radius, 0, 0))
    return x


def _blurred(x: Tensor, pads: Sequence[int]) -> Tensor:
    """Blur along the padded axis by [1 2 1] / 4, repeating the border."""
    padded = F.pad(x, tuple(pads), mode="replicate")
    height, width = x.shape[2:]
    before, after = padded[..., :height, :width], padded[..., -height:, -width:]
    return torch.add(before, after).mul_(0.25).add_(x, alpha=0.5)


def _match_statistics(hr: Tensor, reference: Tensor, out: Tensor) -> None:
    """Write hr [3, H, W] to `out` with the reference's mean and deviation in each channel."""
    for i in range(hr.shape[0]):
        variance, mean = torch.var_mean(hr[i].float(), correction=0)
        wanted_variance, wanted_mean = torch.var_mean(reference[i].float(), correction=0)
        scale = ((wanted_variance + _VARIANCE_EPS) / (variance + _VARIANCE_EPS)).sqrt()
        out[i] = (hr[i].float() - mean).mul_(scale).add_(wanted_mean)


_VARIANCE_EPS = 1e-5
"""As in the authors' AdaIN (Huang and Belongie 2017)."""


def _ycbcr(hr: Tensor, reference: Tensor) -> Tensor:
    luma, chroma = _ycbcr_from_rgb(hr)[:, :1], _ycbcr_from_rgb(reference)[:, 1:]
    return _rgb_from_ycbcr(torch.cat([luma, chroma], dim=1))


# BT.601 in studio range, Y in 16 to 235 of 255; rounded as in the authors' code.
_YCBCR_FROM_RGB = (
    (65.481 / 255, 128.553 / 255, 24.966 / 255),
    (-37.797 / 255, -74.203 / 255, 112.0 / 255),
    (112.0 / 255, -93.786 / 255, -18.214 / 255),
)
_YCBCR_OFFSET = (16 / 255, 128 / 255, 128 / 255)
_RGB_FROM_YCBCR = (
    (255 * 0.00456621, 0.0, 255 * 0.00625893),
    (255 * 0.00456621, 255 * -0.00153632, 255 * -0.00318811),
    (255 * 0.00456621, 255 * 0.00791071, 0.0),
)
_RGB_OFFSET = (-222.921 / 255, 135.576 / 255, -276.836 / 255)


def _ycbcr_from_rgb(rgb: Tensor) -> Tensor:
    return _mixed(rgb, _YCBCR_FROM_RGB, _YCBCR_OFFSET).clamp_(0, 1)


def _rgb_from_ycbcr(ycbcr: Tensor) -> Tensor:
    return _mixed(ycbcr, _RGB_FROM_YCBCR, _RGB_OFFSET).clamp_(0, 1)


def _lab(hr: Tensor, reference: Tensor) -> Tensor:
    lab = lab_from_rgb(hr)
    lab[:, 1:] += _low_band(lab_from_rgb(reference)[:, 1:] - lab[:, 1:])
    return rgb_from_lab(lab)


# sRGB primaries and white D65 (IEC 61966-2-1), and the inverse.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_RGB_FROM_XYZ = (
    (3.24048134, -1.53715152, -0.49853633),
    (-0.96925495, 1.87599, 0.04155593),
    (0.05564664, -0.20404134, 1.05731107),
)
_WHITE = (0.95047, 1.0, 1.08883)
_LAB_KNEE = 6 / 29
_ZERO = (0.0, 0.0, 0.0)


def lab_from_rgb(rgb: Tensor) -> Tensor:
    """Turn sRGB [B, 3, H, W] in [0, 1] into CIE L*a*b* (D65, 2 degrees): L in [0, 100]."""
    bent = rgb.clamp(min=0.04045).add_(0.055).div_(1.055).pow_(2.4)
    xyz = _mixed(torch.where(rgb > 0.04045, bent, rgb / 12.92), _XYZ_FROM_RGB, _ZERO)
    f = [_lab_curve(xyz[:, i] / _WHITE[i]) for i in range(3)]
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], dim=1)


def rgb_from_lab(lab: Tensor) -> Tensor:
    """Turn CIE L*a*b* [B, 3, H, W] into sRGB, below 0 or above 1 where sRGB has no such colour."""
    y = (lab[:, 0] + 16) / 116
    f = (y + lab[:, 1] / 500, y, y - lab[:, 2] / 200)
    xyz = torch.stack([_lab_curve_inverse(f[i]) * _WHITE[i] for i in range(3)], dim=1)
    rgb = _mixed(xyz, _RGB_FROM_XYZ, _ZERO)
    bent = rgb.clamp(min=0.0031308).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(rgb > 0.0031308, bent, rgb * 12.92)


def _lab_curve(t: Tensor) -> Tensor:
    straight = t / (3 * _LAB_KNEE**2) + 4 / 29
    return torch.where(t > _LAB_KNEE**3, t.clamp(min=_LAB_KNEE**3).pow_(1 / 3), straight)


def _lab_curve_inverse(f: Tensor) -> Tensor:
    return torch.where(f > _LAB_KNEE, f**3, (f - 4 / 29) * (3 * _LAB_KNEE**2))


def _mixed(x: Tensor, rows: Sequence[Sequence[float]], offsets: Sequence[float]) -> Tensor:
    """Mix the channels of [B, 3, H, W]: rows @ x + offsets, never rounded to TF32."""
    mixed = [
        (x[:, 0] * a).add_(x[:, 1], alpha=b).add_(x[:, 2], alpha=c).add_(offset)
        for (a, b, c), offset in zip(rows, offsets, strict=True)
    ]
    return torch.stack(mixed, dim=1)


_LOCAL_METHODS = {"wavelet": _wavelet, "ycbcr": _ycbcr, "lab": _lab}
