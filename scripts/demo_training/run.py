"""A training that can be killed at any time: what an update does depends on its number alone."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Judge = Callable[[], str]
"""Says how good a network is at present, for the log."""

SAVE_EVERY = 60.0
"""Seconds."""
LOG_EVERY = 100


class Run:
    """One network, its optimizers and the moving average of its weights, on the disk and off."""

    def __init__(self, file: Path, network: nn.Module, optimizers: list[Any], updates: int) -> None:
        self.file, self.network, self.optimizers = file, network, optimizers
        self.updates, self.done, self.seconds = updates, 0, 0.0
        self.average = {key: value.clone() for key, value in network.state_dict().items()}
        self._rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        if file.exists():
            self._load()

    def train(self, loss_of: Callable[[int], Tensor], judge: Judge) -> None:
        """Make the updates that are left; `loss_of(number)` computes one's loss.

        `judge` says how good the averaged weights are, which are then the network's.
        """
        print(f"{self.file.stem}: {self.done} of {self.updates} updates done", flush=True)
        losses, last, saved = [], time.monotonic(), time.monotonic()
        while self.done < self.updates:
            losses.append(self._update(loss_of(self.done)))
            self.seconds += time.monotonic() - last
            last = time.monotonic()
            if self.done % LOG_EVERY == 0 or self.done == self.updates:
                self._report(sum(losses) / len(losses), judge)
                losses = []
            if last - saved > SAVE_EVERY or self.done == self.updates:
                self.save()
                saved = last
        self.network.load_state_dict(self.average)

    def save(self) -> None:
        """Write the state beside the last one, then put it in its place."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "done": self.done,
            "seconds": self.seconds,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.file)

    def _load(self) -> None:
        state = torch.load(self.file, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average = state["average"]
        self.done, self.seconds = state["done"], state["seconds"]

    def _update(self, loss: Tensor) -> float:
        share = learning_rate_share(self.done, self.updates)
        for optimizer, rate in zip(self.optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.optimizers[-1].param_groups[0]["params"], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.done += 1
        keep = min(0.995, 1 - 10 / (self.done + 20))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value, 1 - keep)
        return float(loss.detach())

    def _report(self, loss: float, judge: Judge) -> None:
        trained = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        print(f"{self.done:6d} {self.seconds:6.0f} s  loss {loss:.4f}  {judge()}", flush=True)
        self.network.load_state_dict(trained)


def learning_rate_share(done: int, updates: int) -> float:
    """Rise over 100 updates, stay, and fall to 0 over the last 80 %."""
    return min(1.0, (done + 1) / 100, (updates - done) / (0.8 * updates))


def load_average(file: Path, network: nn.Module) -> dict[str, int]:
    """Give `network` the averaged weights saved so far; tell the updates and minutes they took."""
    state = torch.load(file, weights_only=True)
    network.load_state_dict(state["average"])
    return {"updates": state["done"], "minutes": round(state["seconds"] / 60)}
