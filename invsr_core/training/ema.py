"""The moving average of the predictor's weights, which is what is kept and judged."""

from collections.abc import ItemsView
from typing import Any

from torch import Tensor, nn

DECAY = 0.999


def decay_at(updates: int, limit: float = DECAY) -> float:
    """Give the decay after `updates` updates: it rises to `limit`, as published."""
    return min(limit, (1 + updates) / (10 + updates))


class Ema:
    def __init__(self, network: nn.Module, *, limit: float = DECAY):
        self._limit = limit
        self._updates = 0
        self._average = {key: value.detach().clone() for key, value in _weights(network)}

    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's weights; call it after each update of them."""
        self._updates += 1
        decay = decay_at(self._updates, self._limit)
        for key, value in _weights(network):
            self._average[key].lerp_(value.detach(), 1.0 - decay)

    def copy_to(self, network: nn.Module) -> None:
        """Overwrite the weights of a network of the same shape."""
        network.load_state_dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._updates = state["updates"]
        for key, value in state["average"].items():
            self._average[key].copy_(value)


def _weights(network: nn.Module) -> ItemsView[str, Tensor]:
    return network.state_dict().items()
