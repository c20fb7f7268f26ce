"""The reference of a bundle for monitoring: statistics of pages that its model reads well, and frequent words.

Monitoring compares the readings of a service with this reference (docs/review/monitoring.md).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from text_recognizer.feedback.statistics import WORDS, Wording, image_statistics, page_statistics
from text_recognizer.images import load_image
from text_recognizer.monitoring.reference import FORMAT, REFERENCE
from text_recognizer.page import MODES, Mode
from text_recognizer.reader import Reader
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.page import RenderedPage, render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.everyday import built_in_prose
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts
from text_recognizer.synthesis.sources.text import WEIGHTS, TextSource
from text_recognizer.training.finder_lit import page_hands

SEED = 20_261_125
# Share of pages by held-out writers if there are fonts too. Few writers have running text, and if one of them wrote
# every sixth page, the reference would describe that writer.
FIRST = 1 / 3
X_HEIGHTS = (20.0, 34.0)  # pixels, as in the evaluation set of pages

# The word list: least count of a word, most words, most bytes.
LEAST, MOST, BYTES = 3, 30_000, 300_000
# The words of old corpora count for less, or old words would fill the list.
OLD = ("bible", "older")


def reference_hands(unipen: Path, fonts: Path | None = None, others: bool = False) -> list[list[Hand | HandFont]]:
    """Hands that can write running text: held-out writers with all letters, and handwriting fonts.

    It returns every second hand of each kind; with `others`, the rest, to test monitoring with hands outside the
    reference. If no writer has enough letters, it uses writers of words; a kind without hands is left out. Most
    held-out writers wrote only single words, and pages of these would show a language that nobody writes.
    """
    writers = page_hands(unipen, "heldout")
    pens = [hand for hand in writers if hand.can_print] or writers
    faces = [font for font in load_fonts(fonts) if font.kind != "printed"] if fonts is not None else []
    kinds: list[list[Hand | HandFont]] = [list(kind[int(others) :: 2]) for kind in (pens, faces)]
    return [kind for kind in kinds if kind]


def render_pages(
    kinds: Sequence[Sequence[Hand | HandFont]], text: TextSource, count: int, seed: int = SEED
) -> Iterator[tuple[str, RenderedPage]]:
    """Yield `count` pages like the evaluation set's, on paper and photographed, each with the name of its hand.

    If there are two kinds, the first writes the share `FIRST` of the pages. Hands of a kind write about equally many.
    """
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        style = PageStyle.sample(rng, float(rng.uniform(*X_HEIGHTS)))
        kind = kinds[0] if rng.random() < FIRST else kinds[-1]
        hand = kind[int(rng.integers(len(kind)))]
        name = hand.id if isinstance(hand, Hand) else hand.name
        yield name, render_page(hand, rng, style, text, variation=0.0)


def numbers_of(
    reader: Reader, wording: Wording, rgb: NDArray[np.uint8], modes: Sequence[Mode] = MODES
) -> dict[Mode, dict[str, float]]:
    """The statistics that the service would record for a page (H, W, 3) uint8, in each mode."""
    image = load_image(rgb)
    of_image = image_statistics(image.gray)
    laid_out = reader.lay_out(image)
    found = {}
    for mode in modes:
        readings = reader.recognizer.in_language(laid_out.language).read_lines(laid_out.crops, mode, only_writing=True)
        page = laid_out.page((laid_out.line(i, reading) for i, reading in enumerate(readings)), reader.model)
        found[mode] = of_image | page_statistics(page, wording)
    return found


def make_reference(
    reader: Reader,
    unipen: Path,
    fonts: Path | None,
    texts: Path | None,
    pages: int,
    words: frozenset[str],
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Statistics of rendered pages, read in both modes, in the form of `reference.json`."""
    wording = Wording(reader.recognizer.alphabet, reader.recognizer.language, words)
    kinds = reference_hands(unipen, fonts)
    values: dict[str, dict[str, list[float]]] = {mode: {} for mode in MODES}
    for number, (_, page) in enumerate(render_pages(kinds, TextSource(texts), pages)):
        for mode, numbers in numbers_of(reader, wording, page.rgb).items():
            for name, value in numbers.items():
                values[mode].setdefault(name, []).append(float(f"{value:.4g}"))
        if (number + 1) % 50 == 0:
            report(f"reference: {number + 1} of {pages} pages read")
    return {
        "format": FORMAT,
        "made": {
            "how": "rendered pages of running text (training/reference.py), read by this model",
            "pages": pages,
            "writers": sum(isinstance(hand, Hand) for kind in kinds for hand in kind),
            "fonts": sum(isinstance(hand, HandFont) for kind in kinds for hand in kind),
            "seed": SEED,
        },
        "modes": values,
    }


def write_reference(folder: Path, reference: dict[str, Any]) -> None:
    """Write `reference.json` into a bundle's folder."""
    text = json.dumps(reference, separators=(",", ":"), allow_nan=False)
    (folder / REFERENCE).write_text(text + "\n", encoding="utf-8")


_WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)?")


def frequent_words(texts: Path | None) -> list[str]:
    """Words of the training texts in lower case, the most frequent first, within the limits above.

    Without texts, the words of the built-in wording.
    """
    counts: defaultdict[str, float] = defaultdict(float)
    for name in WEIGHTS:
        file = texts / f"{name}.txt" if texts is not None else None
        if file is not None and file.is_file():
            found = Counter(_WORD.findall(file.read_text(encoding="utf-8").lower().replace("’", "'")))
            for word, count in found.items():
                counts[word] += count / 4 if name in OLD else count
    if not counts:
        counts.update(Counter(_WORD.findall(built_in_prose().lower())))
    kept: list[str] = []
    size = 0
    for word, weight in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]:
        size += len(word.encode()) + 1
        if weight < LEAST or size > BYTES:
            break
        kept.append(word)
    return kept


def write_words(folder: Path, words: Iterable[str]) -> None:
    """Write the word list into a bundle's folder, in alphabetical order."""
    (folder / WORDS).write_text("\n".join(sorted(words)) + "\n", encoding="utf-8")
