"""Full definition of the line recogniser in this single file: ResNet encoder, Transformer decoder, CTC head.

A residual convolutional encoder turns the image of a text line into a sequence of features, one for each 4 pixels of
width. A CTC head reads that sequence in one pass (fast mode). A Transformer decoder with cross-attention reads it token
by token with cached keys and values (accurate mode). Both are trained together.

References
- Graves et al., "Connectionist Temporal Classification", ICML 2006
- Kim, Hori, Watanabe, "Joint CTC-attention based end-to-end speech recognition", ICASSP 2017, arXiv:1609.06773
- Retsinas et al., "Best Practices for a Handwritten Text Recognition System", DAS 2022, arXiv:2404.11339
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text_recognizer.recognition.decoding import BLANK as BLANK
from text_recognizer.recognition.decoding import BOS as BOS
from text_recognizer.recognition.decoding import EOS as EOS
from text_recognizer.recognition.decoding import FIRST_CHARACTER as FIRST_CHARACTER
from text_recognizer.recognition.decoding import UNKNOWN as UNKNOWN

PAD = BLANK  # the padding of the decoder


@dataclass(frozen=True)
class RecognizerConfig:
    """Sizes of the network; `vocabulary` includes the four special tokens."""

    vocabulary: int = 185
    height: int = 48  # pixels of a line image
    channels: tuple[int, int, int, int] = (32, 32, 64, 128)  # stem and the three residual stages
    blocks: tuple[int, int, int] = (1, 2, 2)
    d_model: int = 192
    conv_layers: int = 3  # 1-D residual convolutions over the width
    encoder_layers: int = 1  # self-attention over the width
    decoder_layers: int = 2
    heads: int = 4
    d_ff: int = 576
    max_tokens: int = 256
    dropout: float = 0.1

    @classmethod
    def of_sizes(cls, sizes: Mapping[str, Any]) -> RecognizerConfig:
        """The config from a checkpoint or a bundle: other keys are ignored, and JSON lists become tuples again."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items() if k in cls.__dataclass_fields__
        }
        return cls(**known)

    @property
    def stride(self) -> int:
        """Pixels of width per feature."""
        return 4


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, c_in: int, c_out: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, H, W) -> (B, C_out, H / s_h, W / s_w)
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class WidthConv(nn.Module):
    """Residual convolution along the width, for the local context that joins strokes to letters."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(d, d, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(d)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:  # (B, d, T) -> (B, d, T)
        # Drop whole channels: it regularises as well here, and the mask is 100 times smaller.
        return x + F.dropout1d(F.relu(self.norm(self.conv(x))), self.dropout, self.training)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention on already projected keys and values."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)

    def keys_values(self, x: Tensor) -> Tensor:  # (B, S, d) -> (2, B, heads, S, d / heads)
        b, s, d = x.shape
        return self.key_value(x).view(b, s, 2, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor) -> Tensor:
        """`x` (B, N, d); `keys_values` (2, B, heads, S, d_head); `mask` additive, broadcasts to (B, heads, N, S)."""
        b, n, d = x.shape
        q = self.query(x).view(b, n, self.heads, d // self.heads).transpose(1, 2)  # (B, heads, N, d_head)
        # Written out, because the backward pass of the fused kernel is several times slower on a CPU for short lines.
        scores = q @ keys_values[0].transpose(2, 3) * (q.shape[3] ** -0.5) + mask.to(q.dtype)  # (B, heads, N, S)
        y = scores.softmax(-1).to(q.dtype) @ keys_values[1]  # (B, heads, N, d_head)
        return self.out(y.transpose(1, 2).reshape(b, n, d))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention over the width, and a feed-forward network."""

    def __init__(self, c: RecognizerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(c.d_model)
        self.attention = Attention(c.d_model, c.heads)
        self.norm2 = nn.LayerNorm(c.d_model)
        self.feed = nn.Sequential(nn.Linear(c.d_model, c.d_ff), nn.ReLU(), nn.Linear(c.d_ff, c.d_model))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, T, d) -> (B, T, d)
        h = self.norm1(x)
        x = x + self.attention(h, self.attention.keys_values(h), mask)
        return x + self.feed(self.norm2(x))


