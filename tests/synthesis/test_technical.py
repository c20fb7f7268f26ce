"""Technical notes: of the alphabet, of every kind, and code that is balanced."""

import re

import numpy as np

from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.everyday import EVERYDAY
from text_recognizer.synthesis.sources.technical import technical_line

LINES = [technical_line(np.random.default_rng([4, k])) for k in range(4000)]
KINDS = {
    "assignment": r"^\w+(\.\w+)?( = | ← | := |=| \+= )",
    "function": r"^(def|function|class|fn|func|algorithm) \w+\(.*\)",
    "loop": r"^for \w+ in ",
    "condition": r"^(if|while|elif|until) .*(<|>|==|!=|=|not)",
    "comment": r"^(//|#|--|/\*) ",
    "heading": r"^#{1,4} [A-Z]",
    "bold": r"\*\*\w+\*\*",
    "slice": r"\w+\[\w*:",
    "snake": r"[a-z]+_[a-z]+",
    "list": r"\[-?\d+(, ?-?\d+)+\]",
    "complexity": r"O\([a-zA-Z1]",
}


def test_lines_are_short_and_of_the_alphabet() -> None:
    for line in LINES:
        assert line and set(line) <= set(ALPHABET), line
        assert line == " ".join(line.split()) and len(line) < 160, line


def test_each_kind_is_written() -> None:
    for name, pattern in KINDS.items():
        share = sum(re.search(pattern, line) is not None for line in LINES) / len(LINES)
        assert share > 0.008, name


def test_brackets_are_closed() -> None:
    for line in LINES:
        for one, other in ("()", "[]"):
            listed = re.sub(r"^\d+\) |^\(\d+\) ", "", line)
            assert listed.count(one) == listed.count(other), line


def test_a_part_of_everyday_notes_is_technical() -> None:
    rng = np.random.default_rng(6)
    notes = [EVERYDAY.line(rng) for _ in range(2000)]
    assert 0.02 < sum(re.search(KINDS["snake"], note) is not None for note in notes) / len(notes) < 0.2
    assert any("pm" in note for note in notes)
