"""The probability of a whole line, from a small character Transformer, for readings that other models rank closely.

The network sees each character together with the n-grams that end with it, so that few layers suffice.

References
- Al-Rfou et al., "Character-level language modeling with deeper self-attention", AAAI 2019
- Huang et al., "Over-tokenized Transformer: vocabulary is generally worth scaling", 2025, arXiv:2501.16975
  (embeddings of hashed n-grams beside those of the tokens)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from text_recognizer.recognition.decoding import BLANK, EOS

if TYPE_CHECKING:
    import onnxruntime as ort

# Lengths of the n-grams that have embeddings, and number of embeddings for each length, which n-grams share by hash.
ORDERS = (2, 3, 4, 6)
BUCKETS = 2**15
_FACTOR, _PRIME = 1_000_003, 2**31 - 1

Ids = NDArray[np.int64]


def gram_buckets(ids: Ids) -> Ids:
    """Index of the embedding of each n-gram that ends at each of `ids` (N, L): (N, L, len(ORDERS)), 0…BUCKETS - 1."""
    found = []
    for order in ORDERS:
        hashed = np.zeros_like(ids)
        for back in range(order - 1, -1, -1):
            before = np.pad(ids, ((0, 0), (back, 0)))[:, : ids.shape[1]]
            hashed = (hashed * _FACTOR + before + 1) % _PRIME
        found.append((hashed ^ (hashed >> 15)) % BUCKETS)
    return np.stack(found, axis=-1)


class NeuralLanguageModel:
    """Log-probabilities of whole lines.

    Args:
        session: of the graph that `training.neural_language.export` writes.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.vocabulary = int(session.get_outputs()[0].shape[-1])  # token ids that it knows

    def scores(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Log-probability (N,) of each of `texts`, lists of token ids, as a complete line, its end included."""
        ids = np.full((len(texts), 1 + max(map(len, texts))), BLANK, np.int64)
        ids[:, 0] = EOS  # of the line before
        following = np.full_like(ids, BLANK)
        for row, text in enumerate(texts):
            ids[row, 1 : len(text) + 1] = text
            following[row, : len(text) + 1] = [*text, EOS]
        (log_probs,) = self._session.run(["log_probs"], {"ids": ids, "grams": gram_buckets(ids)})
        of_each = np.take_along_axis(log_probs, following[..., None], axis=-1)[..., 0]
        return np.asarray(np.where(following == BLANK, 0, of_each).sum(1, dtype=np.float64))
