"""Read the published UNIPEN train_r01_v07 distribution into pen strokes of known writers.

Data: Zenodo, doi 10.5281/zenodo.1195803, CC BY 4.0. Its format: `unipen_format`.

A writer's ink is stored in units of that writer's x-height, with y down and the baseline at y = 0. So words of one
writer can be set side by side, whatever their tablets and resolutions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import lzma
import re
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.unipen_format import (
    CHARACTER_CATEGORIES,
    TEXT_CATEGORIES,
    RawSegment,
    distribution_root,
    read_segments,
)

log = logging.getLogger(__name__)

# The distribution with that repository's parsing patches; the commit fixes the content.
ARCHIVE_URL = "https://github.com/GreenCappuccino/train_r01_v07/archive/552a4d440bc9.tar.gz"
# SHA-256 of each donor's files. Archives of the same content differ in their bytes, so check the content.
CONTENT_LOCK = Path(__file__).with_name("unipen.lock.json")
# Some known copies lack a few files. If more donors differ, it is another data set.
DONORS_THAT_MAY_DIFFER = 3

HELDOUT_LIST = Path(__file__).with_name("heldout_writers.txt")
BROKEN_LIST = Path(__file__).with_name("heldout_broken.txt")

UNITS_PER_X_HEIGHT = 256  # the cache stores int16 points: ±128 x-heights in steps of 1/256
_ASCENDERS = frozenset("bdfhklt0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?&%$#@()[]{}/\\|€£\"'’“”")
_DESCENDERS = frozenset("gjpqyQ()[]{}/\\|")
# Letters that hang below the baseline in some hands and stand on it in others.
_MAY_DESCEND = frozenset("fz")
_X_HEIGHT_LETTERS = frozenset("acemnorsuvwxz")

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Ink:
    """Pen strokes of one line or less. Unit: the writer's x-height; x right, y down, baseline at y = 0."""

    text: str
    strokes: tuple[Points, ...]  # each (n, 2) float32

    @property
    def width(self) -> float:
        return max((float(s[:, 0].max()) for s in self.strokes), default=0.0)


@dataclass(frozen=True)
class Writer:
    """A hand: its words and phrases, and its isolated characters."""

    id: str
    inks: tuple[Ink, ...]
    chars: dict[str, tuple[Ink, ...]] = field(default_factory=dict)


def _expected_height(text: str) -> float:
    """The height of a word's ink in x-heights, from its letters (ascenders reach 0.9, descenders 0.75)."""
    height = 1.0
    if any(c in _ASCENDERS for c in text):
        height += 0.9
    if any(c in _DESCENDERS for c in text):
        height += 0.75
    return height


def _bottoms(strokes: list[Points], x_height: float) -> NDArray[np.float32]:
    """Local low points of the pen, (n, 2), where letters touch the baseline or descenders turn."""
    found = []
    for stroke in strokes:
        if len(stroke) < 3:
            continue
        y = stroke[:, 1]
        reach = 0.15 * x_height
        index, rising, low = 0, False, 0
        # A turn counts if the pen climbs by `reach` after it; smaller wiggles are sensor noise.
        for index in range(1, len(y)):
            if y[index] >= y[low]:
                low, rising = index, True
            elif rising and y[low] - y[index] > reach:
                found.append(stroke[low])
                rising = False
                low = index
            elif not rising and y[index] < y[low]:
                low = index
        if rising and low == len(y) - 1:
            found.append(stroke[low])
    return np.asarray(found, dtype=np.float32).reshape(-1, 2)


