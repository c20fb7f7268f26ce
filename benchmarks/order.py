"""Reading order on drawn layouts, whose order is known: `python benchmarks/order.py [--pages 100] [--seed 0]`.

Pages are drawn as boxes of lines with words in them, as the line finder and the recogniser would give them: ends,
heights and x-heights vary, no picture is made. It prints for each kind of page how many pages are ordered without a
fault, and the share of lines that are followed by the right one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import chain, pairwise

import numpy as np

from text_recognizer.layout.order import LineBox, reading_order

UNIT = 10.0  # pixels of an x-height
Layout = list[LineBox]


class Drawn:
    """Draws layouts; lengths are in x-heights."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def words(self, count: int) -> str:
        return " ".join("abcdefgh"[: self.rng.integers(2, 8)] for _ in range(count))

    def line(self, left: float, right: float, y: float, size: float = 1.0, text: str | None = None) -> LineBox:
        text = self.words(max(1, round((right - left) / (5.5 * size)))) if text is None else text
        return LineBox(
            (left + self.rng.normal(0, 0.3)) * UNIT,
            right * UNIT,
            (y + self.rng.normal(0, 0.08)) * UNIT,
            size * UNIT * float(np.exp(self.rng.normal(0, 0.12))),
            float(self.rng.normal(0, 0.004)),
            text,
        )

    def prose(self, left: float, right: float, y: float, count: int, pitch: float, indent: float = 2.0) -> Layout:
        out: Layout = []
        while len(out) < count:
            lines = int(min(count - len(out), self.rng.integers(2, 9)))
            for n in range(lines):
                full = right - self.rng.uniform(0, 0.15) * (right - left)
                end = full if n < lines - 1 else left + self.rng.uniform(0.2, 1) * (right - left)
                out.append(self.line(left + (0.0 if n else indent), end, y))
                y += pitch * (1 + self.rng.normal(0, 0.03))
            y += 0.3 * indent
        return out

    def columns(self, count: int = 2, heading: bool = True, footer: bool = False, level: bool = False) -> list[Layout]:
        """A heading if asked for, each column, a footer if asked for; `level`: on common baselines."""
        gutter, width = float(self.rng.uniform(2.5, 8)), float(self.rng.uniform(40, 90))
        each = (width - (count - 1) * gutter) / count
        out, y = [], 5.0
        if heading:
            out.append([self.line(0.2 * width, 0.7 * width, y, float(self.rng.uniform(1, 1.6)))])
            y += float(self.rng.uniform(3.5, 6))
        for n in range(count):
            left, lines = n * (each + gutter), int(self.rng.integers(5, 16))
            if level:
                out.append(self.prose(left, left + each, y, lines, 2.8, 0))
            else:
                start, pitch = y + float(self.rng.uniform(0, 2)), float(self.rng.uniform(2.2, 3.5))
                out.append(self.prose(left, left + each, start, lines, pitch))
        if footer:
            bottom = max(box.middle for column in out for box in column) / UNIT
            out.append([self.line(0.1 * width, 0.9 * width, bottom + float(self.rng.uniform(1.5, 4)))])
        return out

    def overrun(self) -> Layout:
        """Two columns, and a line of the left one that reaches into the right one, which gives way."""
        left, right = self.columns(heading=False)
        number = int(self.rng.integers(len(left)))
        long, edge = left[number], min(box.left for box in right)
        end = edge + float(self.rng.uniform(1, 4)) * UNIT
        left[number] = LineBox(long.left, end, long.middle, long.x_height, 0.0, long.text)
        return [*left, *(box for box in right if abs(box.middle - long.middle) > 1.5 * UNIT)]

    def merged(self) -> Layout:
        """Two columns on common baselines, of which two lines were found as one."""
        left, right = self.columns(heading=False, level=True)
        number = int(self.rng.integers(1, min(len(left), len(right)) - 1))
        one, two = left[number], right[number]
        left[number] = LineBox(one.left, two.right, one.middle, one.x_height, 0.0, f"{one.text} {two.text}")
        return [*left, *right[:number], *right[number + 1 :]]

    def table(self, form: bool = False) -> Layout:
        """A table of numbers, or labels and values, between two paragraphs."""
        out = self.prose(0, 70, 5, int(self.rng.integers(1, 5)), 2.8)
        y = out[-1].middle / UNIT + 5
        columns = 2 if form else int(self.rng.integers(2, 6))
        widths = self.rng.uniform(6, 13, columns)
        lefts = np.cumsum([0, *(widths + self.rng.uniform(2, 8, columns))])
        pitch = float(self.rng.uniform(2.4, 4.5))
        for row in range(int(self.rng.integers(3, 10))):
            for column in range(columns):
                if form:
                    text = self.words(int(self.rng.integers(1, 4))) + (":" if column == 0 else "")
                elif column == 0 or row == 0:
                    text = self.words(int(self.rng.integers(1, 3)))
                else:
                    text = str(self.rng.integers(1, 999))
                if column == 0 or form or row == 0 or self.rng.random() > 0.05:
                    right = lefts[column] + min(widths[column], 0.9 * len(text) + 1)
                    out.append(self.line(lefts[column], right, y, text=text))
            y += pitch * (1 + self.rng.normal(0, 0.02))
        return out + self.prose(0, 70, y + 2, int(self.rng.integers(1, 5)), 2.8)

    def note(self, left: bool) -> Layout:
        """A note in the margin, before the line at whose height it begins."""
        main = self.prose(0, 60, 5, int(self.rng.integers(12, 20)), 2.8)
        place = int(self.rng.integers(3, len(main) - 5))
        x = -14.0 if left else 62.0
        start = main[place].middle / UNIT + 0.3
        note = [
            self.line(x, x + float(self.rng.uniform(5, 11)), start + 2.2 * n, 0.8)
            for n in range(int(self.rng.integers(2, 5)))
        ]
        return main[:place] + note + main[place:] if left else main[: place + 1] + note + main[place + 1 :]


def flat(columns: list[Layout]) -> Layout:
    return list(chain.from_iterable(columns))


KINDS: dict[str, Callable[[Drawn], Layout]] = {
    "one column": lambda d: d.prose(0, 60, 5, 20, 2.8),
    "two columns": lambda d: flat(d.columns()),
    "two columns, common baselines": lambda d: flat(d.columns(level=True)),
    "three columns": lambda d: flat(d.columns(3)),
    "columns and footer": lambda d: flat(d.columns(footer=True)),
    "line into the other column": Drawn.overrun,
    "lines found as one": Drawn.merged,
    "table": Drawn.table,
    "form": lambda d: d.table(form=True),
    "note left": lambda d: d.note(left=True),
}


def ordered(layout: Layout, rng: np.random.Generator) -> list[int]:
    """The order found when the lines come shuffled, named by their true places."""
    turn = rng.permutation(len(layout))
    return [int(turn[i]) for i in reading_order([layout[k] for k in turn])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    print("| pages | without a fault | lines followed by the right one |\n|---|---|---|")
    for name, kind in KINDS.items():
        found = [ordered(kind(Drawn(rng)), rng) for _ in range(args.pages)]
        right = sum(order == sorted(order) for order in found)
        followed = [b == a + 1 for order in found for a, b in pairwise(order)]
        print(f"| {name} | {100 * right / len(found):.0f} % | {100 * np.mean(followed):.1f} % |")


if __name__ == "__main__":
    main()
