"""Which lines of a transcript were read whole, in parts, merged with others, or not at all; and which were invented.

Transcripts often state the order of lines but not their positions, so lines are compared only by their text, in any
order. The parts that agree best are removed from both sides, and the rest is compared again (the flexible character
accuracy of Clausner, Pletschacher and Antonacopoulos, Pattern Recognition Letters 131, 2020).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from text_recognizer.evaluation.metrics import Normalisation

ILLEGIBLE = re.compile("⟦[^⟧]*⟧")
"""Marks writing in a transcript that a person cannot read."""

SHORTEST = 3  # characters that can be part of a line; a shorter text only matches a whole line
# Largest share of wrong characters: for a line against a whole line, for a line within a longer one, and for a line
# that is paired because no other is left. Unrelated English lines have 0.75 or more, and a short line finds half of its
# letters somewhere in any long line.
WHOLE, WITHIN, GARBLED = 0.5, 0.3, 0.7


@dataclass(frozen=True)
class LineAlignment:
    """How the lines of a page were read: indices into the lines of the truth and into those read."""

    truth: int  # lines of the truth with legible text
    links: frozenset[tuple[int, int]]  # pairs (line of the truth, line read) that share text
    split: tuple[int, ...]  # lines of the truth that were read as several lines
    merged: tuple[int, ...]  # lines read that contain several lines of the truth
    lost: tuple[int, ...]  # lines of the truth that were not read at all
    invented: tuple[int, ...]  # lines read that share nothing with the truth


@dataclass(frozen=True)
class _Part:
    line: int
    text: str
    whole: bool


def align_lines(truth: Sequence[str], read: Sequence[str], normalise: Normalisation | None = None) -> LineAlignment:
    """Compare the lines of a transcript with those read, in any order.

    `⟦…⟧` marks writing that a person cannot read. A line of the truth with nothing else is not counted and cannot be
    lost, and each `⟦…⟧` excuses one line read that shares nothing with the rest.
    """
    normalise = normalise or Normalisation()
    illegible = sum(len(ILLEGIBLE.findall(text)) for text in truth)
    left = [_Part(i, text, True) for i, line in enumerate(truth) if (text := normalise(ILLEGIBLE.sub(" ", line)))]
    right = [_Part(j, text, True) for j, line in enumerate(read) if (text := normalise(line))]
    known, seen = [part.line for part in left], [part.line for part in right]
    links = _shared(left, right)
    links |= _garbled(
        [part for part in left if part.whole and all(part.line != i for i, _ in links)],
        [part for part in right if part.whole and all(part.line != j for _, j in links)],
    )
    readings: dict[int, set[int]] = defaultdict(set)
    sources: dict[int, set[int]] = defaultdict(set)
    for i, j in links:
        readings[i].add(j)
        sources[j].add(i)
    invented = [j for j in seen if j not in sources]
    return LineAlignment(
        len(known),
        frozenset(links),
        tuple(i for i in known if len(readings[i]) > 1),
        tuple(j for j in seen if len(sources[j]) > 1),
        tuple(i for i in known if not readings[i]),
        tuple(invented[illegible:]),
    )


def _shared(left: list[_Part], right: list[_Part]) -> set[tuple[int, int]]:
    """Pairs of lines that share a part, the longest parts first. It removes the parts from `left` and `right`."""
    links: set[tuple[int, int]] = set()
    found = {
        (a, b): link
        for a, b in _likely([part.text for part in left], [part.text for part in right])
        if (link := _best(left[a], right[b]))
    }
    gone: tuple[set[int], set[int]] = set(), set()
    while found:
        (a, b), (_, cut_left, cut_right) = max(found.items(), key=lambda item: (item[1][0], [-k for k in item[0]]))
        links.add((left[a].line, right[b].line))
        gone[0].add(a)
        gone[1].add(b)
        found = {pair: link for pair, link in found.items() if pair[0] != a and pair[1] != b}
        for parts, others, number, cut, side in ((left, right, a, cut_left, 0), (right, left, b, cut_right, 1)):
            part = parts[number]
            for text in (part.text[: cut[0]].strip(), part.text[cut[1] :].strip()):
                if not text:
                    continue
                parts.append(_Part(part.line, text, False))
                new = len(parts) - 1
                for other in range(len(others)):
                    pair = (new, other) if side == 0 else (other, new)
                    if other not in gone[1 - side] and (link := _best(left[pair[0]], right[pair[1]])):
                        found[pair] = link
    left[:] = [part for number, part in enumerate(left) if number not in gone[0]]
    right[:] = [part for number, part in enumerate(right) if number not in gone[1]]
    return links


def _likely(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs in which one line may contain the other: a quick filter, since most pairs share nothing."""
    if not left or not right:
        return []
    alike = process.cdist(left, right, scorer=fuzz.partial_ratio, score_cutoff=100 * (1 - WHOLE))
    return [(int(a), int(b)) for a, b in np.argwhere(np.asarray(alike) > 0)]


def _best(left: _Part, right: _Part) -> tuple[float, tuple[int, int], tuple[int, int]] | None:
    """The worth of the part that two texts share, and its position in each; None if they share nothing."""
    a, b = left.text, right.text
    longer, shorter = max(len(a), len(b)), min(len(a), len(b))
    if shorter < SHORTEST:
        return (1.0, (0, len(a)), (0, len(b))) if a == b and (left.whole or right.whole) else None
    if longer - shorter >= SHORTEST and (place := fuzz.partial_ratio_alignment(a, b)):
        ours, theirs = (place.src_start, place.src_end), (place.dest_start, place.dest_end)
        wrong = Levenshtein.distance(a[slice(*ours)], b[slice(*theirs)])
        if wrong <= WITHIN * shorter and _free(a, ours) and _free(b, theirs):
            return shorter - 2 * wrong - 0.05 * (longer - shorter), ours, theirs
    wrong = Levenshtein.distance(a, b)
    return (longer - 2 * wrong + 1, (0, len(a)), (0, len(b))) if wrong <= WHOLE * longer else None


def _free(text: str, span: tuple[int, int]) -> bool:
    """Whether at most one end of `span` is inside a word of `text`; a misread blank may explain one."""
    cuts = [k for k in span if 0 < k < len(text) and text[k - 1].isalnum() and text[k].isalnum()]
    return len(cuts) < (2 if span[1] - span[0] > 2 * SHORTEST else 1)


def _garbled(left: Sequence[_Part], right: Sequence[_Part]) -> set[tuple[int, int]]:
    """Pairs among the unmatched lines, with the fewest total edits (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    if not left or not right:
        return set()
    shares = process.cdist(
        [part.text for part in left], [part.text for part in right], scorer=Levenshtein.normalized_distance
    )
    costs = np.minimum(np.asarray(shares, float), GARBLED)
    return {
        (left[a].line, right[b].line)
        for a, b in zip(*linear_sum_assignment(costs), strict=True)
        if costs[a, b] < GARBLED
    }