def fit_baseline(strokes: list[Points], text: str, x_height: float) -> tuple[float, float]:
    """Slope and offset of the baseline y = slope · x + offset, by a vote of low points that outvotes descenders."""
    points = np.concatenate(strokes)
    bottom = float(points[:, 1].max())
    descends = any(c in _DESCENDERS for c in text)
    may_descend = descends or any(c in _MAY_DESCEND for c in text)
    if not may_descend and np.ptp(points[:, 0]) < 6 * x_height:
        if text[-1:] in ",;" and len(strokes) > 1:
            bottom = float(np.concatenate(strokes[:-1])[:, 1].max())
        return 0.0, bottom
    lows = _bottoms(strokes, x_height)
    if len(lows) < 2:
        return 0.0, bottom - (0.75 * x_height if descends else 0.0)
    best, best_votes = (0.0, float(np.median(lows[:, 1]))), -1.0
    wide = np.ptp(lows[:, 0]) > 6 * x_height
    for slope in np.linspace(-0.12, 0.12, 25) if wide else (0.0,):
        offsets = lows[:, 1] - slope * lows[:, 0]
        votes = np.exp(-(((offsets[:, None] - offsets[None]) / (0.12 * x_height)) ** 2)).sum(0)
        # If two votes are equal, the upper one is the baseline and the lower one a row of descenders.
        winner = int(np.argmax(votes - 1e-3 * (offsets - offsets.min()) / x_height))
        if votes[winner] - 2 * abs(slope) > best_votes:
            best_votes = votes[winner] - 2 * abs(slope)
            near = offsets[np.abs(offsets - offsets[winner]) < 0.2 * x_height]
            best = (float(slope), float(near.mean()))
    return best


def _returns_to_margin(strokes: list[Points]) -> bool:
    """Whether the pen returns to the left and down, as after a line, so that the segment has several lines."""
    points = np.concatenate(strokes)
    width, height = np.ptp(points, axis=0)
    if len(strokes) < 6 or width <= 0:
        return False
    centres = np.asarray([[s[:, 0].mean(), s[:, 1].mean()] for s in strokes])
    for k in range(2, len(strokes) - 2):
        jump = centres[k - 1, 0] - centres[k, 0]
        if jump > 0.35 * width and (
            np.median(centres[k : k + 5, 1]) - np.median(centres[max(0, k - 5) : k, 1]) > 0.3 * height
        ):
            return True
    return False


def _normalise(segment: RawSegment, x_height: float) -> Ink | None:
    if _returns_to_margin(segment.strokes):
        return None
    slope, offset = fit_baseline(segment.strokes, segment.text, x_height)
    left = min(float(s[:, 0].min()) for s in segment.strokes)
    out = []
    for stroke in segment.strokes:
        x = (stroke[:, 0] - left) / x_height
        y = (stroke[:, 1] - slope * stroke[:, 0] - offset) / x_height
        line = np.stack([x, y], axis=1).astype(np.float32)
        # 0.02 x-heights are less than half a pixel at every size we render.
        line = np.asarray(cv2.approxPolyDP(line.reshape(-1, 1, 2), 0.02, False), np.float32).reshape(-1, 2)
        if np.abs(line).max() > 120:
            return None
        out.append(line)
    ink = Ink(segment.text, tuple(out))
    points = np.concatenate(out)
    if points[:, 1].min() < -4.2 or points[:, 1].max() > 2.6:  # more than one line, or stray marks
        return None
    length = sum(float(np.linalg.norm(np.diff(s, axis=0), axis=1).sum()) for s in out)
    letters = len(segment.text.replace(" ", ""))
    # Ink length and width per letter reveal scribbles, strike-outs and labels without their ink.
    if not 0.5 < length / letters < 14 or not 0.2 < ink.width / letters < 4.5:
        return None
    return ink


def _estimate_x_height(segments: list[RawSegment]) -> float | None:
    plain, any_word = [], []
    for segment in segments:
        if len(segment.text) > 24 or segment.text.count(" ") > 2:
            continue
        if _returns_to_margin(segment.strokes):
            continue  # several lines, which `_normalise` leaves out
        height = float(np.ptp(np.concatenate(segment.strokes)[:, 1]))
        letters = set(segment.text) - {" "}
        if letters <= _X_HEIGHT_LETTERS and len(segment.text) >= 2:
            plain.append(height)
        elif segment.category in TEXT_CATEGORIES and len(segment.text) >= 2:
            any_word.append(height / _expected_height(segment.text))
    if len(plain) >= 5:
        return float(np.median(plain)) * 0.92  # the tallest letter of a word sets its height
    values = plain + any_word
    if len(values) >= 5:
        return float(np.median(values)) * 0.95
    # Only long lines, for which the spread of the ink about its middle is about an x-height.
    segments = [s for s in segments if not _returns_to_margin(s.strokes)] or segments
    spreads = [float(np.subtract(*np.percentile(np.concatenate(s.strokes)[:, 1], [85, 15]))) for s in segments]
    return float(np.median(spreads)) if spreads else None


