"""Lines of a user's own set, cropped from their pages as `evaluate` crops them, and their validation split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import ImageRejected
from text_recognizer.evaluation.truth import EvaluationSet
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.synthesis.sources.text import normalise_text

By = Literal["page", "writer"]


@dataclass(frozen=True)
class OwnLine:
    """A line cropped from its page: grey image (H, W) uint8, dark on light, and its text."""

    image: NDArray[np.uint8]
    text: str
    page: str
    writer: str


@dataclass
class OwnLines:
    """The lines of a set that can be trained on, and the samples that cannot."""

    lines: list[OwnLine] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)  # characters outside the alphabet


def cut_lines(data: EvaluationSet, height: int, alphabet: str, max_characters: int) -> OwnLines:
    """Crop the lines of `data` by their polygons (whole images if there are none) at `height` pixels.

    `skipped` lists samples that cannot be trained on: rejected images, pages whose lines have no position, lines
    without text or area. Characters outside `alphabet` are counted; their lines stay.
    """
    own = OwnLines(skipped=list(data.skipped))
    for page in data.pages:
        if not page.lines:
            own.skipped.append(f"{page.image.name}: a transcript whose lines have no position on the page")
            continue
        try:
            gray = load_image(page.image).gray
        except ImageRejected as error:
            own.skipped.append(f"{page.image.name}: {error}")
            continue
        for number, line in enumerate(page.lines, 1):
            text = normalise_text(line.text, alphabet)
            if not line.counts:
                continue
            if not 0 < len(text) <= max_characters:
                reason = f"more than {max_characters} characters" if text else "no text"
                own.skipped.append(f"{page.image.name}:{number}: {reason}")
                continue
            crop = crop_line(gray, line.polygon or line_polygon(gray), line.baseline, height)
            if crop.shape[1] < 2:
                own.skipped.append(f"{page.image.name}:{number}: no area within the page")
                continue
            own.unknown.update(c for c in text if c not in alphabet)
            own.lines.append(OwnLine(crop, text, str(page.image), page.writer))
    return own


def hold_out(
    lines: Sequence[OwnLine], share: float = 0.15, by: By = "page", seed: int = 1
) -> tuple[list[OwnLine], list[OwnLine]]:
    """Split into training lines and about `share` validation lines; a page (or writer) is never divided.

    If the pages are too few or too large for that, it draws single lines.
    """
    wanted = max(1, round(share * len(lines)))
    sizes = Counter(getattr(line, by) for line in lines)
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    total = 0
    for name in rng.permutation(sorted(sizes)):
        if total + sizes[name] <= 1.5 * wanted and total < wanted:
            held.add(str(name))
            total += sizes[name]
    if total < 0.5 * wanted:
        drawn = set(rng.choice(len(lines), wanted, replace=False).tolist())
    else:
        drawn = {i for i, line in enumerate(lines) if getattr(line, by) in held}
    train = [line for i, line in enumerate(lines) if i not in drawn]
    return train, [line for i, line in enumerate(lines) if i in drawn]
