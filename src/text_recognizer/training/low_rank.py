"""Low-rank fine-tuning (LoRA): the weights stay fixed, and each matrix learns a sum of a few outer products.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685. Convolution kernels count
as matrices (out, in × kernel). A change of low rank forgets less than a full one (Biderman et al., "LoRA Learns
Less and Forgets Less", TMLR 2024, arXiv:2405.09673).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from text_recognizer.training.vocabulary import ROWS

_ORIGINAL = ".parametrizations.weight.original"
_UP, _DOWN = ".parametrizations.weight.0.up", ".parametrizations.weight.0.down"


class LowRank(nn.Module):
    """`weight` plus up · down, (out, rank) · (rank, in), which is zero at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.down = nn.Parameter(weight.new_empty(rank, weight[0].numel()))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def add_factors(network: nn.Module, rank: int, grown: bool = False) -> None:
    """Give each matrix of `network` factors of `rank`, and freeze everything else.

    Matrices with fewer than 2 · rank rows or columns get none. `grown`: the alphabet has new characters, whose
    rows must be learned almost from scratch, so matrices with a row for each character are trained as a whole.
    """
    network.requires_grad_(False)
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Embedding):
            continue
        if grown and f"{name}.weight" in ROWS:
            module.requires_grad_(True)
        elif min(len(module.weight), module.weight[0].numel()) >= 2 * rank:
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))


def factors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The factors among the weights of a network."""
    return {name: value for name, value in weights.items() if name.endswith((_UP, _DOWN))}


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of a network with factors to a network without; other weights stay as they are."""
    out = {name: value for name, value in weights.items() if ".parametrizations." not in name}
    for name, value in weights.items():
        if name.endswith(_ORIGINAL):
            stem = name.removesuffix(_ORIGINAL)
            change = weights[stem + _UP].float() @ weights[stem + _DOWN].float()
            out[f"{stem}.weight"] = value + change.view_as(value)
    return out
