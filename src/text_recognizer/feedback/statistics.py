"""Numbers that describe a page and its reading without its content. Monitoring compares them.

A number that does not apply is left out: a blank page has no confidence, and a page without ink has no contrast.

References
- Radford et al., "Robust speech recognition via large-scale weak supervision", 2022: repetition as a sign of a reader
  that lost its place
- Shannon, "Prediction and entropy of printed English", 1951: bits per character
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.page import Page, Polygon
from text_recognizer.recognition.decoding import FIRST_CHARACTER, UNKNOWN
from text_recognizer.recognition.language import LanguageModel

Gray = NDArray[np.uint8]

WORDS = "words.txt"  # in a bundle: frequent words of the training texts in lower case, one a line

# Pixels sampled from a page of any size: enough for a percentile, few enough for a millisecond.
SAMPLED = 200_000
# How much darker than the paper around it a pixel must be to count as ink: as a share of the darkest marks' contrast,
# and at least this much.
INK_SHARE, INK_LEAST = 0.4, 20
INKED = 2e-4  # with a smaller share of ink, there is too little writing to measure contrast and sharpness
DOUBTFUL = 0.8  # words less likely right than this are doubtful; calibrated confidences begin at about 0.5
RUN = 8  # characters: a run this long that recurs is a sign of a model that repeats itself


@dataclass(frozen=True, slots=True)
class Feature:
    """One of the numbers: what it measures, its unit, and what a change often means."""

    name: str
    title: str
    unit: str
    means: str


FEATURES: tuple[Feature, ...] = (
    Feature("width", "Width", "pixels", "another camera or scanner, or a client that scales images"),
    Feature("height", "Height", "pixels", "another camera or scanner, or a client that scales images"),
    Feature("brightness", "Brightness", "of the paper, 0 black … 1 white", "light, exposure or paper changed"),
    Feature("contrast", "Contrast of ink", "0 … 1 of the grey scale", "fainter pens, worse light, strong compression"),
    Feature("ink_share", "Share of ink", "share of pixels", "denser pages, other things than text, noise"),
    Feature("sharpness", "Sharpness", "share of the contrast gained in one pixel", "blur, or images scaled up"),
    Feature("lines", "Lines", "a page", "another kind of page, or lines that are not found"),
    Feature("characters", "Characters", "a page", "another kind of page, or lines that are not found"),
    Feature("line_height", "Height of lines", "pixels, median", "another resolution or size of writing"),
    Feature("confidence", "Confidence", "mean of the lines, 0 … 1", "writing that the model knows less well"),
    Feature("confidence_least", "Least confidence", "of a page's lines, 0 … 1", "parts of pages that are hard to read"),
    Feature("doubtful_words", "Doubtful words", f"share under {DOUBTFUL}", "writing that the model knows less well"),
    Feature("dictionary_words", "Words of the dictionary", "share of words", "another language, or misread words"),
    Feature("bits_per_character", "Perplexity", "bits a character", "another language or kind of text, or misread"),
    Feature("repetition", "Repetition", f"share of runs of {RUN} characters", "a reader that loops, or forms"),
    Feature("other_characters", "Neither letters nor digits", "share of characters", "formulas, noise read as signs"),
)
"""All numbers of a reading, in the order of reports. The `timings` of a reading are separate."""


class Wording:
    """The language resources of a bundle: its language model and its word list, if it has them."""

    def __init__(
        self, alphabet: str, language: LanguageModel | None = None, words: frozenset[str] = frozenset()
    ) -> None:
        self._ids = {character: i + FIRST_CHARACTER for i, character in enumerate(alphabet)}
        self._language, self._words = language, words

    @classmethod
    def of(cls, bundle: Bundle, language: LanguageModel | None) -> Wording:
        """The resources of a bundle. `language`: its recogniser's language model, so that it is loaded only once."""
        return cls(bundle.description.alphabet, language, read_words(bundle.path))

    def bits_per_character(self, lines: Sequence[str]) -> float | None:
        """Cross-entropy of the lines under the language model, including their ends; None if there is no model."""
        ids = [[self._ids.get(character, UNKNOWN) for character in line] for line in lines]
        if self._language is None or not ids:
            return None
        return float(-self._language.likelihoods(ids).mean() / np.log(2))

    def dictionary_words(self, text: str) -> float | None:
        """Share of the words of two or more letters that are in the list; None if there is no list or no word."""
        words = _WORD.findall(text.lower().replace("’", "'"))
        if not self._words or not words:
            return None
        return sum(word in self._words for word in words) / len(words)


_WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)?")


def read_words(folder: Path) -> frozenset[str]:
    """The word list of the bundle in `folder`; empty if it has none."""
    file = folder / WORDS
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()


def image_statistics(gray: Gray) -> dict[str, float]:
    """Statistics of a page as returned by `images.load_image`: (H, W) uint8, dark on light."""
    height, width = gray.shape
    found = {"width": float(width), "height": float(height)}
    scale = min(1.0, (SAMPLED / gray.size) ** 0.5)
    small = gray
    if scale < 1:
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        every = max(1, int(0.5 / scale))  # skip down to twice the size; averaging the rest costs more
        small = np.asarray(cv2.resize(gray[::every, ::every], size, interpolation=cv2.INTER_AREA), np.uint8)
    paper = _paper(small)
    found["brightness"] = float(np.median(paper[::4, ::4])) / 255
    darker = np.asarray(cv2.subtract(paper, small), np.uint8)
    counts = _histogram(darker)
    darkest = int(np.searchsorted(np.cumsum(counts), 0.998 * darker.size))
    least = max(INK_LEAST, round(INK_SHARE * darkest))
    ink = int(counts[least:].sum())
    found["ink_share"] = ink / darker.size
    if ink < INKED * darker.size:
        return found
    contrast = float(np.arange(least, 256) @ counts[least:]) / ink / 255
    found["contrast"] = contrast
    # Along every nth row at full size: scaling down would sharpen a blurred page.
    rows = gray[:: max(1, gray.size // SAMPLED)]
    steps = _histogram(np.asarray(cv2.absdiff(rows[:, 1:], rows[:, :-1]), np.uint8))
    steepest = int(np.searchsorted(np.cumsum(steps), 0.995 * steps.sum()))
    found["sharpness"] = steepest / 255 / contrast
    return found


def _histogram(values: Gray) -> NDArray[np.int64]:
    """The count of each value from 0 to 255, (256,)."""
    # About SAMPLED values at most, so OpenCV's 32-bit float counts are exact.
    return np.asarray(cv2.calcHist([values], [0], None, [256], [0, 256]).ravel(), np.int64)


def _paper(small: Gray) -> Gray:
    """The page without its writing, (H, W) like `small`: a median filter, applied at an eighth of the size."""
    height, width = small.shape
    size = (max(1, width // 8), max(1, height // 8))
    low = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    low = cv2.medianBlur(cv2.dilate(low, np.ones((3, 3), np.uint8)), 5)
    return np.asarray(cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def page_statistics(page: Page, wording: Wording) -> dict[str, float]:
    """Statistics of the recognised text."""
    lines = [line.text for line in page.lines]
    text = "\n".join(lines)
    signs = "".join(text.split())
    found: dict[str, float | None] = {"lines": float(len(lines)), "characters": float(sum(map(len, lines)))}
    confidences = [line.confidence for line in page.lines]
    if confidences:
        found["confidence"] = float(np.mean(confidences))
        found["confidence_least"] = float(min(confidences))
        found["line_height"] = float(np.median([_height(line.polygon) for line in page.lines]))
        found["bits_per_character"] = wording.bits_per_character(lines)
    words = [word.confidence for line in page.lines for word in line.words]
    if words:
        found["doubtful_words"] = sum(confidence < DOUBTFUL for confidence in words) / len(words)
        found["dictionary_words"] = wording.dictionary_words(text)
    if signs:
        found["other_characters"] = sum(not sign.isalnum() for sign in signs) / len(signs)
    runs = len(text) - RUN + 1
    if runs > 0:
        found["repetition"] = 1 - len({text[i : i + RUN] for i in range(runs)}) / runs
    return {name: value for name, value in found.items() if value is not None and np.isfinite(value)}


def _height(polygon: Polygon) -> float:
    """The height of a line in pixels: the area of its outline divided by its longest extent."""
    points = np.asarray(polygon, np.float32)
    if len(points) < 3:
        return 0.0
    (_, (a, b), _) = cv2.minAreaRect(points)
    return float(cv2.contourArea(points) / max(1.0, a, b))


def named(statistics: Mapping[str, float]) -> dict[str, float]:
    """The statistics that are in `FEATURES`, in that order."""
    return {f.name: float(statistics[f.name]) for f in FEATURES if f.name in statistics}
