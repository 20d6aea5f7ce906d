"""Muon (Jordan et al. 2024) for the matrices of a network: far fewer updates than Adam needs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 64
"""Smaller matrices, and vectors, are left to Adam."""


def make_optimizers(network: nn.Module, *, lr: float, adam_lr: float) -> list[Any]:
    """Give the optimizers that together hold all trainable parameters of `network`."""
    trained = [each for each in network.parameters() if each.requires_grad]
    matrices = [each for each in trained if _is_matrix(each)]
    others = [each for each in trained if not _is_matrix(each)]
    return [Muon(matrices, lr), torch.optim.Adam(others, adam_lr, (0.9, 0.99))]


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and min(parameter.flatten(1).shape) >= SMALLEST_SIDE


class Muon(torch.optim.Optimizer):
    """Steps of equal size in all directions of a matrix: its momentum, orthogonalised.

    A convolution is the matrix of its output channels.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[Any, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                by_shape.setdefault(parameter.flatten(1).shape, []).append(parameter)
            for parameters in by_shape.values():
                self._move(parameters, group)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        wanted = torch.stack([self._direction(each, group["momentum"]) for each in parameters])
        scale = max(1.0, wanted.shape[1] / wanted.shape[2]) ** 0.5
        for parameter, update in zip(parameters, orthogonalised(wanted), strict=True):
            parameter.sub_(update.view_as(parameter), alpha=group["lr"] * scale)

    def _direction(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return torch.lerp(parameter.grad, state["momentum"], momentum).flatten(1)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Bring the singular values of [n, rows, columns] near 1, by five Newton-Schulz rounds."""
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    if x.shape[1] > x.shape[2]:
        return orthogonalised(matrices.mT).mT
    for _ in range(5):
        a = x @ x.mT
        x = torch.baddbmm(3.4445 * x, torch.baddbmm(-4.7750 * a, a, 2.0315 * a), x)
    return x.float()