def fetch_unipen(folder: Path) -> Path:
    """Download the public archive into `folder` and return its path; `prepare_unipen` checks its content."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "unipen-train_r01_v07.tar.gz"
    partial = target.with_suffix(".part")
    with urllib.request.urlopen(ARCHIVE_URL, timeout=60) as answer, partial.open("wb") as out:
        while block := answer.read(1 << 20):
            out.write(block)
    partial.rename(target)
    return target


def content_digests(root: Path) -> dict[str, str]:
    """SHA-256 of the names and contents of each donor's files in a distribution."""
    root = distribution_root(root)
    digests = {}
    for donor in sorted(p.name for p in (root / "include").iterdir() if p.is_dir()):
        digest = hashlib.sha256()
        for file in sorted(
            f for base in (root / "include", *sorted((root / "data").iterdir())) for f in (base / donor).rglob("*")
        ):
            if file.is_file():
                digest.update(file.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        digests[donor] = digest.hexdigest()
    return digests


def check_content(root: Path) -> None:
    """Raise ValueError if the distribution at `root` is not the published one."""
    expected: dict[str, str] = json.loads(CONTENT_LOCK.read_text())
    found = content_digests(root)
    differing = sorted(d for d in expected if found.get(d) != expected[d])
    if len(differing) > DONORS_THAT_MAY_DIFFER:
        raise ValueError(
            f"{root} is not UNIPEN train_r01_v07 as published: {len(differing)} of {len(expected)} donors differ by "
            f"sha256 ({', '.join(differing[:5])}, …): download it again."
        )
    if differing:
        log.warning("UNIPEN: files of %s differ from the known copy; going on", ", ".join(differing))


def prepare_unipen(archive_or_folder: Path, cache: Path, check: bool = True) -> int:
    """Parse a distribution (archive or unpacked folder) into the compact `cache` (.npz). Returns the number of inks.

    With `check`, raises ValueError if the content differs from the published distribution.
    """
    if archive_or_folder.is_file():
        with tempfile.TemporaryDirectory() as scratch:
            try:
                with tarfile.open(archive_or_folder) as tar:
                    tar.extractall(scratch, filter="data")
            except (tarfile.TarError, EOFError, lzma.LZMAError) as error:
                raise ValueError(f"{archive_or_folder} can't be unpacked ({error}): download it again.") from error
            if check:
                check_content(Path(scratch))
            segments = read_segments(Path(scratch))
    else:
        if check:
            check_content(archive_or_folder)
        segments = read_segments(archive_or_folder)

    by_writer: dict[str, list[RawSegment]] = defaultdict(list)
    for segment in segments:
        by_writer[segment.writer].append(segment)
    points: list[NDArray[np.int16]] = []
    stroke_lengths: list[int] = []
    ink_strokes: list[int] = []
    texts: list[str] = []
    writers: list[str] = []
    is_char: list[bool] = []
    dropped = 0
    for writer in sorted(by_writer):
        # A person who wrote for two donors used two tablets.
        x_heights = {
            donor: _estimate_x_height([s for s in by_writer[writer] if s.donor == donor])
            for donor in sorted({s.donor for s in by_writer[writer]})
        }
        for segment in by_writer[writer]:
            x_height = x_heights[segment.donor]
            ink = _normalise(segment, x_height) if x_height and np.isfinite(x_height) else None
            if ink is None:
                dropped += 1
                continue
            for stroke in ink.strokes:
                points.append(np.round(stroke * UNITS_PER_X_HEIGHT).astype(np.int16))
                stroke_lengths.append(len(stroke))
            ink_strokes.append(len(ink.strokes))
            texts.append(ink.text)
            writers.append(writer)
            is_char.append(segment.category in CHARACTER_CATEGORIES)
    log.info("UNIPEN: %d inks of %d writers kept, %d dropped", len(texts), len(set(writers)), dropped)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        cache,
        points=np.concatenate(points),
        stroke_lengths=np.asarray(stroke_lengths, np.int32),
        ink_strokes=np.asarray(ink_strokes, np.int32),
        texts=np.asarray(texts),
        writers=np.asarray(writers),
        is_char=np.asarray(is_char),
    )
    return len(texts)


