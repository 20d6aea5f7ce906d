"""Random numbers exactly as the host draws them for a seed."""

from collections.abc import Sequence

import comfy.sample
from torch import Tensor


def standard_normal(like: Tensor, seed: int, batch_index: Sequence[int] | None) -> Tensor:
    """Draw N(0, 1) noise shaped like `like` on the CPU, for the places `batch_index` of a batch."""
    return comfy.sample.prepare_noise(like, seed, batch_index)
