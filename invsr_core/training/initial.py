"""First weights of a network from a passed generator: torch's own defaults, without its global."""

import math
from typing import TypeVar

import torch
from torch import nn

from ..predictor import NoisePredictor, PredictorConfig

Network = TypeVar("Network", bound=nn.Module)


def initialise(network: Network, generator: torch.Generator) -> Network:
    """Materialise a network built on the meta device on the CPU and draw its weights."""
    network.to_empty(device="cpu")
    with torch.no_grad():
        for module in network.modules():
            _initialise_own(module, generator)
    return network


def fresh_predictor(config: PredictorConfig, generator: torch.Generator) -> NoisePredictor:
    return initialise(NoisePredictor(config, device="meta"), generator)


def _initialise_own(module: nn.Module, generator: torch.Generator) -> None:
    """Set the parameters a module holds itself: uniform in fan-in, or those of a norm."""
    reach = 1.0
    for name, parameter in module.named_parameters(recurse=False):
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            parameter.fill_(1.0 if name == "weight" else 0.0)
            continue
        if parameter.ndim > 1:
            reach = 1.0 / math.sqrt(parameter[0].numel())
        parameter.uniform_(-reach, reach, generator=generator)
