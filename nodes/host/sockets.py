"""Socket types of the pack, and the inputs that several nodes share."""

from comfy_api.v0_0_2 import io

from ...invsr_core.tiling import DEFAULT_OVERLAP, DEFAULT_TILE

Predictor = io.Custom("INVSR_PREDICTOR")


def tiling_inputs() -> list[io.Input]:
    """Give the inputs tile_size, overlap and tile_batch; each node reads them alike."""
    return [
        io.Int.Input(
            "tile_size",
            default=DEFAULT_TILE,
            min=0,
            max=1024,
            step=16,
            advanced=True,
            tooltip="Largest window the network sees at once, in LR pixels (1 LR pixel = 4 output "
            "pixels), a multiple of 16. 0 = no windows. 128 is what the predictor was trained on; "
            "its cost grows with the fourth power: a 256 window costs 12.7 times a 128 one "
            "(8429 against 664 billion multiply-adds), a 512 window 190 times.",
        ),
        io.Int.Input(
            "overlap",
            default=DEFAULT_OVERLAP,
            min=0,
            max=512,
            step=2,
            advanced=True,
            tooltip="How far neighbouring windows overlap at least, in LR pixels. The overlap is "
            "cross-faded. More is smoother and slower; must be smaller than tile_size.",
        ),
        io.Int.Input(
            "tile_batch",
            default=1,
            min=1,
            max=64,
            advanced=True,
            tooltip="Windows computed at once. More is faster on large GPUs and takes more "
            "memory; the picture stays the same up to rounding.",
        ),
    ]
