"""Learning, seen: eight pictures are learned by heart in minutes on a CPU."""

import torch

from invsr_core import PredictorConfig
from invsr_core.resize import upsample_x4
from invsr_core.training.degradation import IMAGENET_TEST
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import fresh_predictor
from invsr_core.training.loading import demo_base
from invsr_core.training.losses import latent_l2
from invsr_core.training.step import Base, Objective, estimate, make_batch, predictor_losses

UPDATES = 120
SIZES = PredictorConfig(
    block_out_channels=(64, 128),
    layers_per_block=(1, 1),
    temb_channels=128,
    sinusoid_channels=128,
)
"""Those of the pack's demo predictor."""


def detailed_encode(images: torch.Tensor, _: torch.Generator) -> torch.Tensor:
    """Mix each 8x8 block into 4 channels: unlike an untrained VAE, it shows what LR images lack."""
    mixing = torch.randn(4, 3 * 64, generator=generator_for("cpu", "mixing")) / 6
    blocks = torch.nn.functional.pixel_unshuffle(images * 2.0 - 1.0, 8)
    return torch.einsum("oc,bchw->bohw", mixing, blocks)


def test_latent_l2_falls_below_a_fifth_on_eight_pictures(picture):
    base, objective = Base(detailed_encode, demo_base().denoise), Objective()
    hr = torch.stack([picture(number, 64, 64) for number in range(8)])
    batch = make_batch(hr, IMAGENET_TEST, base.encode, generator_for("cpu", "pairs"))
    predictor = fresh_predictor(SIZES, generator_for("cpu", "overfit"))
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=2e-3, weight_decay=0.0)
    seen: list[float] = []
    for update in range(UPDATES):
        made = estimate(predictor, batch, base, objective, generator_for("cpu", "update", update))
        loss = predictor_losses(made, batch, objective, perceptual=None, judge=None)["latent_l2"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
        optimizer.step()
        seen.append(loss.item())
    first, last = sum(seen[:5]) / 5, sum(seen[-10:]) / 10
    unrestored = detailed_encode(upsample_x4(batch.lr), torch.Generator())
    assert last < first / 5, f"latent L2 went from {first:.4f} to {last:.4f}"
    assert last < latent_l2(unrestored, batch.hr_latents).mean() / 2  # restored, not just denoised
