"""Multiply-accumulates of both sides: counted per network and window, times the windows.

Counted by torch on meta tensors, where attention is not overlooked as it is on CPU tensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from networks import PROMPT_TOKENS, Networks
from reference import tile_starts
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from invsr_core.resize import LATENT_SCALE, PAD_TO, SCALE, Frame
from invsr_core.tiling import TileGrid, Tiling

Size = tuple[int, int]
"""Height and width in LR pixels."""


@dataclass(frozen=True)
class Work:
    """`count` runs of one network over windows of `window` LR pixels."""

    network: str
    window: Size
    count: int


def our_work(size: Size, steps: int, tiling: Tiling, vae_tiling: Tiling) -> list[Work]:
    """List what an LR image of `size` takes with us: windows inside each stage, prompt encoded."""
    padded = Frame.around(size, pad_to=PAD_TO).padded_size
    grid, vae_grid = tiling.grid(padded), vae_tiling.grid(padded)
    return [
        _on(grid, "predictor", 1),
        _on(grid, "unet", steps),
        _on(vae_grid, "encode", 1),
        _on(vae_grid, "decode", 1),
    ]


def reference_work(size: Size, steps: int, tile: int) -> list[Work]:
    """List what an LR image of `size` takes in the reference: the whole chain for each tile."""
    rows, columns = Frame.around(size, pad_to=tile).padded_size
    tiles = len(tile_starts(rows, tile)) * len(tile_starts(columns, tile))
    runs = {"text": 1, "predictor": 1, "unet": steps, "encode": 1, "decode": 1}
    return [Work(name, (tile, tile), tiles * times) for name, times in runs.items()]


def _on(grid: TileGrid, network: str, times: int) -> Work:
    return Work(network, grid.window_size, len(grid) * times)


class Counter:
    """Counts each network once per window shape, by running it on meta tensors."""

    def __init__(self, networks: Mapping[str, Callable[[Size], object]]) -> None:
        self._networks = networks
        self._known: dict[tuple[str, Size], int] = {}

    def macs(self, network: str, window: Size) -> int:
        """Count one run of `network` over a window."""
        key = (network, window)
        if key not in self._known:
            self._known[key] = count_macs(lambda: self._networks[network](window))
        return self._known[key]

    def by_network(self, work: list[Work]) -> dict[str, int]:
        """Count all runs of each network."""
        return {part.network: part.count * self.macs(part.network, part.window) for part in work}

    def total(self, work: list[Work]) -> int:
        return sum(self.by_network(work).values())


@torch.no_grad()
def count_macs(run: Callable[[], object]) -> int:
    """Count multiply-accumulates (convolutions, matrix products, attention) of `run` on meta."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def reference_counter() -> Counter:
    """Count over the networks of the reference."""
    networks = Networks.on_meta()
    tokens = torch.zeros(1, PROMPT_TOKENS, dtype=torch.long, device="meta")
    return Counter(
        {
            "text": lambda window: networks.text(tokens),
            "predictor": lambda window: networks.predictor(lr_like(window), _timestep()),
            "unet": lambda window: networks.unet(latents_like(window), _timestep(), context_like()),
            "encode": lambda window: networks.vae.encode(hr_like(window)),
            "decode": lambda window: networks.vae.decode(latents_like(window)),
        }
    )


def our_counter(predictor: nn.Module, unet: nn.Module, vae: nn.Module) -> Counter:
    """Count over the networks that the host runs for us, all on meta."""
    return Counter(
        {
            "predictor": lambda window: predictor(lr_like(window), _timestep()),
            "unet": lambda window: unet(latents_like(window), _timestep(), context_like()),
            "encode": lambda window: vae.encode(hr_like(window)),
            "decode": lambda window: vae.decode(latents_like(window)),
        }
    )


def lr_like(window: Size) -> Tensor:
    return torch.empty(1, 3, *window, device="meta")


def hr_like(window: Size) -> Tensor:
    return torch.empty(1, 3, *(side * SCALE for side in window), device="meta")


def latents_like(window: Size) -> Tensor:
    return torch.empty(1, 4, *(side // LATENT_SCALE for side in window), device="meta")


def context_like() -> Tensor:
    return torch.empty(1, PROMPT_TOKENS, 1024, device="meta")


def _timestep() -> Tensor:
    return torch.empty(1, device="meta")
