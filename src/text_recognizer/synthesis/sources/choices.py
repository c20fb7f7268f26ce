"""Lists of words stored as one text, and random choice from them."""

from __future__ import annotations

import numpy as np

Random = np.random.Generator


def split(text: str, separator: str = " ") -> tuple[str, ...]:
    """The words or other parts of a long text."""
    return tuple(text.split(separator))


def pick(words: tuple[str, ...], rng: Random) -> str:
    """One of `words`, all equally likely."""
    return words[int(rng.integers(len(words)))]
