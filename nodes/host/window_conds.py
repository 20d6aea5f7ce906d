"""Conditioning for windows of a latent: masks, areas and latent-shaped inputs, cut to size."""

from collections.abc import Sequence
from typing import Any

import comfy.conds
import torch
from torch import Tensor

from ...invsr_core.tiling import Window

AREA_FEATHER = 8
"""Latents over which the host fades the sides of an area that lie inside the picture."""

Conds = list[list[dict[str, Any]] | None]


def batchable(conds: Conds) -> bool:
    """Tell whether several windows may share one call: ControlNet and GLIGEN see one at a time."""
    return not any("control" in cond or "gligen" in cond for group in conds for cond in group or [])


def areas_as_masks(conds: Conds, x: Tensor) -> Conds:
    """Turn each area into a mask over the whole latent x [B,4,h,w], feathered as the host does.

    Cut to a window first, an area would be faded again at the window's border.
    """
    return [None if group is None else [_unarea(cond, x) for cond in group] for group in conds]


def _unarea(cond: dict[str, Any], x: Tensor) -> dict[str, Any]:
    if "area" not in cond:
        return cond
    cond = dict(cond)
    height, width, top, left = cond.pop("area")
    inside = Window(top, left, height, width)
    weight = torch.zeros(1, *x.shape[-2:], device=x.device, dtype=x.dtype)
    if "mask" in cond:
        inside.of(weight).fill_(1.0)
        cond["mask"] = cond["mask"].to(weight) * weight
    else:
        rows = _faded(height, top, x.shape[-2]).to(weight)
        columns = _faded(width, left, x.shape[-1]).to(weight)
        area = inside.of(weight)
        area.copy_((rows[:, None] * columns)[: area.shape[-2], : area.shape[-1]])
        cond["mask"] = weight
    return cond


def _faded(length: int, start: int, whole: int) -> Tensor:
    length = min(length, whole - start)
    feather = min(AREA_FEATHER, length // 4)
    ramp = torch.arange(1, feather + 1) / feather if feather else torch.ones(0)
    weight = torch.ones(length)
    if start > 0:
        weight[:feather] *= ramp
    if start + length < whole:
        weight[length - feather :] *= ramp.flip(0)
    return weight


def conds_in_windows(conds: Conds, x: Tensor, windows: Sequence[Window]) -> Conds:
    """Cut conds for a batch of windows of x [B,4,h,w], window by window, each for all B images."""
    return [None if group is None else _group(group, x, windows) for group in conds]


def _group(
    group: list[dict[str, Any]], x: Tensor, windows: Sequence[Window]
) -> list[dict[str, Any]]:
    cut = [_cut(cond, x, windows) for cond in group]
    return [cond for cond in cut if "mask" not in cond or cond["mask"].any()]


def _cut(cond: dict[str, Any], x: Tensor, windows: Sequence[Window]) -> dict[str, Any]:
    cond = {**cond, "model_conds": dict(cond["model_conds"])}
    if "mask" in cond:
        cond["mask"] = _stack(cond["mask"], len(x), windows)
    for name, value in cond["model_conds"].items():
        latent_shaped = isinstance(value, comfy.conds.CONDNoiseShape)
        if latent_shaped and value.cond.shape[-2:] == x.shape[-2:]:
            stacked = _stack(value.cond, len(x), windows)
            cond["model_conds"][name] = comfy.conds.CONDNoiseShape(stacked)
    return cond


def _stack(whole: Tensor, images: int, windows: Sequence[Window]) -> Tensor:
    rows = whole.expand(images, *whole.shape[1:]) if len(whole) == 1 else whole
    return torch.cat([window.of(rows) for window in windows])