def heldout_writers() -> frozenset[str]:
    """Writers that are never rendered for training, from the committed list."""
    return frozenset(
        line.strip() for line in HELDOUT_LIST.read_text().splitlines() if line.strip() and not line.startswith("#")
    )


def broken_inks() -> frozenset[str]:
    """Ids of held-out inks that are no fair test: the label differs from the writing, or the ink is damaged.

    Raises ValueError if a line of the committed list is not an id and a reason.
    """
    ids = set()
    for number, line in enumerate(BROKEN_LIST.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not re.fullmatch(r"[0-9a-f]{12} [a-z-]+", line):
            raise ValueError(
                f"{BROKEN_LIST}, line {number}: expected an id of 12 hex digits and a reason, not {line!r}."
            )
        ids.add(line[:12])
    return frozenset(ids)


def ink_id(writer: str, ink: Ink) -> str:
    """The id of an ink, from its content: its writer, its label and its points in the cache."""
    digest = hashlib.sha256(f"{writer}\0{ink.text}\0".encode())
    for stroke in ink.strokes:
        digest.update(np.round(stroke * UNITS_PER_X_HEIGHT).astype("<i2").tobytes())
    return digest.hexdigest()[:12]


def _load_cache(cache: Path) -> dict[str, Any]:
    names = ("points", "stroke_lengths", "texts", "writers", "ink_strokes", "is_char")
    try:
        with np.load(cache, allow_pickle=False) as held:
            return {name: held[name] for name in names}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataInvalid(
            f"{cache} is damaged, or was not made by 'train data prepare' ({type(error).__name__}): make it again "
            f"with 'text-recognizer train data prepare --download --output {cache}'."
        ) from error


def load_writers(cache: Path, split: Literal["train", "heldout", "all"], broken: bool = False) -> list[Writer]:
    """Load the writers of a split, sorted by id, from the cache made by `prepare_unipen`.

    For "heldout", the `broken_inks` are left out, unless `broken`. Raises FileNotFoundError, and DataInvalid if the
    file is damaged or something else.
    """
    if not cache.is_file():
        raise FileNotFoundError(
            f"{cache} is not there: make it with 'text-recognizer train data prepare --download --output {cache}'."
        )
    held = heldout_writers()
    left_out = broken_inks() if split == "heldout" and not broken else frozenset()
    data = _load_cache(cache)
    points = data["points"].astype(np.float32) / UNITS_PER_X_HEIGHT
    strokes = np.split(points, np.cumsum(data["stroke_lengths"])[:-1])
    inks: dict[str, list[Ink]] = defaultdict(list)
    chars: dict[str, dict[str, list[Ink]]] = defaultdict(lambda: defaultdict(list))
    found: set[str] = set()
    start = 0
    columns = (data[name].tolist() for name in ("texts", "writers", "ink_strokes", "is_char"))
    for text, writer, count, is_char in zip(*columns, strict=True):
        end = start + count
        if split == "all" or (writer in held) == (split == "heldout"):
            ink = Ink(text, tuple(strokes[start:end]))
            if left_out and (name := ink_id(writer, ink)) in left_out:
                found.add(name)
            else:
                (chars[writer][text] if is_char else inks[writer]).append(ink)
        start = end
    if missing := len(left_out - found):
        # Ids depend on points, so they change with the parsing or with OpenCV's simplification.
        log.warning("UNIPEN: %d of %d inks of %s are not in %s", missing, len(left_out), BROKEN_LIST.name, cache)
    return [
        Writer(w, tuple(inks[w]), {c: tuple(v) for c, v in chars[w].items()})
        for w in sorted(inks.keys() | chars.keys())
    ]
