"""Digits and letters of one shape, where they stand alone: among numbers a lone O is a 0 and a lone l is a 1.

In running text the language model settles it. Of what stands alone, in a table or a grid, only its company tells.
"""

from __future__ import annotations

from collections.abc import Sequence

DIGIT_OF = str.maketrans("OoIl|ZzASsbBgq", "00111224556899")
"""The digit that a letter may be."""

LONGEST = 4  # characters of a text that is no word
FEWEST, SHARE = 3, 3  # numbers among the short texts of a page; so many for one that is a word
_MARKS = frozenset("0123456789.,:-+%$€£/()")


def numbers_of(texts: Sequence[str]) -> list[str]:
    """`texts`, those of the lines or cells of a page, with the letters in their numbers as digits.

    Nothing changes on a page whose short texts are not nearly all numbers.
    """
    short = [text for text in texts if len(text) <= LONGEST]
    numbers = [text for text in short if set(text) <= _MARKS and set(text) & set("2345678")]
    words = [text for text in short if not _may_be_number(text)]
    if len(numbers) < FEWEST or len(numbers) < SHARE * len(words):
        return list(texts)
    return [text.translate(DIGIT_OF) if len(text) <= LONGEST and _may_be_number(text) else text for text in texts]


def _may_be_number(text: str) -> bool:
    """Whether a text is a digit or may be one, or holds a digit and else what may be digits."""
    return set(text.translate(DIGIT_OF)) <= _MARKS and (len(text) == 1 or bool(set(text) & set("0123456789")))
