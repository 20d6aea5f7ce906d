"""One update of a run under accelerate: microbatches, losses, two optimizers, the average."""

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..predictor import NoisePredictor
from .base import FrozenBase
from .config import TrainingConfig
from .degradation import SETTINGS
from .draw import generator_for
from .ema import Ema
from .networks import make_networks
from .pool import PairPool
from .step import Batch, Estimate, discriminator_loss, estimate, make_batch, predictor_losses


class Updater:
    """All that a run changes: networks, optimizers, average, pairs and counters."""

    def __init__(self, config: TrainingConfig, base: FrozenBase, accelerator: Accelerator):
        self.config, self.base, self._accelerator = config, base, accelerator
        self.microbatches = config.data.microbatches(accelerator.num_processes)
        share = config.data.microbatch * self.microbatches
        self.pool = PairPool(config.data.pool * share)
        self.iteration = 0
        self.skipped = 0
        self._skipped_in_row = 0
        self._prepare_networks()

    def _prepare_networks(self) -> None:
        networks, options = make_networks(self.config, self.base), self.config.optimizer
        prepare, device = self._accelerator.prepare, self._accelerator.device
        self.predictor = networks.predictor.train().to(device)
        self.ema = Ema(self.predictor, limit=options.ema)
        optimizer = torch.optim.AdamW(self.predictor.parameters(), lr=options.lr, weight_decay=0.0)
        self._predict, self.optimizer = prepare(self.predictor, optimizer)
        self.discriminator = networks.discriminator
        if self.discriminator is not None:
            critic = torch.optim.Adam(
                self.discriminator.parameters(),
                lr=options.discriminator_lr,
                weight_decay=options.discriminator_weight_decay,
            )
            self._judge, self.critic = prepare(self.discriminator.train(), critic)
        self.perceptual = networks.perceptual
        if self.perceptual is not None:
            self.perceptual.to(device)

    def update(self, crops: Iterator[Tensor]) -> dict[str, Tensor]:
        """Make one update from the next microbatches; give the mean losses of this process."""
        losses: dict[str, Tensor] = {}
        made: list[tuple[Estimate, Batch]] = []
        for index in range(self.microbatches):
            batch, generator = self._next_batch(next(crops), index)
            made.append((self._learn(batch, generator, index, losses), batch))
        kept = self._apply(self.optimizer, self.predictor, self.learning_rate())
        if self.discriminator is not None:
            self._learn_to_judge(made, losses)
        if kept:
            self.ema.update(self.predictor)
        self._count_skipped(kept, losses)
        self.iteration += 1
        return losses

    def _next_batch(self, hr: Tensor, index: int) -> tuple[Batch, torch.Generator]:
        """Turn HR crops into a batch of pairs, with the generator that everything in it uses."""
        device, mine = self._accelerator.device, self.iteration * self.microbatches + index
        number = mine * self._accelerator.num_processes + self._accelerator.process_index
        generator = generator_for(device, self.config.run.seed, "step", number)
        degradation = SETTINGS[self.config.data.degradation]
        batch = make_batch(hr.to(device), degradation, self.base.encode, generator)
        return self.pool.exchange(batch, generator), generator

    def _learn(
        self, batch: Batch, generator: torch.Generator, index: int, losses: dict[str, Tensor]
    ) -> Estimate:
        """Add one microbatch's gradients to the predictor's."""
        heard = self.discriminator if self._adversarial_now else None
        with self._gathering(self._predict, index), _frozen_for_now(heard):
            with self._accelerator.autocast():
                made = estimate(
                    self._predict, batch, self.base.callables, self.config.loss, generator
                )
                parts = predictor_losses(
                    made,
                    batch,
                    self.config.loss,
                    perceptual=self.perceptual,
                    judge=None if heard is None else self._judged_by(heard),
                )
            self._accelerator.backward(torch.stack([*parts.values()]).sum() / self.microbatches)
        self._add(losses, parts)
        return Estimate(made.denoised.detach(), made.timesteps)

    def _learn_to_judge(
        self, made: list[tuple[Estimate, Batch]], losses: dict[str, Tensor]
    ) -> None:
        for index, (estimated, batch) in enumerate(made):
            with self._gathering(self._judge, index):
                with self._accelerator.autocast():
                    loss = discriminator_loss(estimated, batch, self._judged_by(self._judge))
                self._accelerator.backward(loss / self.microbatches)
            self._add(losses, {"discriminator": loss})
        assert self.discriminator is not None
        self._apply(self.critic, self.discriminator, self.config.optimizer.discriminator_lr)

    def _judged_by(self, discriminator: Any) -> Any:
        def judge(latents: Tensor, timesteps: Tensor) -> list[Tensor]:
            text = self.base.prompt.float().expand(len(latents), -1, -1)
            return discriminator(latents, timesteps, text)

        return judge

    def _apply(self, optimizer: Any, network: nn.Module, lr: float) -> bool:
        """Step an optimizer unless a gradient is not finite; tell whether it stepped."""
        limit = self.config.optimizer.max_grad_norm or math.inf
        norm = self._accelerator.clip_grad_norm_(network.parameters(), limit)
        finite = bool(torch.isfinite(cast(Tensor, norm)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        if finite or self._accelerator.scaler is not None:
            optimizer.step()  # fp16's scaler skips by itself, and must hear of it
        optimizer.zero_grad(set_to_none=True)
        return finite

    def _count_skipped(self, kept: bool, losses: dict[str, Tensor]) -> None:
        self._skipped_in_row = 0 if kept else self._skipped_in_row + 1
        self.skipped += not kept
        limit = self.config.run.max_skipped
        if self._skipped_in_row < limit:
            return
        seen = ", ".join(f"{name} {float(value):g}" for name, value in losses.items())
        raise ValueError(
            f"{limit} updates in a row were not finite (last losses: {seen}). The weights are "
            "those before them. Lower optimizer.lr, or use precision bf16 or fp32."
        )

    def averaged_predictor(self) -> NoisePredictor:
        """Give the predictor with the averaged weights, for use."""
        averaged = NoisePredictor(self.predictor.config, device=self._accelerator.device)
        self.ema.copy_to(averaged)
        return averaged.eval()

    def write_state(self, folder: Path) -> None:
        """Write this process's part of a checkpoint."""
        self._accelerator.save_state(str(folder))
        torch.save(self.pool.state_dict(), folder / self._pool_file)
        if self._accelerator.is_main_process:
            torch.save(self.ema.state_dict(), folder / "ema.pt")

    def read_state(self, folder: Path, *, iteration: int, skipped: int) -> None:
        """Go on from what `write_state` wrote."""
        self._accelerator.load_state(str(folder))
        self.pool.load_state_dict(self._loaded(folder / self._pool_file))
        self.ema.load_state_dict(self._loaded(folder / "ema.pt"))
        self.iteration, self.skipped = iteration, skipped

    def _loaded(self, path: Path) -> dict[str, Any]:
        return torch.load(path, map_location=self._accelerator.device, weights_only=True)

    @property
    def _pool_file(self) -> str:
        return f"pool_{self._accelerator.process_index}.pt"

    def _add(self, losses: dict[str, Tensor], parts: dict[str, Tensor]) -> None:
        for name, part in parts.items():
            share = part.detach() / self.microbatches
            losses[name] = losses[name] + share if name in losses else share

    def _gathering(self, network: Any, index: int) -> AbstractContextManager[Any]:
        """Leave the exchange of gradients between processes to the last microbatch."""
        last = index + 1 == self.microbatches
        return nullcontext() if last else self._accelerator.no_sync(network)

    def learning_rate(self, offset: int = 0) -> float:
        return self.config.optimizer.lr_at(self.iteration + offset)

    @property
    def _adversarial_now(self) -> bool:
        return self.iteration >= self.config.loss.adversarial_from


@contextmanager
def _frozen_for_now(network: nn.Module | None) -> Generator[None, None, None]:
    """Let gradients pass through a network without gathering in it."""
    if network is None:
        yield
        return
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
