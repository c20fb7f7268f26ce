"""Real handwritten lines with transcripts, in a compact form, as a third source next to pen strokes and fonts.

A folder of real lines contains

- `lines.jsonl.xz` (or `lines.jsonl`): one record a line, an object with `split` ("train" may be trained on), `hand`
  (the writer), `text` and `at` = [offset, length] of its image in the other file. Other fields are free: set, page,
  licence.
- `lines64.bin`: the concatenated images, each a complete picture file (WebP, PNG, JPEG), grey, 64 px high, dark on
  light, cropped as a line finder crops lines.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.text import normalise_text

RECORDS = ("lines.jsonl.xz", "lines.jsonl")
IMAGES = "lines64.bin"


@dataclass(frozen=True)
class RealLine:
    """A record: the writer of the line, its text in the recogniser's characters, and the position of its image."""

    hand: str
    text: str
    offset: int
    length: int


class RealLines:
    """Lines of a split, drawn by hand.

    The probability of a hand is proportional to the square root of its number of lines. In proportion to lines, a few
    clerks who filled whole registers would dominate; with equal probability, hands with few lines would repeat too
    often.

    Args:
        folder: as described in this module.
        split: of the records to take.
        alphabet: lines with other characters are left out, and counted in `left_out`.
        longest: most characters of a line; longer lines are left out too.

    Raises DataInvalid if files are missing or damaged, or if no line is left.
    """

    def __init__(self, folder: Path, split: str = "train", alphabet: str = ALPHABET, longest: int = 240) -> None:
        self.file = folder / IMAGES
        known = frozenset(alphabet)
        self.lines: list[RealLine] = []
        self.left_out = 0
        for record in _records(folder):
            if record.get("split") != split:
                continue
            try:
                text = normalise_text(str(record["text"]), alphabet)
                place: Any = record["at"]
                offset, length = int(place[0]), int(place[1])
                hand = str(record["hand"])
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise DataInvalid(f"a record of {folder} lacks text, hand or place ({error}): {record}") from error
            if 0 < len(text) <= longest and known.issuperset(text):
                self.lines.append(RealLine(hand, text, offset, length))
            else:
                self.left_out += 1
        if not self.lines:
            raise DataInvalid(f"{folder} holds no line of the split '{split}' that can be used.")
        if not self.file.is_file() or self.file.stat().st_size < max(r.offset + r.length for r in self.lines):
            raise DataInvalid(f"{self.file} is missing or shorter than its records say: fetch it again.")
        # Memory-mapped, so that processes share it.
        self._data = np.memmap(self.file, np.uint8, "r")
        self.hands: dict[str, list[RealLine]] = {}
        for line in self.lines:
            self.hands.setdefault(line.hand, []).append(line)
        self._by_hand: Sequence[list[RealLine]] = [self.hands[h] for h in sorted(self.hands)]
        self._cumulative = np.cumsum(np.sqrt([len(lines) for lines in self._by_hand]))

    def image(self, line: RealLine) -> NDArray[np.uint8]:
        """Grey picture (H, W) uint8 of a line, dark on light. Raises DataInvalid if it is damaged."""
        data = self._data[line.offset : line.offset + line.length].tobytes()
        try:
            with Image.open(io.BytesIO(data)) as picture:
                return np.asarray(picture.convert("L"), np.uint8)
        except (OSError, UnidentifiedImageError) as error:
            raise DataInvalid(f"{self.file}, {line.length} bytes at {line.offset}: no picture ({error}).") from error

    def sample(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
        """Draw a line: its grey image (H, W) uint8 as scanned, and its text."""
        at = int(np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1]))
        lines = self._by_hand[min(at, len(self._by_hand) - 1)]
        line = lines[int(rng.integers(len(lines)))]
        return self.image(line), line.text


def _records(folder: Path) -> list[dict[str, object]]:
    file = next((folder / name for name in RECORDS if (folder / name).is_file()), None)
    if file is None:
        raise DataInvalid(
            f"{folder} holds no {RECORDS[0]}: docs/learn/training.md says what belongs into such a folder."
        )
    try:
        data = file.read_bytes()
        text = (lzma.decompress(data) if file.suffix == ".xz" else data).decode()
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise DataInvalid(f"{file} can't be read ({type(error).__name__}: {error}): fetch it again.") from error
