"""Random choices from a passed generator, and generators that depend only on a run's counters."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def generator_for(device: torch.device | str, *counters: int | str) -> torch.Generator:
    """Make the generator of one piece of a run, such as (seed, "degradation", microbatch).

    What it draws depends on the counters alone, so neither a resumed run nor another number of
    processes changes it.
    """
    digest = hashlib.sha256("/".join(map(str, counters)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device))


def uniforms(generator: torch.Generator, low: float, high: float, count: int) -> Tensor:
    """Draw [count] from U[low, high]."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def chance(generator: torch.Generator, probability: float) -> bool:
    return uniform(generator, 0.0, 1.0) < probability


def choice(
    generator: torch.Generator, options: Sequence[T], weights: Sequence[float] | None = None
) -> T:
    """Pick one of `options`, equally likely or by `weights`, which need not sum to 1."""
    even = torch.ones(len(options)) if weights is None else torch.tensor(weights)
    picked = torch.multinomial(even.to(generator.device), 1, generator=generator)
    return options[int(picked)]


def normal(generator: torch.Generator, shape: Sequence[int], like: Tensor) -> Tensor:
    """Draw standard normal noise of `shape` on the generator's device, then move it to `like`."""
    noise = torch.randn(tuple(shape), generator=generator, device=generator.device)
    return noise.to(like.device)
