"""A small feed-forward upscaler, trained in a minute or two, for the thumbnail that compares."""

from pathlib import Path

import torch
from demo_training.pairs import draw_pair
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from torch import Tensor

UPDATES, BATCH, RATE = 400, 8, 2e-3
PICTURES, FIRST_PICTURE = 96, 9_000_000
CROP = 32


def train_upscaler(path: Path) -> None:
    """Train Real-ESRGAN's Compact network on generated pictures with L1, and save it."""
    generator = torch.Generator().manual_seed(1)
    pairs = [draw_pair(FIRST_PICTURE + number) for number in range(PICTURES)]
    hr, lr = (torch.cat(side) for side in zip(*pairs, strict=True))
    torch.manual_seed(1)
    network = Compact(num_feat=24, num_conv=8, upscale=4)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    for _ in range(UPDATES):
        small, large = _crops(hr, lr, generator)
        loss = (network(small) - large).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"  upscaler trained: L1 {loss.item():.4f}", flush=True)
    save_file(network.state_dict(), path)


def _crops(hr: Tensor, lr: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    top, left = torch.randint(lr.shape[-1] - CROP, (2,), generator=generator).tolist()
    chosen = torch.randint(len(lr), (BATCH,), generator=generator)
    small = lr[chosen, :, top : top + CROP, left : left + CROP]
    large = hr[chosen, :, 4 * top : 4 * (top + CROP), 4 * left : 4 * (left + CROP)]
    return small, large
