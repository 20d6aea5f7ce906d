"""Generated pictures with their low-resolution versions, by the published training degradation."""

import numpy as np
import torch
from torch import Tensor

from invsr_core.training.degradation import TRAINING, degrade
from invsr_core.training.draw import generator_for

from .pictures import draw_picture

SIDE = 256
"""Of HR pictures in training and in the held-out set, whose numbers are 0 to 63."""


def draw_hr(number: int, side: int = SIDE) -> Tensor:
    """Give the picture of a number: [1, 3, side, side] in [0, 1]."""
    return as_tensor([np.asarray(draw_picture(number, side))])


def draw_pair(number: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Give the picture of a number and the LR picture [1, 3, side / 4, side / 4] made from it."""
    hr = draw_hr(number, side)
    return hr, degrade(hr, TRAINING, generator_for("cpu", "demo degradation", number))


def as_tensor(pictures: list[np.ndarray]) -> Tensor:
    """8-bit [H, W, 3] pictures to [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
