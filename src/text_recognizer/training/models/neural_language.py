"""A causal character Transformer with embeddings of hashed n-grams, for `recognition.neural`.

References
- Zhang, Sennrich, "Root mean square layer normalization", NeurIPS 2019
- So et al., "Primer: searching for efficient Transformers for language modeling", NeurIPS 2021 (squared ReLU)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text_recognizer.recognition.neural import BUCKETS, ORDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralLanguageConfig:
    """Sizes of the network."""

    vocabulary: int
    d_model: int = 256
    layers: int = 3
    heads: int = 4
    d_ff: int = 1024
    d_gram: int = 48  #: size of an n-gram's embedding
    positions: int = 192  #: characters beyond them share the last position


class _Layer(nn.Module):
    def __init__(self, c: NeuralLanguageConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.norm1, self.norm2 = nn.RMSNorm(c.d_model), nn.RMSNorm(c.d_model)
        self.qkv = nn.Linear(c.d_model, 3 * c.d_model, bias=False)
        self.out = nn.Linear(c.d_model, c.d_model, bias=False)
        self.up, self.down = nn.Linear(c.d_model, c.d_ff, bias=False), nn.Linear(c.d_ff, c.d_model, bias=False)
        # Each layer begins as the identity.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, d) → (N, L, d); each position depends on itself and the earlier ones."""
        n, length, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, d))
        hidden: Tensor = F.relu(self.up(self.norm2(x))).square()
        return x + self.down(hidden)


class NeuralLanguageNetwork(nn.Module):
    """Predicts logits of the character after each character of a text."""

    def __init__(self, config: NeuralLanguageConfig) -> None:
        super().__init__()
        self.config = c = config
        self.characters = nn.Embedding(c.vocabulary, c.d_model)
        self.positions = nn.Embedding(c.positions, c.d_model)
        self.grams = nn.ModuleList(nn.Embedding(BUCKETS, c.d_gram) for _ in ORDERS)
        self.mix = nn.Linear(c.d_gram * len(ORDERS), c.d_model, bias=False)
        self.layers = nn.ModuleList(_Layer(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.d_model)
        self.head = nn.Linear(c.d_model, c.vocabulary)
        for table in (self.characters, self.positions, *self.grams):
            nn.init.normal_(table.weight, std=0.02)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, grams: Tensor) -> Tensor:
        """ids (N, L) int64, grams (N, L, orders) int64 from `recognition.neural.gram_buckets` → logits (N, L, V)."""
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.config.positions - 1)
        known = torch.cat([table(grams[..., k]) for k, table in enumerate(self.grams)], dim=-1)
        x = self.characters(ids) + self.positions(places) + self.mix(known)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(self.norm(x))
        return logits
