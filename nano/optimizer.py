"""Muon for matrices, AdamW for the rest.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) makes each step's update nearly
orthogonal. On this model it needs about half the steps that AdamW needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM, _DECAY = 0.95, 0.05
_ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the published quintic


class Optimizer:
    """Both optimizers as one; ``matrix_rate`` and ``rate`` are their learning rates at full scale.

    Of several that share a model, each steps ``part`` of all parameters: (0, 2) is the first half.
    """

    def __init__(
        self, model: nn.Module, *, matrix_rate: float, rate: float, part: tuple[int, int] = (0, 1)
    ) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            plain = parameter.ndim < 2 or "bias" in name or "embedding" in name or "router" in name
            (others if plain else matrices).append(parameter)
        first, count = part
        # By size, so that all have as much to do.
        matrices = sorted(matrices, key=nn.Parameter.numel)[first::count]
        others = sorted(others, key=nn.Parameter.numel)[first::count]
        self._matrices = [(matrix, torch.zeros_like(matrix)) for matrix in matrices]
        self._matrix_rate, self._rate = matrix_rate, rate
        self._others = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, scale: float) -> None:
        """Applies the gradients at this share of the full learning rates."""
        for group in self._others.param_groups:
            group["lr"] = self._rate * scale
        self._others.step()
        self._step_matrices(self._matrices, self._matrix_rate * scale)

    def state(self) -> dict[str, Any]:
        """Returns what ``load_state`` takes."""
        momenta = [momentum for _, momentum in self._matrices]
        return {"momenta": momenta, "others": self._others.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on where ``state`` was taken."""
        for (_, momentum), saved in zip(self._matrices, state["momenta"], strict=True):
            momentum.copy_(saved)
        self._others.load_state_dict(state["others"])

    @torch.no_grad()
    def _step_matrices(self, matrices: Iterable[tuple[Tensor, Tensor]], rate: float) -> None:
        for matrix, momentum in matrices:
            assert matrix.grad is not None
            momentum.mul_(_MOMENTUM).add_(matrix.grad)
            update = _orthogonal(matrix.grad + _MOMENTUM * momentum)
            stretch = 0.5 * math.sqrt(max(1.0, matrix.shape[-2] / matrix.shape[-1]))
            matrix.mul_(1 - rate * _DECAY).add_(update, alpha=-rate * stretch)


def _orthogonal(update: Tensor) -> Tensor:
    """Brings all singular values near 1 by Newton-Schulz steps; batches of matrices likewise."""
    x = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if tall else x
