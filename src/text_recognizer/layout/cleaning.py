"""Clean a page before its lines are found: even lighting, dark writing, no printed dots and rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.contrast import strong_contrast
from text_recognizer.layout.dots import without_dots
from text_recognizer.layout.light import even_light
from text_recognizer.layout.prepare import shrunk_for_prints
from text_recognizer.layout.rules import without_rules

Gray = NDArray[np.uint8]


def clean_page(gray: Gray) -> Gray:
    """A page (H, W), dark ink on light paper, with even lighting and dark writing, without printed dots and rules."""
    even = even_light(gray)
    small = shrunk_for_prints(even)
    dark = strong_contrast(even, small)
    small = small if dark is even else shrunk_for_prints(dark)
    clean = without_dots(dark, small)
    return without_rules(clean, small if clean is dark else None)


def clean_line(gray: Gray) -> Gray:
    """An image (H, W) of a single line, dark ink on light paper, with even lighting and dark writing."""
    return strong_contrast(even_light(gray))
