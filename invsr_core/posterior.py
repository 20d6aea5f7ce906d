"""The diagonal Gaussian that the noise predictor puts over the start noise (paper, Eq. 10)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    """Mean and log-variance of the start noise, both [B, 4, h, w] float32, in latent space."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> "Posterior":
        """Split a network output [B, 8, h, w] into mean and log-variance clamped to [-30, 20]."""
        mean, logvar = moments.float().chunk(2, dim=1)
        return cls(mean, logvar.clamp(-30.0, 20.0))

    @classmethod
    def from_mean_std(cls, mean: Tensor, std: Tensor) -> "Posterior":
        return cls(mean, 2.0 * std.log())

    @property
    def std(self) -> Tensor:
        return torch.exp(0.5 * self.logvar)

    def sample(self, eps: Tensor) -> Tensor:
        """Draw mean + std * eps, for `eps` of standard normal noise shaped like the mean."""
        return self.mean + self.std * eps
