"""Full definition of the network that reads paragraphs without a line finder: the line recogniser and a row counter.

The convolutions of the line recogniser see a window 48 pixels high. Moved down a paragraph in steps of 16 pixels, they
produce a row of features at each step. A small network predicts each row's share of a line. The shares are summed from
the top, and where the sum passes a whole number, the next line begins. The columns of a line are the sum of its rows,
weighted by their shares. Everything after that is the line recogniser itself, with its CTC head and its decoder. So
training starts from the weights of a line recogniser, and nobody has to mark the positions of lines: their number and
texts are enough.

References
- Coquenet, Chatelain, Paquet, "End-to-end Handwritten Paragraph Text Recognition Using a Vertical Attention Network",
  TPAMI 2022, arXiv:2012.03868 (attention over rows picks the lines of a paragraph one by one)
- Dong, Xu, "CIF: Continuous Integrate-and-Fire for End-to-End Speech Recognition", ICASSP 2020, arXiv:1905.11235
  (shares that add up to a count)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text_recognizer.training.models.recognizer import Encoder, Recognizer, RecognizerConfig

ROW = 16  # pixels of height between two rows


class ParagraphEncoder(Encoder):
    """From a paragraph image to the features and CTC logits of its lines."""

    def __init__(self, c: RecognizerConfig) -> None:
        super().__init__(c)
        # Five rows are 80 pixels, so three layers see two lines above and below a row.
        self.rows = nn.Sequential(
            nn.Conv1d(2 * c.d_model, 64, 5, padding=2), nn.ReLU(),
            nn.Conv1d(64, 64, 5, padding=2), nn.ReLU(),
            nn.Conv1d(64, 1, 5, padding=2),
        )  # fmt: skip

    def paragraph(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute rows of features, and the share of a line in each.

        images: (B, 1, H, W) float in [0, 1], ink high, H a multiple of 16, W of 4, padded right and below with 0.
        widths: (B,) int64 pixels of each image before padding.
        Returns rows (B, d, R, T) and shares (B, R) in [0, 1]; R = H / 16, T = W / 4.
        """
        x = self.stages(self.stem(images))  # (B, c3, R, T)
        x = F.relu(F.conv2d(x, self.collapse.weight, self.collapse.bias, padding=(1, 0)))  # (B, d, R, T)
        lengths = (widths + self.config.stride - 1) // self.config.stride  # (B,)
        inside = torch.arange(x.shape[3], device=x.device)[None] < lengths[:, None]  # (B, T)
        x = x * inside[:, None, None].to(x.dtype)
        mean = x.float().sum(3) / lengths[:, None, None]  # (B, d, R)
        seen = torch.cat([mean, x.float().amax(3)], dim=1)  # (B, 2 d, R)
        return x, self.rows(seen).squeeze(1).float().sigmoid()

    def lines(self, rows: Tensor, shares: Tensor, widths: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the lines of paragraphs from `rows` and `shares`, the results of `paragraph`.

        counts: (B,) int64, number of lines in each paragraph.
        Returns features (L, T, d), CTC logits (L, T, V) and additive mask (L, 1, 1, T) of all L lines, paragraph by
        paragraph.
        """
        b, d, r, t = rows.shape
        scaled = shares * (counts / shares.sum(1).clamp(min=1e-3))[:, None]  # (B, R), adds up to the count
        below = scaled.cumsum(1)[:, None]  # (B, 1, R)
        number = torch.arange(int(counts.max()), device=rows.device)[None, :, None]  # (1, N, 1)
        # The part of each row between a whole number and the next.
        weights = (torch.minimum(below, number + 1) - torch.maximum(below - scaled[:, None], number)).clamp(min=0)
        columns = torch.bmm(weights.to(rows.dtype), rows.permute(0, 2, 1, 3).reshape(b, r, d * t))  # (B, N, d * T)
        there = number[..., 0] < counts[:, None]  # (B, N)
        return self.along(columns.view(b, -1, d, t)[there], widths.repeat_interleave(counts))

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Like `lines`, with as many lines as the shares add up to."""
        rows, shares = self.paragraph(images, widths)
        return self.lines(rows, shares, widths, line_counts(shares))


def line_counts(shares: Tensor) -> Tensor:
    """From shares (B, R) to whole numbers of lines (B,) int64, at least one."""
    return shares.sum(1).round().long().clamp(min=1)


class ParagraphRecognizer(Recognizer):
    """`Recognizer` that reads paragraphs; each of its outputs belongs to a line."""

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__(config)
        self.encoder: ParagraphEncoder = ParagraphEncoder(config)
