"""The start noise of a whole image: the noise predictor over windows, blended to one posterior."""

from collections.abc import Callable

import torch
from torch import Tensor

from .posterior import Posterior
from .resize import LATENT_SCALE
from .tiling import TileGrid, map_windows


def predict_noise(
    predictor: Callable[[Tensor, int], Posterior],
    lr: Tensor,
    timestep: int,
    grid: TileGrid,
    *,
    tile_batch: int = 1,
    on_tile: Callable[[int], None] | None = None,
) -> Posterior:
    """Predict the start noise of lr [B, 3, *grid.size] in [0, 1] at a 0-based `timestep`.

    Means and standard deviations of neighbouring windows are blended, so that one draw over the
    result is one noise field. A grid of one window gives the predictor's own posterior. At most
    `tile_batch` windows run at once; `on_tile` hears how many were finished.
    """

    def moments(tiles: Tensor) -> Tensor:
        posterior = predictor(tiles, timestep)
        spread = posterior.logvar if len(grid) == 1 else posterior.std
        return torch.cat([posterior.mean, spread], dim=1)

    blended = map_windows(
        moments, lr, grid, grid.scaled(1, LATENT_SCALE), tile_batch=tile_batch, on_tile=on_tile
    )
    mean, spread = blended.chunk(2, dim=1)
    return Posterior(mean, spread) if len(grid) == 1 else Posterior.from_mean_std(mean, spread)
