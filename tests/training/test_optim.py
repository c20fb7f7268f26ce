"""Muon's steps, and AdamW's beside them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from text_recognizer.training.lit import LitRecognizer
from text_recognizer.training.models.recognizer import RecognizerConfig
from text_recognizer.training.optim import Muon, orthogonal


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonal_directions_have_one_size(shape: tuple[int, int], dtype: torch.dtype) -> None:
    scaled = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.logspace(0, 1, shape[1])
    singular = torch.linalg.svdvals(orthogonal(scaled, dtype).float())
    assert singular.min() > 0.5
    assert singular.max() < 1.3
    u, _, v = torch.linalg.svd(scaled, full_matrices=False)
    assert torch.sum(orthogonal(scaled, dtype) * (u @ v)) > 0.8 * min(shape)  # along the matrix' own directions


def test_muon_fits_kernels_and_matrices_and_goes_on_from_its_state(tmp_path: Path) -> None:
    def made() -> tuple[nn.Module, Muon]:
        torch.manual_seed(2)
        net = nn.Sequential(nn.Conv1d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 1, 3, padding=1))
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim == 1]
        return net, Muon([{"params": matrices, "weight_decay": 0.01, "orthogonal": True},
                          {"params": vectors, "weight_decay": 0.0}], lr=5e-3)  # fmt: skip

    x = torch.randn(16, 3, 20, generator=torch.Generator().manual_seed(3))
    y = x.abs().sum(1, keepdim=True)

    def steps(net: nn.Module, optimizer: Muon, n: int) -> float:
        for _ in range(n):
            loss = (net(x) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    net, optimizer = made()
    before = steps(net, optimizer, 1)
    steps(net, optimizer, 60)
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c")
    after = steps(net, optimizer, 60)
    assert after < before / 2
    other, resumed = made()
    held = torch.load(tmp_path / "c", weights_only=True)
    other.load_state_dict(held["net"])
    resumed.load_state_dict(held["optimizer"])
    assert steps(other, resumed, 60) == pytest.approx(after, rel=1e-3)


def test_every_weight_of_the_recogniser_is_moved_once() -> None:
    lit = LitRecognizer(RecognizerConfig(), muon=True)
    groups = lit.configure_optimizers()["optimizer"].param_groups
    given = [id(p) for group in groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in lit.parameters())
    (apart,) = (group["params"] for group in groups if group["orthogonal"])
    assert lit.network.encoder.ctc.weight not in set(apart) and lit.network.encoder.collapse.weight in set(apart)
