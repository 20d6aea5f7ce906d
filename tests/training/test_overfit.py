"""Learning, seen: eight pictures are learned by heart in minutes on a CPU."""

import torch

from invsr_core import PredictorConfig
from invsr_core.training.degradation import IMAGENET_TEST
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import fresh_predictor
from invsr_core.training.loading import demo_base
from invsr_core.training.step import Objective, estimate, make_batch, predictor_losses

SIZES = PredictorConfig(
    block_out_channels=(32, 64),
    layers_per_block=(1, 1),
    temb_channels=64,
    sinusoid_channels=64,
    norm_num_groups=8,
    attention_head_dim=8,
)


def test_latent_l2_falls_below_a_fifth_on_eight_pictures(picture):
    base, objective = demo_base(), Objective()
    with torch.no_grad():  # the untrained VAE's latents are near zero: give them a real spread
        base.vae.encoder.layers[-1].weight.mul_(30.0)
    hr = torch.stack([picture(number, 64, 64) for number in range(8)])
    batch = make_batch(hr, IMAGENET_TEST, base.encode, generator_for("cpu", "pairs"))
    assert batch.hr_latents.std() > 0.3
    predictor = fresh_predictor(SIZES, generator_for("cpu", "overfit"))
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=2e-3, weight_decay=0.0)
    seen: list[float] = []
    for update in range(200):
        made = estimate(
            predictor, batch, base.callables, objective, generator_for("cpu", "update", update)
        )
        loss = predictor_losses(made, batch, objective, perceptual=None, judge=None)["latent_l2"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
        optimizer.step()
        seen.append(loss.item())
    first, last = sum(seen[:5]) / 5, sum(seen[-10:]) / 10
    print(first, last, seen[::20], batch.hr_latents.std())
    assert last < first / 5, f"latent L2 went from {first:.4f} to {last:.4f}"
