"""New characters for a trained network: rows for them in its weights, near to what they resemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from text_recognizer.recognition.decoding import FIRST_CHARACTER
from text_recognizer.recognition.language import ID_BITS
from text_recognizer.synthesis.sources.alphabet import base_of

MOST = 2**ID_BITS - FIRST_CHARACTER  # characters of an alphabet: language models pack ids into so many bits
# What has a row for each token.
ROWS = ("decoder.embedding.weight", "encoder.ctc.weight", "encoder.ctc.bias")
# How far a new row lies from what it resembles towards the mean of all, and what its bias is below.
_ASIDE, _LOWER = 0.2, 2.0


def grow_vocabulary(held: dict[str, Tensor], old: str, new: str) -> None:
    """Append rows for the characters that alphabet `new` has behind those of `old` to the weights `held`, in place.

    A row of its own right away would be read in place of the character it resembles as often as not: a little of the
    mean of all rows, and a lower bias, let the old character win until the new one is learned.
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
    """The characters of `unknown` that occur at least `least` times and that can be seen, the most frequent first.

    At most as many as fit beside `alphabet`.
    """
    ranked = sorted(Counter(unknown).items(), key=lambda entry: (-entry[1], entry[0]))
    fit = [c for c, count in ranked if count >= least and c.isprintable() and c not in alphabet]
    return "".join(fit[: max(0, MOST - len(alphabet))])
