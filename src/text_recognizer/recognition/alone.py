"""Digits and letters of the same shape that stand alone: among numbers, a lone O is a 0 and a lone l is a 1.

In running text the language model decides. For a lone character in a table or a grid, the neighbouring cells decide.
"""

from __future__ import annotations

from collections.abc import Sequence

DIGIT_OF = str.maketrans("OoIl|ZzASsbBgq", "00111224556899")
"""Maps each letter to the digit of the same shape."""

LONGEST = 4  # most characters of a text that is not a word
FEWEST, SHARE = 3, 3  # fewest numbers among the short texts of a page, and for each word among them
_MARKS = frozenset("0123456789.,:-+%$€£/()")


def numbers_of(texts: Sequence[str], spans: Sequence[tuple[float, float]] = ()) -> list[str]:
    """`texts`, the lines or cells of a page, with the letters in their numbers replaced by digits.

    Texts change only on a page whose short texts are nearly all numbers, or in a column of numbers.

    Args:
        spans: left and right end of each text, to find columns; without them only the page counts.
    """
    if _are_numbers([text for text in texts if len(text) <= LONGEST], FEWEST):
        return [_as_number(text) for text in texts]
    out = list(texts)
    for index, text in enumerate(texts):
        if spans and _as_number(text) != text:
            left, right = spans[index]
            column = [
                other
                for number, (other, span) in enumerate(zip(texts, spans, strict=True))
                if number != index and span[0] < right and span[1] > left
            ]
            if _are_numbers(column, FEWEST - 1, heads=1):
                out[index] = _as_number(text)
    return out


def _are_numbers(texts: Sequence[str], fewest: int, heads: int = 0) -> bool:
    """Whether nearly all of `texts`, and at least `fewest`, are numbers; `heads` words may be column headings."""
    numbers = [text for text in texts if set(text) <= _MARKS and set(text) & set("2345678")]
    words = [text for text in texts if not _may_be_number(text)]
    return len(numbers) >= max(fewest, SHARE * (len(words) - heads))


def _as_number(text: str) -> str:
    return text.translate(DIGIT_OF) if len(text) <= LONGEST and _may_be_number(text) else text


def _may_be_number(text: str) -> bool:
    """Whether a text may be a number: one possible digit, or a digit with nothing but possible digits and marks."""
    return set(text.translate(DIGIT_OF)) <= _MARKS and (len(text) == 1 or bool(set(text) & set("0123456789")))
