"""A small network that detects whether a line image is printed, and where words are struck out.

2-D convolutions shrink the line to a row of features, one for each 8 pixels of width. Dilated 1-D convolutions let each
feature see about twelve letters around it. It has 0.1 M weights, and takes a fiftieth of the recogniser's encoder time.

References
- Yu, Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016, arXiv:1511.07122
- Zhelezniakov, Zaytsev, Radyvonenko, "Online handwritten mathematical expression recognition and applications: a
  survey", IEEE Access 2021, and Heil, Vats, Hast, "Strikethrough removal from handwritten words using CycleGANs",
  ICDAR 2021, for the ways in which people strike words out
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEIGHT = 48  # pixels of a line image
STRIDE = 8  # pixels of width per step of the result
DILATIONS = (1, 2, 4, 8)
WIDTH = 64  # features per step


class LineMarks(nn.Module):
    """Line images → logit of "printed" for each line, logits of "struck out" for each step of its width."""

    def __init__(self) -> None:
        super().__init__()

        def block(c_in: int, c_out: int, size: tuple[int, int], stride: tuple[int, int]) -> nn.Sequential:
            padding = (size[0] // 2 if stride[0] < HEIGHT // 8 else 0, size[1] // 2)
            return nn.Sequential(
                nn.Conv2d(c_in, c_out, size, stride, padding, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
            )

        self.shrink = nn.Sequential(
            block(1, 16, (5, 5), (2, 2)),
            block(16, 24, (3, 3), (2, 2)),
            block(24, 32, (3, 3), (2, 2)),
            block(32, WIDTH, (HEIGHT // 8, 1), (HEIGHT // 8, 1)),
        )
        self.context = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, padding=d, dilation=d, bias=False) for d in DILATIONS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in DILATIONS)
        self.head = nn.Conv1d(WIDTH, 3, 1)  # struck out, printed, and the weight of this step for the latter

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """`images` (B, 1, 48, W) float, 1 = ink, W a multiple of 8; `widths` (B,) int64, pixels before padding.

        Returns logits (B,) of "printed" and (B, W / 8) of "struck out"; ignore those beyond a line's width.
        """
        x = self.shrink(images).squeeze(2)  # (B, WIDTH, W / 8)
        steps = torch.arange(x.shape[2], device=x.device)
        # Zero the features beyond the line, so that a line gives the same result in every batch.
        inside = (steps[None] * STRIDE < widths[:, None])[:, None].to(x.dtype)  # (B, 1, W / 8)
        x = x * inside
        for convolve, norm in zip(self.context, self.norms, strict=True):
            x = (x + F.relu(norm(convolve(x)))) * inside
        struck, printed, weight = self.head(x).unbind(1)  # (B, W / 8) each
        weight = weight.sigmoid() * inside[:, 0] + 1e-4
        return (printed * weight).sum(1) / weight.sum(1), struck


class ExportedLineMarks(nn.Module):
    """The computation of the bundle's graph: from bytes to probabilities."""

    def __init__(self, net: LineMarks) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, 48, W) uint8, 255 = ink, and (B,) int64 → probabilities (B,) and (B, W / 8)."""
        printed, struck = self.net(images.to(torch.float32) / 255, widths)
        return printed.sigmoid(), struck.sigmoid()


def export_line_marks(net: LineMarks, out: Path) -> None:
    """Write the network as an ONNX graph: `images`, `widths` → `printed`, `struck` (see `ExportedLineMarks`)."""
    batch, blocks = torch.export.Dim("batch"), torch.export.Dim("blocks", min=1, max=2048)
    torch.onnx.export(
        ExportedLineMarks(net).eval(),
        (torch.zeros(2, 1, HEIGHT, 256, dtype=torch.uint8), torch.tensor([256, 200])),
        str(out),
        dynamo=True,
        external_data=False,
        input_names=["images", "widths"],
        output_names=["printed", "struck"],
        dynamic_shapes={"images": {0: batch, 3: STRIDE * blocks}, "widths": {0: batch}},
        verbose=False,
    )
