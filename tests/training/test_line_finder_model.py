"""The line finder's network, its loss and its export."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from text_recognizer.training.finder_lit import LitLineFinder, Views
from text_recognizer.training.models.line_finder import (
    ExportedLineFinder,
    LineFinderConfig,
    LineFinderNet,
    export_line_finder,
    load_line_finder,
)

SMALL = LineFinderConfig(channels=(4, 8, 8, 8, 8), pyramid=8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = LineFinderNet(SMALL)
    with torch.no_grad():  # batch statistics that are not the identity
        for _ in range(3):
            net(torch.rand(2, 1, 64, 96))
    path = tmp_path_factory.mktemp("finder") / "last.ckpt"
    state = {"network." + name: value for name, value in net.state_dict().items()}
    sizes = {"channels": list(SMALL.channels), "pyramid": SMALL.pyramid}
    torch.save({"state_dict": state, "hyper_parameters": {"network": sizes}}, path)
    return path


def test_onnx_gives_what_torch_gives_at_any_size(checkpoint, tmp_path):
    out = tmp_path / "line_finder.onnx"
    export_line_finder(checkpoint, out)
    assert out.with_suffix(".safetensors").is_file()
    session = ort.InferenceSession(out)
    net = ExportedLineFinder(load_line_finder(checkpoint)).eval()
    rng = np.random.default_rng(0)
    for height, width in ((256, 320), (96, 512)):
        page = rng.integers(0, 256, (1, 1, height, width)).astype(np.uint8)
        with torch.no_grad():
            wanted = net(torch.from_numpy(page)).numpy()
        got = session.run(None, {"page": page})[0]
        assert got.shape == (1, 4, height // 4, width // 4)
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_the_shipped_size_is_small():
    assert sum(p.numel() for p in LineFinderNet().parameters()) < 600_000


def test_the_loss_falls_on_one_batch():
    torch.manual_seed(1)
    module = LitLineFinder(SMALL)
    pages = torch.full((2, 1, 64, 64), 255, dtype=torch.uint8)
    pages[:, :, 28:36, 8:56] = 0
    maps = torch.zeros(2, 4, 16, 16)
    maps[:, 0, 8, 2:14] = 1
    maps[:, 1, 7:9, 2:14] = 1
    batch = Views(pages, maps, maps[:, 1])
    optimizer = torch.optim.AdamW(module.parameters(), 5e-3)
    values = []
    for _ in range(40):
        loss = module.total(module.losses(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.4 * values[0]
