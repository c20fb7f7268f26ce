"""The layout style of a page. Lengths without a unit are in x-heights of the writing; lengths in pixels say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PageStyle:
    """The layout style of a page; `sample` draws one of those seen on paper."""

    x_height: float = 30.0  # pixels
    spacing: float = 3.0  # from baseline to baseline
    width: float = 60.0
    height: float = 78.0
    margins: tuple[float, float, float, float] = (4.0, 4.0, 5.0, 5.0)  # left, right, top, bottom
    columns: int = 1
    gutter: float = 4.0
    indent: float = 2.0  # of a paragraph's first line
    paragraph_gap: float = 0.0  # on top of the spacing
    slope: float = 0.0  # of all lines, in radians
    line_slope: float = 0.004  # spread of the lines' slopes about it
    bend: float = 0.0  # sag of a line in its middle, as on a book page
    wander: float = 0.1  # height of the waves of baselines
    word_gap: float = 1.1
    heading: bool = False
    letterhead: bool = False
    date: bool = False
    lists: bool = False
    additions: float = 0.0  # share of lines with a word written above them
    marginalia: bool = False
    crossings: float = 0.0  # share of words struck out
    underlines: float = 0.0  # share of words underlined
    hyphens: float = 0.3  # share of words that are divided if they do not fit at a line end
    fill: float = 1.0  # share of the page that is written on
    cells: tuple[int, int] | None = None  # rows and columns of short entries, as in tables and forms, instead of text
    ruled: bool = False  # the cells have printed rules between them
    numbers: float | None = None  # share of the cells with a number; None for any
    lone: bool = False  # the numbers are single digits and letters
    furniture: float = 0.3  # chance of each kind of mark that is not text: rules, boxes, stamps, blots

    @staticmethod
    def sample(rng: np.random.Generator, x_height: float = 30.0) -> PageStyle:
        """Draw a style, from a few large lines to dense letters, and sometimes a single paragraph or line."""
        kind = rng.random()
        spacing = float(np.clip(rng.lognormal(np.log(2.75), 0.24), 1.85, 5.5))
        width = float(np.clip(rng.lognormal(np.log(54), 0.38), 20, 125))
        shape = (
            float(np.clip(rng.normal(1.3, 0.14), 0.65, 1.7)) if rng.random() < 0.85 else float(rng.uniform(0.5, 0.9))
        )
        height = width * shape
        left, right = (float(v) for v in rng.uniform(0.01, 0.13, 2) * width)
        margins = (left, right, float(rng.uniform(1.5, 9)), float(rng.uniform(1, 8)))
        if kind < 0.14:  # a paragraph cropped from a page
            height = float(rng.uniform(1.2, 12)) * spacing + 4
            margins = tuple(float(v) for v in rng.uniform(0.4, 2.5, 4))  # type: ignore[assignment]
        elif kind < 0.19:  # a line
            height, width = float(rng.uniform(2.8, 5)), float(rng.uniform(12, 60))
            margins = tuple(float(v) for v in rng.uniform(0.2, 1.5, 4))  # type: ignore[assignment]
        elif kind < 0.23:  # a word or a number that fills its picture
            height, width = float(rng.uniform(2.2, 4.5)), float(rng.uniform(2.5, 14))
            margins = tuple(float(v) for v in rng.uniform(0.1, 1.2, 4))  # type: ignore[assignment]
        elif kind < 0.29:  # a note of few words in large letters
            height, width = float(rng.uniform(1, 5.5)) * spacing + 1.5, float(rng.uniform(7, 22))
            margins = tuple(float(v) for v in rng.uniform(0.2, 2.0, 4))  # type: ignore[assignment]
        whole = kind >= 0.29
        cells = (int(rng.integers(2, 16)), int(rng.integers(1, 7))) if whole and rng.random() < 0.28 else None
        lone = cells is not None and rng.random() < 0.5
        if cells is not None and lone:
            cells = (int(rng.integers(2, 12)), int(rng.integers(2, 10)))
            width, height = cells[1] * float(rng.uniform(3.5, 9)), cells[0] * float(rng.uniform(2, 5)) + 3
            margins = tuple(float(v) for v in rng.uniform(0.5, 4, 4))  # type: ignore[assignment]
        columns = int(rng.choice([1, 2, 3], p=[0.8, 0.16, 0.04])) if whole and width > 44 else 1
        return PageStyle(
            x_height=x_height,
            spacing=spacing,
            width=width,
            height=height,
            margins=margins,
            columns=columns if width > 80 else min(columns, 2),
            gutter=float(rng.uniform(1.4, 6)),
            indent=float(rng.choice([0.0, rng.uniform(1, 8)])),
            paragraph_gap=float(rng.choice([0.0, rng.uniform(0.3, 2.5)])),
            slope=float(rng.normal(0, 0.012)) if rng.random() < 0.85 else float(rng.normal(0, 0.05)),
            line_slope=float(rng.uniform(0, 0.008)) if rng.random() < 0.85 else float(rng.uniform(0.01, 0.06)),
            bend=float(rng.normal(0, 1.2)) if rng.random() < 0.15 else 0.0,
            wander=float(abs(rng.normal(0, 0.11))),
            word_gap=float(np.clip(rng.lognormal(np.log(1.1), 0.33), 0.55, 2.8)),
            heading=whole and rng.random() < 0.25,
            letterhead=whole and rng.random() < 0.15,
            date=whole and rng.random() < 0.25,
            lists=whole and rng.random() < 0.15,
            additions=float(rng.uniform(0.05, 0.25)) if rng.random() < 0.15 else 0.0,
            marginalia=whole and left > 8 and rng.random() < 0.4,
            crossings=float(rng.uniform(0.01, 0.06)) if rng.random() < 0.2 else 0.0,
            hyphens=float(rng.uniform(0, 0.7)),
            fill=1.0 if rng.random() < 0.6 else float(rng.uniform(0.15, 1.0)),
            cells=cells,
            ruled=cells is not None and rng.random() < 0.5,
            numbers=float(rng.uniform(0.7, 1)) if lone else None,
            lone=lone,
        )
