"""The host's VAE over single-pass windows, under its memory manager.

The host's own encode and decode answer a lack of memory by tiling three times over, and silently;
here windows are part of the plan, above a fixed size that is the same on every machine.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_management
from torch import Tensor

from ...invsr_core.resize import LATENT_SCALE, SCALE
from ...invsr_core.tiling import Tiling, map_windows
from .images import on_intermediate_device
from .progress import Progress, shrink_on_oom

VAE_TILING = Tiling(tile_size=256, overlap=32, tile_batch=1)
"""Windows of at most 1024 output pixels, in LR pixels; up to there the VAE sees all at once."""

_PIXELS, _LATENTS = (SCALE, 1), (1, LATENT_SCALE)
"""How an LR pixel scales into the two spaces the VAE works in: times, divided by."""


def vae_windows(size: tuple[int, int], batch: int) -> int:
    """Count the windows that encoding, or decoding, `batch` LR images of `size` takes."""
    return len(VAE_TILING.grid(size)) * batch


def encode(vae: Any, pixels: Tensor, progress: Progress) -> Tensor:
    """Encode pixels [B,3,4h,4w] around [0, 1] to the posterior's mode [B,4,h/2,w/2], unscaled."""

    def compute(tiles: Tensor) -> Tensor:
        tiles = vae.process_input(tiles).to(device=vae.device, dtype=vae.vae_dtype)
        return on_intermediate_device(vae.first_stage_model.encode(tiles))

    return _over_windows(vae, compute, vae.memory_used_encode, pixels, _PIXELS, _LATENTS, progress)


def decode(vae: Any, latents: Tensor, progress: Progress) -> Tensor:
    """Decode latents [B,4,h/2,w/2] to pixels [B,3,4h,4w] in [0, 1]."""

    def compute(tiles: Tensor) -> Tensor:
        tiles = tiles.to(device=vae.device, dtype=vae.vae_dtype)
        return vae.process_output(on_intermediate_device(vae.first_stage_model.decode(tiles)))

    return _over_windows(vae, compute, vae.memory_used_decode, latents, _LATENTS, _PIXELS, progress)


def _over_windows(
    vae: Any,
    compute: Callable[[Tensor], Tensor],
    memory_used: Callable[[tuple[int, ...], Any], float],
    x: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    progress: Progress,
) -> Tensor:
    size = (x.shape[-2] * source[1] // source[0], x.shape[-1] * source[1] // source[0])

    def run(tiling: Tiling) -> Tensor:
        grid = tiling.grid(size)
        x_grid = grid.scaled(*source)
        shape = (tiling.tile_batch, x.shape[1], *x_grid.window_size)
        comfy.model_management.load_models_gpu(
            [vae.patcher], memory_required=memory_used(shape, vae.vae_dtype)
        )
        return map_windows(
            compute,
            x,
            x_grid,
            grid.scaled(*target),
            tile_batch=tiling.tile_batch,
            on_tile=progress.advance,
        )

    return shrink_on_oom(run, VAE_TILING, size, progress)
