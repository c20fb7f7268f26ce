"""New characters for a trained network: rows for them in its weights, near the characters that they resemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from text_recognizer.recognition.decoding import FIRST_CHARACTER
from text_recognizer.recognition.language import ID_BITS
from text_recognizer.synthesis.sources.alphabet import base_of

MOST = 2**ID_BITS - FIRST_CHARACTER  # characters in an alphabet, because language models pack ids into this many bits
# Weights with a row for each token.
ROWS = ("decoder.embedding.weight", "encoder.ctc.weight", "encoder.ctc.bias")
# How far a new row is moved from the similar row towards the mean of all, and by how much its bias is lower.
_ASIDE, _LOWER = 0.2, 2.0


def grow_vocabulary(held: dict[str, Tensor], old: str, new: str) -> None:
    """Append rows to the weights `held`, in place, for the characters that alphabet `new` appends to `old`.

    An exact copy of the similar character's row would win against it about half the time. A small step towards the mean
    row, and a lower bias, let the old character win until the new one is learned.
    """
    if not new.startswith(old):
        raise ValueError("the new alphabet does not begin with the old one")
    for name in ROWS:
        if name not in held:
            continue
        rows = held[name].float()
        mean = rows[FIRST_CHARACTER:].mean(0)
        grown = [*rows]
        for character in new[len(old) :]:
            base = base_of(character)
            like = rows[old.index(base) + FIRST_CHARACTER] if base is not None and base in old else mean
            row = (1 - _ASIDE) * like + _ASIDE * mean
            grown.append(row - _LOWER if name.endswith("bias") else row)
        held[name] = torch.stack(grown).to(held[name].dtype)


def new_characters(unknown: Mapping[str, int], least: int, alphabet: str) -> str:
    """The visible characters of `unknown` that occur at least `least` times, the most frequent first.

    It returns at most as many as there is room for in addition to `alphabet`.
    """
    ranked = sorted(Counter(unknown).items(), key=lambda entry: (-entry[1], entry[0]))
    fit = [c for c, count in ranked if count >= least and c.isprintable() and c not in alphabet]
    return "".join(fit[: max(0, MOST - len(alphabet))])
