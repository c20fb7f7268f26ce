"""Combine parts of several texts into new ones: no beam holds every combination of the doubtful words.

If a line has several doubtful words, the n best texts of a beam differ in one or two of them. Each difference from the
best text is an edit. A single edit, or all helpful edits together, may give a text that no beam holds.

References
- Mangu, Brill, Stolcke, "Finding consensus in speech recognition: word error minimization and other applications of
  confusion networks", 2000 (parts of competing readings, aligned)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the ids of a text from `start` up to `end` by `ids`."""

    start: int
    end: int
    ids: tuple[int, ...]


def differences(text: Sequence[int], other: Sequence[int]) -> list[Edit]:
    """The edits that turn `text` into `other`, from the left."""
    matched = SequenceMatcher(None, text, other, autojunk=False).get_opcodes()
    return [Edit(i1, i2, tuple(other[j1:j2])) for tag, i1, i2, j1, j2 in matched if tag != "equal"]


def applied(text: Sequence[int], edits: Iterable[Edit]) -> list[int]:
    """`text` after `edits` that do not overlap."""
    out = list(text)
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        out[edit.start : edit.end] = edit.ids
    return out


def apart(edits: Iterable[Edit]) -> list[Edit]:
    """The `edits` that neither overlap nor border on an earlier one."""
    kept: list[Edit] = []
    for edit in edits:
        if all(edit.end < other.start or edit.start > other.end for other in kept):
            kept.append(edit)
    return kept