def convolutions(c: RecognizerConfig) -> tuple[nn.Sequential, nn.Sequential]:
    """Stem and residual stages: (B, 1, H, W) -> (B, stem, H / 2, W / 2) -> (B, c3, H / 16, W / 4)."""
    first, c1, c2, c3 = c.channels
    stem = nn.Sequential(nn.Conv2d(1, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
    stages: list[nn.Module] = []
    previous = first
    for width, depth, stride in zip((c1, c2, c3), c.blocks, ((2, 2), (2, 1), (2, 1)), strict=True):
        for index in range(depth):
            stages.append(Residual(previous, width, stride if index == 0 else (1, 1)))
            previous = width
    return stem, nn.Sequential(*stages)


class Encoder(nn.Module):
    """From a line image to features and CTC logits."""

    def __init__(self, c: RecognizerConfig) -> None:
        super().__init__()
        self.stem, self.stages = convolutions(c)
        self.collapse = nn.Conv2d(c.channels[3], c.d_model, (c.height // 16, 1))  # (B, d, 1, W / 4)
        self.width_convs = nn.Sequential(*(WidthConv(c.d_model, c.dropout) for _ in range(c.conv_layers)))
        self.layers = nn.ModuleList(EncoderLayer(c) for _ in range(c.encoder_layers))
        self.norm = nn.LayerNorm(c.d_model)
        self.ctc = nn.Linear(c.d_model, c.vocabulary)
        self.config = c

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a batch of line images.

        images: (B, 1, H, W) float in [0, 1], ink high, W a multiple of 4, padded on the right with 0.
        widths: (B,) int64 pixels of each image before padding.
        Returns features (B, T, d), CTC logits (B, T, V), additive mask (B, 1, 1, T) that is 0 on the image and
        -1e4 on padding; T = W / 4.
        """
        x = self.stages(self.stem(images))  # (B, c3, H / 16, T)
        return self.along(F.relu(self.collapse(x)).squeeze(2), widths)  # of (B, d, T)

    def along(self, x: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rest of `forward`, from the columns (B, d, T) of lines of `widths` pixels."""
        t = x.shape[2]
        lengths = (widths + self.config.stride - 1) // self.config.stride  # (B,)
        inside = torch.arange(t, device=x.device)[None] < lengths[:, None]  # (B, T)
        x = self.width_convs(x * inside[:, None].to(x.dtype))
        x = x.transpose(1, 2)  # (B, T, d)
        mask = (1.0 - inside[:, None, None].to(torch.float32)) * -1e4
        if len(self.layers):
            x = x + positions(t, self.config.d_model, x.device)[None].to(x.dtype)
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x)
        return x, self.ctc(x), mask


def positions(n: int, d: int, device: torch.device) -> Tensor:
    """Sinusoidal positions (n, d) (Vaswani et al. 2017), computed on the fly, since a table would limit the width."""
    index = torch.arange(n, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, d, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / d))
    angle = index * rate[None]  # (n, d / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, cross-attention to the line, feed-forward."""

    def __init__(self, c: RecognizerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(c.d_model)
        self.attention = Attention(c.d_model, c.heads)
        self.norm2 = nn.LayerNorm(c.d_model)
        self.cross = Attention(c.d_model, c.heads)
        self.norm3 = nn.LayerNorm(c.d_model)
        self.feed = nn.Sequential(nn.Linear(c.d_model, c.d_ff), nn.ReLU(), nn.Linear(c.d_ff, c.d_model))
        self.drop = nn.Dropout(c.dropout)

    def forward(
        self, x: Tensor, past: Tensor | None, mask: Tensor, line: Tensor, line_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`x` (B, N, d); `past` (2, B, heads, P, d_head) or None;
        `mask` (N, P + N); `line` (2, B, heads, T, d_head).
        """
        h = self.norm1(x)
        own = self.attention.keys_values(h)  # (2, B, heads, N, d_head)
        if past is not None:
            own = torch.cat([past, own], dim=3)  # (2, B, heads, P + N, d_head)
        x = x + self.attention(h, own, mask)
        x = x + self.cross(self.norm2(x), line, line_mask)
        return x + self.drop(self.feed(self.norm3(x))), own


class Decoder(nn.Module):
    """Next-token logits from the tokens so far and the encoded line, for a single step or a whole text."""

    def __init__(self, c: RecognizerConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(c.vocabulary, c.d_model)
        self.position = nn.Embedding(c.max_tokens, c.d_model)
        self.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.d_model)
        self.drop = nn.Dropout(c.dropout)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)

    def line_keys_values(self, features: Tensor) -> Tensor:
        """Compute the keys and values of a line for all layers once: (B, T, d) -> (L, 2, B, heads, T, d_head)."""
        crosses: list[Any] = [layer.cross for layer in self.layers]
        return torch.stack([cross.keys_values(features) for cross in crosses])

    def forward(
        self, tokens: Tensor, line: Tensor, line_mask: Tensor, past: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits for the token after each of `tokens`.

        tokens: (B, N) int64; line: (L, 2, B, heads, T, d_head); line_mask: (B, 1, 1, T) additive;
        past: (L, 2, B, heads, P, d_head), keys and values of the P tokens before, P may be 0.
        Returns logits (B, N, V) and the grown cache (L, 2, B, heads, P + N, d_head).
        """
        n = tokens.shape[1]
        p = 0 if past is None else past.shape[4]
        index = torch.arange(p, p + n, device=tokens.device)  # (N,)
        x = self.drop(self.embedding(tokens) + self.position(index)[None])  # (B, N, d)
        causal = (torch.arange(p + n, device=tokens.device)[None] > index[:, None]).to(torch.float32) * -1e4
        grown = []
        for i, layer in enumerate(self.layers):
            x, own = layer(x, None if past is None else past[i], causal, line[i], line_mask)
            grown.append(own)
        logits = F.linear(self.norm(x), self.embedding.weight)  # (B, N, V), output tied to the embedding
        return logits, torch.stack(grown)


class Recognizer(nn.Module):
    """Encoder and decoder together, as trained."""

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def forward(self, images: Tensor, widths: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Training pass with teacher forcing.

        images (B, 1, H, W) float in [0, 1]; widths (B,) int64; tokens (B, N) int64 starting with BOS.
        Returns CTC logits (B, T, V), decoder logits (B, N, V), lengths of the encoded lines (B,).
        """
        features, ctc, mask = self.encoder(images, widths)
        logits, _ = self.decoder(tokens, self.decoder.line_keys_values(features), mask)
        return ctc, logits, (widths + self.config.stride - 1) // self.config.stride

    @torch.no_grad()
    def greedy(self, images: Tensor, widths: Tensor, max_tokens: int | None = None) -> list[list[int]]:
        """Cached greedy decoding: token ids of each line without BOS and EOS."""
        features, _, mask = self.encoder(images, widths)
        return self.write(features, mask, max_tokens)

    @torch.no_grad()
    def write(self, features: Tensor, mask: Tensor, max_tokens: int | None = None) -> list[list[int]]:
        """`greedy`, starting from the features (B, T, d) and the mask of encoded lines."""
        line = self.decoder.line_keys_values(features)
        b = features.shape[0]
        limit = min(max_tokens or self.config.max_tokens - 1, self.config.max_tokens - 1)
        tokens = torch.full((b, 1), BOS, dtype=torch.long, device=features.device)
        past: Tensor | None = None
        texts: list[list[int]] = [[] for _ in range(b)]
        alive = [True] * b
        for _ in range(limit):
            logits, past = self.decoder(tokens, line, mask, past)
            tokens = logits[:, -1].argmax(-1, keepdim=True)
            for row, token in enumerate(tokens[:, 0].tolist()):
                if alive[row] and token == EOS:
                    alive[row] = False
                if alive[row]:
                    texts[row].append(token)
            if not any(alive):
                break
        return texts
