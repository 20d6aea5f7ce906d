"""Published timesteps, the 0-based indices the networks see, and their noise levels."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

MAX_STEPS = 50
START_TIMESTEP = 250
"""The largest published timestep the noise predictor was trained for (paper, section 4.1)."""

FIDELITY = {"Faithful": 100, "Balanced": 200, "Vivid": 250}
"""Start timesteps in plain words; the paper's Table 1 shows PSNR fall and MUSIQ rise with them."""

_PRESETS = {
    1: (200,),
    2: (200, 100),
    3: (200, 100, 50),
    4: (200, 150, 100, 50),
    5: (250, 200, 150, 100, 50),
}


def published_timesteps(steps: int) -> tuple[int, ...]:
    """Give the authors' schedule for `steps` (1 to 50), counted from 1 as the paper prints it.

    Up to five steps are their presets; above, integers evenly spaced from 250, with 0 left out.
    Raises ValueError for other step counts.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"steps must be between 1 and {MAX_STEPS}, got {steps}.")
    return _PRESETS.get(steps) or evenly_spaced(START_TIMESTEP, steps)


def fidelity_timesteps(fidelity: str, steps: int) -> tuple[int, ...]:
    """Give `steps` published timesteps (1 to 50) from where `fidelity`, a key of FIDELITY, starts.

    The authors' schedules where they start there, 250, 150, 50 from their Table 1, otherwise evenly
    spaced. Raises ValueError for other step counts.
    """
    start = FIDELITY[fidelity]
    published = published_timesteps(steps)
    if published[0] == start:
        return published
    return (250, 150, 50) if (start, steps) == (250, 3) else evenly_spaced(start, steps)


def evenly_spaced(start: int, steps: int) -> tuple[int, ...]:
    """Space `steps` published timesteps evenly from `start` down to 0, with 0 left out.

    In floating point, rounded down, as the authors do: at 30 steps this gives their 124, not 125.
    """
    return tuple(int(start - k * (start / steps)) for k in range(steps))


def parse_timesteps(text: str) -> tuple[int, ...]:
    """Read a user's schedule such as "250, 150, 50".

    Raises ValueError if an entry is no integer or the list breaks a rule of `check_timesteps`.
    """
    try:
        timesteps = tuple(int(entry) for entry in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(
            f"timesteps must be whole numbers such as '250, 150, 50', got '{text}'."
        ) from None
    check_timesteps(timesteps)
    return timesteps


def check_timesteps(published: Sequence[int]) -> None:
    """Raise ValueError unless `published` falls strictly, within 250 to 1, in at most 50 steps."""
    if not 1 <= len(published) <= MAX_STEPS:
        raise ValueError(f"timesteps must name 1 to {MAX_STEPS} steps, got {len(published)}.")
    if published[0] > START_TIMESTEP:
        raise ValueError(
            f"timesteps must start at {START_TIMESTEP} or below, got {published[0]}: "
            "the noise predictor was not trained above it."
        )
    if published[-1] < 1:
        raise ValueError(f"timesteps must be at least 1, got {published[-1]}.")
    if any(after >= before for before, after in pairwise(published)):
        raise ValueError(
            f"timesteps must fall from step to step without repeats, got {list(published)}."
        )


def model_timesteps(published: Sequence[int]) -> tuple[int, ...]:
    """Turn published timesteps (from 1) into the indices (from 0) of networks and sigma table."""
    return tuple(timestep - 1 for timestep in published)


def sigmas_for(published: Sequence[int]) -> Tensor:
    """Give the noise levels of SD-Turbo at published timesteps: float32 [S + 1], ending in 0.

    sigma = sqrt((1 - acp) / acp), the variance-exploding form of the paper's Eq. 8.
    Raises ValueError for timesteps that `check_timesteps` refuses.
    """
    check_timesteps(published)
    levels = _sigma_table()[list(model_timesteps(published))]
    return torch.cat([levels, levels.new_zeros(1)])


def start_timestep(sigma: float) -> int:
    """Find the 0-based index of the noise level nearest to `sigma`, in log space as the host does.

    Raises ValueError if `sigma` is not positive or lies above published timestep 250.
    """
    table = _sigma_table()
    highest = float(table[START_TIMESTEP - 1])
    if not 0 < sigma <= highest * (1 + 1e-4):
        raise ValueError(
            f"sigmas must start above 0 and at {highest:.4f} or below (published timestep "
            f"{START_TIMESTEP}), got {sigma:.4f}: the noise predictor was not trained outside. "
            "Use the InvSR Scheduler."
        )
    return int((table.log() - math.log(sigma)).abs().argmin())


def _sigma_table() -> Tensor:
    # SD's training schedule: 1000 betas, linear in their square root.
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    acp = torch.cumprod(1.0 - betas, dim=0)
    return ((1.0 - acp) / acp) ** 0.5
