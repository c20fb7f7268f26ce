"""Lists of words written as one text, and drawing from them."""

from __future__ import annotations

import numpy as np

Random = np.random.Generator


def split(text: str, separator: str = " ") -> tuple[str, ...]:
    """The words, or other parts, of a long text."""
    return tuple(text.split(separator))


def pick(words: tuple[str, ...], rng: Random) -> str:
    """One of `words`, each as likely as the others."""
    return words[int(rng.integers(len(words)))]
