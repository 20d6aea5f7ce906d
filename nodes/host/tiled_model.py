"""A MODEL that sees a large latent through windows, under whatever sampler runs it.

Two of the host's stacking wrappers do it: one plans memory for a batch of windows instead of the
whole latent, the other cuts latent and conditioning, runs the model, and blends the denoised
windows of every step.
"""

from collections.abc import Callable
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...invsr_core.resize import LATENT_SCALE
from ...invsr_core.tiling import Blender, TileGrid, Tiling, batches
from .control_hints import ControlHints
from .progress import Progress, shrink_on_oom
from .window_conds import areas_as_masks, batchable, conds_in_windows

KEY = "invsr_tiles"


def tiled_model(model: Any, tiling: Tiling, progress: Progress | None = None) -> Any:
    """Clone MODEL so that it runs over windows of `tiling`; a latent within one is left alone."""
    windows = _WindowedDenoiser(tiling, progress)
    wrappers = {
        WrappersMP.CALC_COND_BATCH: windows,
        WrappersMP.PREPARE_SAMPLING: _plan_memory(tiling),
        WrappersMP.OUTER_SAMPLE: windows.forget_hints,
    }
    model = model.clone()
    for kind, wrapper in wrappers.items():
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)
    return model


def latent_grid(tiling: Tiling, latents: Tensor) -> TileGrid:
    """Cover latents [B,4,h,w] with the windows of `tiling`, in latents."""
    return tiling.grid(_lr_size(latents.shape)).scaled(1, LATENT_SCALE)


def _lr_size(shape: Any) -> tuple[int, int]:
    return (shape[-2] * LATENT_SCALE, shape[-1] * LATENT_SCALE)


def _plan_memory(tiling: Tiling) -> Callable[..., Any]:
    def wrapper(executor: Any, model: Any, noise_shape: Any, *args: Any, **kwargs: Any) -> Any:
        grid = tiling.grid(_lr_size(noise_shape)).scaled(1, LATENT_SCALE)
        if len(grid) > 1:
            count = noise_shape[0] * min(tiling.tile_batch, len(grid))
            noise_shape = [count, *noise_shape[1:-2], *grid.window_size]
        return executor(model, noise_shape, *args, **kwargs)

    return wrapper


class _WindowedDenoiser:
    """Stands in front of the host's calc_cond_batch: same arguments, same list of results."""

    def __init__(self, tiling: Tiling, progress: Progress | None) -> None:
        self._tiling = tiling
        self._progress = progress or Progress.unseen()
        self._hints = ControlHints()

    def __call__(
        self,
        executor: Any,
        model: Any,
        conds: list,
        x: Tensor,
        sigma: Tensor,
        model_options: dict,
    ) -> list[Tensor]:
        size = _lr_size(x.shape)
        if len(self._tiling.grid(size)) == 1:
            denoised = executor(model, conds, x, sigma, model_options)
            self._progress.advance()
            return denoised
        conds = areas_as_masks(conds, x)

        def run(tiling: Tiling) -> list[Tensor]:
            return self._blend(
                lambda conds, x, sigma: executor(model, conds, x, sigma, model_options),
                tiling,
                conds,
                x,
                sigma,
            )

        return shrink_on_oom(run, self._tiling, size, self._progress)

    def _blend(
        self, denoise: Callable[..., list], tiling: Tiling, conds: list, x: Tensor, sigma: Tensor
    ) -> list[Tensor]:
        grid = latent_grid(tiling, x)
        blenders = [Blender(grid) for _ in conds]
        for batch in batches(len(grid), tiling.tile_batch if batchable(conds) else 1):
            windows = [grid.windows[i] for i in batch]
            tiles = torch.cat([window.of(x) for window in windows])
            with self._hints.cropped(conds, x, sigma, windows[0]):
                denoised = denoise(
                    conds_in_windows(conds, x, windows), tiles, sigma.repeat(len(windows))
                )
            for blender, result in zip(blenders, denoised, strict=True):
                for i, tile in zip(batch, result.chunk(len(windows)), strict=True):
                    blender.add(i, tile)
            self._progress.advance(len(batch))
        return [blender.result for blender in blenders]

    def forget_hints(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Wrap one sampling run: ControlNet hints of the whole image live no longer than it."""
        try:
            return executor(*args, **kwargs)
        finally:
            self._hints.clear()
