"""Which characters are misread as which others: a confusion matrix, and precision and recall of each character."""

from __future__ import annotations

import csv
import html
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein

from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.evaluation.metrics import Normalisation

MATRIX = 40  # characters in the HTML matrix: those with the most errors
FORMS = (".html", ".json", ".csv")


@dataclass(frozen=True)
class CharacterReport:
    """The counts of one character: in the truth, in the readings, and in both at the same place."""

    character: str
    truth: int
    read: int
    right: int
    mostly: str = ""  # the most frequent misreading; empty if it is mostly missed

    @property
    def recall(self) -> float | None:
        """Share of its occurrences that are read correctly; None if it never occurs."""
        return self.right / self.truth if self.truth else None

    @property
    def precision(self) -> float | None:
        """Share of its readings that are right; None if it is never read."""
        return self.right / self.read if self.read else None


@dataclass
class Confusions:
    """Counts over aligned texts: `pairs[a, b]` is how often `a` was read as `b`, "" for nothing on either side."""

    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, truth: str, read: str) -> None:
        """Count a text by its minimum-edit alignment."""
        for step in Levenshtein.opcodes(truth, read):
            a, b = truth[step.src_start : step.src_end], read[step.dest_start : step.dest_end]
            if step.tag == "insert":
                self.pairs.update(("", y) for y in b)
            elif step.tag == "delete":
                self.pairs.update((x, "") for x in a)
            else:  # equal or replaced, character by character
                self.pairs.update(zip(a, b, strict=True))

    def worst(self, count: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent errors: (true character, read character, count)."""
        wrong = [(a, b, n) for (a, b), n in self.pairs.items() if a != b]
        return sorted(wrong, key=lambda entry: (-entry[2], entry[:2]))[:count]

    def characters(self) -> list[CharacterReport]:
        """All characters, the ones with the most errors first."""
        truth: Counter[str] = Counter()
        read: Counter[str] = Counter()
        mistaken: dict[str, Counter[str]] = {}
        for (a, b), n in self.pairs.items():
            truth[a] += n
            read[b] += n
            if a != b:
                mistaken.setdefault(a, Counter())[b] += n
        found = [
            CharacterReport(c, truth[c], read[c], self.pairs[c, c], _most(mistaken.get(c, Counter())))
            for c in {*truth, *read} - {""}
        ]
        return sorted(found, key=lambda r: (-(r.truth + r.read - 2 * r.right), r.character))

    def as_dict(self) -> dict[str, Any]:
        return {
            "characters": [
                {
                    "character": r.character, "name": name(r.character), "truth": r.truth, "read": r.read,
                    "right": r.right, "recall": r.recall, "precision": r.precision, "mostly": r.mostly,
                }
                for r in self.characters()
            ],
            "confusions": [{"truth": a, "read": b, "count": n} for a, b, n in self.worst(len(self.pairs))],
        }  # fmt: skip


def confusions(texts: Iterable[tuple[str, str]], normalise: Normalisation | None = None) -> Confusions:
    """The confusions of pairs (truth, reading), after normalisation."""
    normalise = normalise or Normalisation()
    found = Confusions()
    for truth, read in texts:
        found.add(normalise(truth), normalise(read))
    return found


def write(found: Confusions, file: Path) -> None:
    """Write a report in the format of the file's suffix: `.html` with the matrix, or `.json` or `.csv` for programs.

    Raises UsageError for any other suffix, OutputFailed.
    """
    if file.suffix not in FORMS:
        raise UsageError(f"{file.name}: the report on characters is written as {', '.join(FORMS)}; give such an ending")
    made = {".html": page, ".json": _json, ".csv": _csv}[file.suffix](found)
    try:
        file.write_text(made, encoding="utf-8")
    except OSError as error:
        raise OutputFailed(f"cannot write {file} ({error.strerror}); give another file") from None


def summary(found: Confusions, count: int = 8) -> str:
    """The most frequent errors on one line; empty if there are none."""
    worst = (f"{shown(a)} → {shown(b)} {n}×" for a, b, n in found.worst(count))
    return ", ".join(worst)


def shown(character: str) -> str:
    """A character in a visible form."""
    return {"": "nothing", " ": "blank"}.get(character, character)


def name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}")


def page(found: Confusions) -> str:
    """A self-contained HTML page: the matrix of the characters with the most errors, and a table of all characters."""
    reports = found.characters()
    chosen = sorted(r.character for r in reports[:MATRIX])
    head = "".join(f"<th>{html.escape(shown(c))}" for c in [*chosen, ""])
    rows = []
    for a in [*chosen, ""]:
        total = sum(n for (x, _), n in found.pairs.items() if x == a) or 1
        cells = []
        for b in [*chosen, ""]:
            n = found.pairs.get((a, b), 0)
            colour = f"rgb({'20 120 60' if a == b else '190 30 30'} / {min(1.0, n / total) ** 0.5:.2f})"
            title = html.escape(f"{shown(a)} read as {shown(b)}: {n} of {total}")
            cells.append(f'<td style="background:{colour}" title="{title}">{n or ""}')
        rows.append(f"<tr><th>{html.escape(shown(a))}{''.join(cells)}")
    table = []
    for r in reports:
        mostly = shown(r.mostly) if r.right < r.truth else ""
        values = (shown(r.character), name(r.character).lower(), r.truth, r.read, _share(r.recall), _share(r.precision))
        table.append("<tr>" + "".join(f"<td>{html.escape(str(value))}" for value in (*values, mostly)))
    return (
        "<!doctype html><meta charset=utf-8><title>Characters</title><style>"
        "body{font:14px/1.4 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse;margin:1rem 0}"
        "td,th{border:1px solid #ddd;padding:.1rem .35rem;text-align:right}</style><h1>Characters</h1>"
        "<p>A row is the true character, a column what was read; the colour is the share of the row.</p>"
        f"<table><tr><th>{head}{''.join(rows)}</table>"
        "<table><tr><th>character<th>name<th>in the truth<th>read<th>recall<th>precision<th>mostly misread as"
        + "".join(table)
        + "</table>\n"
    )


def _json(found: Confusions) -> str:
    return json.dumps(found.as_dict(), ensure_ascii=False, indent=1) + "\n"


def _csv(found: Confusions) -> str:
    """The whole matrix as rows of (truth, read, count)."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(("truth", "read", "count"))
    rows.writerows((a, b, n) for (a, b), n in sorted(found.pairs.items()))
    return out.getvalue()


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda c: (-counts[c], c), default="")


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f} %"
