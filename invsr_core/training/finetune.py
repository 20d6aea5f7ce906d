"""Fine-tuning on a few images in memory: the step and an optimizer, in plain torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..predictor import NoisePredictor
from ..resize import MULTIPLE, SCALE
from .data import random_crop
from .degradation import SETTINGS
from .draw import generator_for
from .ema import Ema
from .step import Base, Objective, estimate, make_batch, predictor_losses

MAX_GRAD_NORM = 1.0
MAX_SKIPPED = 20
"""Updates in a row that may be lost to values that are not finite."""


@dataclass(frozen=True)
class FineTuning:
    """How long, on what and how fast. There is no discriminator: it would have to be trained."""

    updates: int
    batch: int
    crop: int
    lr: float
    seed: int
    degradation: str = "training"
    objective: Objective = field(
        default_factory=lambda: Objective(latent_lpips=0.0, adversarial=0.0)
    )

    def __post_init__(self) -> None:
        if self.crop < 1 or self.crop % (SCALE * MULTIPLE):
            raise ValueError(
                f"crop_size must be a multiple of {SCALE * MULTIPLE}, got {self.crop}."
            )


def fine_tune(
    predictor: NoisePredictor,
    images: Sequence[Tensor],
    base: Base,
    options: FineTuning,
    *,
    on_update: Callable[[float], None],
) -> list[float]:
    """Train `predictor`, on its device, on HR `images` [3, H, W] in [0, 1]; give the losses.

    It ends with the average of its weights. `on_update` hears each loss and may raise to stop.
    Raises ValueError if many updates in a row are not finite.
    """
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=options.lr, weight_decay=0.0)
    average, losses, skipped = Ema(predictor), list[float](), 0
    for update in range(options.updates):
        loss = _gather(predictor, images, base, options, update)
        norm = torch.nn.utils.clip_grad_norm_(predictor.parameters(), MAX_GRAD_NORM)
        if torch.isfinite(norm):
            optimizer.step()
            average.update(predictor)
        skipped = 0 if torch.isfinite(norm) else skipped + 1
        optimizer.zero_grad(set_to_none=True)
        _check(skipped, loss)
        losses.append(loss)
        on_update(loss)
    average.copy_to(predictor)
    return losses


def _gather(
    predictor: NoisePredictor,
    images: Sequence[Tensor],
    base: Base,
    options: FineTuning,
    update: int,
) -> float:
    """Add the gradients of one batch to the predictor's; give its loss."""
    device = next(predictor.parameters()).device
    chosen = generator_for("cpu", options.seed, "crops", update)
    picked = torch.randint(len(images), (options.batch,), generator=chosen).tolist()
    hr = torch.stack([random_crop(images[index], options.crop, chosen) for index in picked])
    generator = generator_for(device, options.seed, "step", update)
    degradation = SETTINGS[options.degradation]
    batch = make_batch(hr.to(device), degradation, base.encode, generator)
    made = estimate(predictor, batch, base, options.objective, generator)
    parts = predictor_losses(made, batch, options.objective, perceptual=None, judge=None)
    loss = torch.stack([*parts.values()]).sum()
    loss.backward()
    return float(loss.detach())


def _check(skipped: int, loss: float) -> None:
    if skipped >= MAX_SKIPPED:
        raise ValueError(
            f"{skipped} updates in a row were not finite (last loss: {loss:g}). Lower "
            "learning_rate, or load the MODEL and VAE in bf16 or fp32 instead of fp16."
        )
