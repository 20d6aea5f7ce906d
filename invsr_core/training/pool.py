"""The pool of earlier pairs: it mixes degradations within a batch, which shares its choices."""

from typing import Any

import torch
from torch import Tensor

from .step import Batch


class PairPool:
    """A queue of `capacity` pairs; once full, each new batch is exchanged for random old pairs."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._lr: Tensor | None = None
        self._hr_latents: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self._lr is None else len(self._lr)

    def exchange(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Give as many pairs as `batch` has: these while the pool fills, then random old ones."""
        if self._capacity < len(batch.lr):
            return batch
        if self._lr is None or self._hr_latents is None:
            self._lr, self._hr_latents = batch.lr.clone(), batch.hr_latents.clone()
            return batch
        if len(self) < self._capacity:
            room = self._capacity - len(self)
            self._lr = torch.cat([self._lr, batch.lr[:room]])
            self._hr_latents = torch.cat([self._hr_latents, batch.hr_latents[:room]])
            return batch
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        picked = order[: len(batch.lr)].to(self._lr.device)
        old = Batch(self._lr[picked], self._hr_latents[picked])
        self._lr[picked], self._hr_latents[picked] = batch.lr, batch.hr_latents
        return old

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self._lr, "hr_latents": self._hr_latents}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._lr, self._hr_latents = state["lr"], state["hr_latents"]
