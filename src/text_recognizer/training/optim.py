"""Muon: AdamW, but with steps of equal size in all directions of a matrix.

References
- Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/
- Liu et al., "Muon is scalable for LLM training", 2025, arXiv:2502.16982 (steps as large as AdamW's)
- Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# Coefficients and number of iterations of the quintic that brings singular values close to 1 (Jordan et al.).
_A, _B, _C, _STEPS = 3.4445, -4.7750, 2.0315, 5


class Muon(torch.optim.AdamW):
    """Muon for weights in groups with `orthogonal=True`, as matrices with the first axis as rows; AdamW for the rest.

    `torch.optim.Muon` accepts only matrices, but most weights of the recogniser are convolution kernels. A single
    optimizer lets one schedule, one clipping and one checkpoint serve both.

    Args:
        groups: dicts of `params`, `weight_decay` and `orthogonal`.
        lr: learning rate of both.
        dtype: of the products in a Muon step; bfloat16 halves their time if the CPU supports it.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._dtype = dtype
        super().__init__([{"orthogonal": False, **group} for group in groups], lr=lr, betas=betas)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all groups."""
        groups = self.param_groups
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._orthogonal_step(parameter, group["lr"], group["weight_decay"])
        return loss

    def _orthogonal_step(self, parameter: nn.Parameter, lr: float, decay: float) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
            state["step"] = torch.zeros(())  # AdamW expects it when it loads a state
        momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        ahead = parameter.grad.lerp(momentum, MOMENTUM)  # Nesterov's
        direction = orthogonal(ahead.flatten(1), self._dtype)  # (rows, columns)
        # Entries as large as AdamW's on average, for any size of the matrix.
        size = 0.2 * math.sqrt(max(direction.shape))
        parameter.mul_(1 - lr * decay).add_(direction.view_as(parameter), alpha=-lr * size)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """`matrix` (rows, columns) with all singular values brought to about 0.7…1.2 by Newton-Schulz iteration.

    The products are computed in `dtype`, which is also the type of the result.
    """
    x = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    x = (x / (x.norm() + 1e-7)).to(dtype)
    for _ in range(_STEPS):
        product = x @ x.mT
        x = _A * x + (_B * product + _C * product @ product) @ x
    found: Tensor = x.mT if matrix.shape[0] > matrix.shape[1] else x
    return found
