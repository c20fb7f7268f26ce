"""Read the published UNIPEN train_r01_v07 distribution into pen strokes of known writers.

Format: "UNIPEN 1.0 Format Definition" (Guyon, Schomaker, Plamondon, Liberman, Janet, ICPR 1994,
doi 10.1109/ICPR.1994.576870). Data: Zenodo, doi 10.5281/zenodo.1195803, CC BY 4.0.

A writer's ink is stored in that writer's own unit, the x-height, with y down and the baseline at y = 0, so
that words of one writer can be set side by side without looking at tablets and resolutions again.
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

log = logging.getLogger(__name__)

# The distribution with the parsing patches of that repository; the commit fixes the content.
ARCHIVE_URL = "https://github.com/GreenCappuccino/train_r01_v07/archive/552a4d440bc9.tar.gz"
# sha256 of each donor's files. Archives of one content differ in their bytes, so the content is what is checked.
CONTENT_LOCK = Path(__file__).with_name("unipen.lock.json")
# Copies are known that lack a few files; more donors that differ are another data set.
DONORS_THAT_MAY_DIFFER = 3

# German, partly Dutch, random letters, program code, segmentation marks in the labels.
EXCLUDED_DONORS = frozenset({"abm", "atu", "sie", "nic", "lav", "att", "kai"})
# Word lists written in columns inside one segment: their text segments are not lines.
COLUMN_DONORS = frozenset({"apb", "apc", "apd", "ape"})
TEXT_CATEGORIES = ("7", "8")
CHARACTER_CATEGORIES = ("1a", "1b", "1c", "1d")

# Donors that share people: one person must not be in training under one donor and held out under another.
_FAMILIES = {"ce": ("cea", "ceb", "cec", "ced", "cee"), "ap": ("apa", "apb", "apc", "apd", "ape", "app"),
             "hp": ("hpb", "hpp", "sta"), "bb": ("bba", "bbb", "bbc", "bbd")}  # fmt: skip
_FAMILY_OF = {donor: family for family, donors in _FAMILIES.items() for donor in donors}

HELDOUT_LIST = Path(__file__).with_name("heldout_writers.txt")
BROKEN_LIST = Path(__file__).with_name("heldout_broken.txt")

UNITS_PER_X_HEIGHT = 256  # the cache holds int16 points: ±128 x-heights at 1/256 x-height
_ASCENDERS = frozenset("bdfhklt0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?&%$#@()[]{}/\\|€£\"'’“”")
_DESCENDERS = frozenset("gjpqyQ()[]{}/\\|")
# Letters that some hands hang below the baseline and others set on it.
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
    """One hand: its words and phrases, and its isolated characters."""

    id: str
    inks: tuple[Ink, ...]
    chars: dict[str, tuple[Ink, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _RawSegment:
    writer: str
    donor: str
    category: str
    text: str
    strokes: list[Points]  # tablet units, aspect corrected, y down


# --------------------------------------------------------------------------------------------------- parsing


def _read_components(path: Path) -> tuple[list[tuple[bool, Points]], dict[str, str], float]:
    """Pen components of one data file: (is pen down, (n, 2) points with y down), header words, x/y aspect."""
    header: dict[str, str] = {}
    components: list[tuple[bool, Points]] = []
    current: list[tuple[float, float]] | None = None
    down = False
    x_column, y_column = 0, 1

    def close() -> None:
        # Blocks without points are not components: counting them shifts every label behind them.
        if current:
            components.append((down, np.asarray(current, dtype=np.float32)))

    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("."):
            key, _, value = line[1:].partition(" ")
            key = key.strip()
            if key in ("PEN_DOWN", "PEN_UP"):
                close()
                current, down = [], key == "PEN_DOWN"
            else:
                # Any other keyword but a time stamp ends the block.
                if key not in ("DT", "COMMENT"):
                    close()
                    current = None
                if key == "COORD":
                    names = value.split()
                    if "X" in names and "Y" in names:
                        x_column, y_column = names.index("X"), names.index("Y")
                elif value.strip():
                    header.setdefault(key, value.strip())
        elif current is not None:
            numbers = line.split()
            if len(numbers) > max(x_column, y_column):
                try:
                    current.append((float(numbers[x_column]), -float(numbers[y_column])))
                except ValueError:
                    continue
    close()
    aspect = 1.0
    for unit in ("INCH", "MM"):
        try:
            aspect = float(header[f"X_POINTS_PER_{unit}"].split()[0]) / float(header[f"Y_POINTS_PER_{unit}"].split()[0])
            break
        except (KeyError, ValueError, ZeroDivisionError, IndexError):
            continue
    return components, header, aspect


_SEGMENT = re.compile(r'^\.SEGMENT\s+(\S+)\s+([\d:,\-\s]+?)\s+(\S+)\s+"(.*)"\s*$')
_RANGE = re.compile(r"(\d+)(?::(\d+))?(?:-(\d+)(?::(\d+))?)?")


def _select(components: list[tuple[bool, Points]], delineation: str) -> list[Points] | None:
    """Pen-down strokes named by a delineation such as `3-7`, `4:10-6:3` or `1,3-5`; None if it is out of range."""
    strokes: list[Points] = []
    for part in delineation.replace(" ", "").split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return None
        first, first_point, last, last_point = match.groups()
        begin, end = int(first), int(last if last is not None else first)
        if end >= len(components) or begin > end:
            return None
        for index in range(begin, end + 1):
            is_down, points = components[index]
            if not is_down:
                continue
            low = int(first_point) if index == begin and first_point is not None else 0
            high = int(last_point) + 1 if index == end and last_point is not None else len(points)
            if len(points[low:high]):
                strokes.append(points[low:high])
    return strokes


def writer_id(donor: str, name: str) -> str:
    """Anonymous, stable id of the person behind a donor's writer name (the data's owners ask to name nobody)."""
    family = _FAMILY_OF.get(donor, donor)
    person = name.lower().removesuffix(".dat")
    if family == "ce" and (number := re.search(r"\d{3,}", person)):
        person = number[0]  # the same number comes back under several abbreviations
    elif family == "hp":
        person = re.sub(r"\d+$", "", re.sub(r"^hpb\d-", "", person))
    elif family == "ap":
        person = re.sub(r"^text|split$|[^a-z]", "", person)
    elif family == "kar":
        person = person.split("_")[0]
    elif re.fullmatch(r"[a-z]{3,}\d{1,2}", person) and not person.startswith(("writer", "eng")):
        person = person.rstrip("0123456789")  # two sessions of one person
    return f"{family}-{hashlib.sha256(f'{family}/{person}'.encode()).hexdigest()[:10]}"


def clean_label(label: str, donor: str = "") -> str:
    r"""Undo the label's escapes and the tokenisation of some donors (`wasn ' t , he` → `wasn't, he`).

    Empty where the blanks of the label are not those of the ink and cannot be found.
    """
    text = label.replace('\\"', '"').replace("\\\\", "\\").replace("&&", "&")
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.;:!?])(?= |$)", r"\1", text)
    text = re.sub(r"(?<=\w) ' (?=(?:s|t|d|m|ll|re|ve)\b)", "'", text)
    text = re.sub(r"(?<=\w) - ?$", "-", text)
    family = _FAMILY_OF.get(donor, donor)
    if family == "hp":
        return _joined(text)
    # Rows of capitals in groups that nobody can see.
    return "" if family == "lex" and re.fullmatch(r"[A-Z]+( [A-Z]{1,6})+", text) else text


def _joined(text: str) -> str:
    """A label whose numbers, signs and hyphens stand apart as they do not in the ink (`( 5 6 ) 7 - 8` → `(56)7-8`)."""
    if ":" in text and "/" in text:  # where the time ends and the date begins is lost
        return ""
    if "@" in text:
        return re.sub(r" ?([@.]) ?", r"\1", text)
    text = re.sub(r"(?<=\d) (?=\d)|(?<=\d): (?=\d)", lambda m: m[0].strip(), text)
    text = re.sub(r"(?<=\w) ([-/]) (?=\w)", r"\1", text)
    text = re.sub(r"(?<=[($£]) (?=\S)|(?<=\S) (?=[)%])", "", text)
    text = re.sub(r"(?<=\d\)) (?=\d)", "", text)
    text = re.sub(r"(?<=\w) '(?=(?:s|t|d|m|ll|re|ve)\b)", "'", text)
    return re.sub(r"(?<=\s)' ([^']+) '(?=\s|$)", r"'\1'", text)


def _donor_folders(root: Path) -> Path:
    for candidate in (root, *(p for p in root.iterdir() if p.is_dir())):
        if (candidate / "data").is_dir() and (candidate / "include").is_dir():
            return candidate
    raise FileNotFoundError(f"{root} holds no UNIPEN distribution: expected the folders 'data' and 'include' in it.")


def read_segments(root: Path) -> list[_RawSegment]:
    """Every usable segment of a distribution unpacked at `root`, in a fixed order."""
    root = _donor_folders(root)
    segments: list[_RawSegment] = []
    cache: dict[Path, tuple[list[tuple[bool, Points]], dict[str, str], float]] = {}
    skipped = 0
    donors = sorted({p.name for c in TEXT_CATEGORIES for p in (root / "data" / c).iterdir()})
    for donor in donors:
        if donor in EXCLUDED_DONORS:
            continue
        cache.clear()
        for category in TEXT_CATEGORIES + CHARACTER_CATEGORIES:
            for listing in sorted((root / "data" / category / donor).rglob("*")):
                if not listing.is_file():
                    continue
                lines = listing.read_text(encoding="latin-1").splitlines()
                includes = [
                    root / "include" / line.split(None, 1)[1].strip() for line in lines if line.startswith(".INCLUDE")
                ]
                sources = [
                    p
                    for p in includes
                    if p.suffix not in (".doc", ".lex", ".freq") and p.is_file() and "data" in p.parts
                ]
                if len(sources) != 1:
                    continue
                source = sources[0]
                if source not in cache:
                    components, header, aspect = _read_components(source)
                    if aspect == 1.0:
                        for doc in includes:
                            if doc != source and doc.is_file() and doc.suffix != ".lex":
                                aspect = _doc_aspect(doc)
                                if aspect != 1.0:
                                    break
                    cache[source] = (components, header, aspect)
                components, header, aspect = cache[source]
                name = header.get("WRITER_ID", "").split()
                writer = writer_id(donor, name[0] if name else source.stem)
                for line in lines:
                    match = _SEGMENT.match(line)
                    if match is None:
                        continue
                    _, delineation, quality, label = match.groups()
                    if quality.upper() == "BAD":
                        continue
                    strokes = _select(components, delineation)
                    text = clean_label(label, donor)
                    if not strokes or not text or (category == "8" and donor in COLUMN_DONORS):
                        skipped += 1
                        continue
                    scaled = [s * np.asarray([1.0, aspect], np.float32) for s in strokes]
                    if np.ptp(np.concatenate(scaled), axis=0).max() <= 0:  # withheld: blanked to 0 0
                        skipped += 1
                        continue
                    segments.append(_RawSegment(writer, donor, category, text, scaled))
    log.info("UNIPEN: %d segments, %d skipped", len(segments), skipped)
    return segments


def _doc_aspect(doc: Path) -> float:
    values: dict[str, float] = {}
    for line in doc.read_text(encoding="latin-1").splitlines():
        match = re.match(r"^\.([XY])_POINTS_PER_(INCH|MM)\s+([\d.]+)", line)
        if match:
            values.setdefault(match[1] + match[2], float(match[3]))
    for unit in ("INCH", "MM"):
        if values.get("X" + unit) and values.get("Y" + unit):
            return values["X" + unit] / values["Y" + unit]
    return 1.0


# ------------------------------------------------------------------------------------------------ geometry


def _expected_height(text: str) -> float:
    """Height of a word's ink in x-heights, by which letters it has (ascenders reach 0.9, descenders 0.75)."""
    height = 1.0
    if any(c in _ASCENDERS for c in text):
        height += 0.9
    if any(c in _DESCENDERS for c in text):
        height += 0.75
    return height


def _bottoms(strokes: list[Points], x_height: float) -> NDArray[np.float32]:
    """Local low points of the pen, (n, 2): where letters touch the baseline or a descender turns."""
    found = []
    for stroke in strokes:
        if len(stroke) < 3:
            continue
        y = stroke[:, 1]
        reach = 0.15 * x_height
        index, rising, low = 0, False, 0
        # A turn counts when the pen climbed by `reach` after it: smaller wiggles are sensor noise.
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
    """Slope and offset of the baseline y = slope · x + offset, by a vote of low points (descenders are outvoted)."""
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
        # Between two equal votes the upper one is the baseline: the lower one is a row of descenders.
        winner = int(np.argmax(votes - 1e-3 * (offsets - offsets.min()) / x_height))
        if votes[winner] - 2 * abs(slope) > best_votes:
            best_votes = votes[winner] - 2 * abs(slope)
            near = offsets[np.abs(offsets - offsets[winner]) < 0.2 * x_height]
            best = (float(slope), float(near.mean()))
    return best


def _returns_to_margin(strokes: list[Points]) -> bool:
    """True if the pen goes back to the left and down, as at the end of a line: the segment holds several lines."""
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


def _normalise(segment: _RawSegment, x_height: float) -> Ink | None:
    if _returns_to_margin(segment.strokes):
        return None
    slope, offset = fit_baseline(segment.strokes, segment.text, x_height)
    left = min(float(s[:, 0].min()) for s in segment.strokes)
    out = []
    for stroke in segment.strokes:
        x = (stroke[:, 0] - left) / x_height
        y = (stroke[:, 1] - slope * stroke[:, 0] - offset) / x_height
        line = np.stack([x, y], axis=1).astype(np.float32)
        # 0.02 x-heights are below half a pixel at every size we render.
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
    # Scribbles, crossings-out and labels without their ink stand out by ink length and width a letter.
    if not 0.5 < length / letters < 14 or not 0.2 < ink.width / letters < 4.5:
        return None
    return ink


def _estimate_x_height(segments: list[_RawSegment]) -> float | None:
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
    # Only long lines: the spread of the ink about its middle is about an x-height.
    segments = [s for s in segments if not _returns_to_margin(s.strokes)] or segments
    spreads = [float(np.subtract(*np.percentile(np.concatenate(s.strokes)[:, 1], [85, 15]))) for s in segments]
    return float(np.median(spreads)) if spreads else None


# ------------------------------------------------------------------------------------------------- public


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
    """sha256 over names and contents of each donor's files in a distribution."""
    root = _donor_folders(root)
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
    """Parse a distribution (archive or unpacked folder) into the compact `cache` (.npz); returns the inks kept.

    Raises ValueError if, with `check`, the content is not that of the published distribution.
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

    by_writer: dict[str, list[_RawSegment]] = defaultdict(list)
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
        # A person who wrote for two donors did so on two tablets.
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
    """Writers that are never rendered for training (the committed list)."""
    return frozenset(
        line.strip() for line in HELDOUT_LIST.read_text().splitlines() if line.strip() and not line.startswith("#")
    )


def broken_inks() -> frozenset[str]:
    """Ids of held-out inks that are no fair question: the label isn't what is written, or the ink is damaged.

    Raises ValueError if a line of the committed list isn't an id and a reason.
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
    """Id of an ink by what it is: its writer, its label and its points as the cache holds them."""
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
            f"{cache} is damaged, or nothing that 'train data prepare' made ({type(error).__name__}): make it again "
            f"with 'text-recognizer train data prepare --download --output {cache}'."
        ) from error


def load_writers(cache: Path, split: Literal["train", "heldout", "all"], broken: bool = False) -> list[Writer]:
    """Writers of a split, sorted by id, from the cache made by `prepare_unipen`.

    Of "heldout", the inks of `broken_inks` are left out; with `broken` they are kept. Raises FileNotFoundError, and
    DataInvalid if the file is something else or damaged.
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
        # The ids are of points: a change to the parsing or to OpenCV's simplification makes others of them.
        log.warning("UNIPEN: %d of %d inks of %s are not in %s", missing, len(left_out), BROKEN_LIST.name, cache)
    return [
        Writer(w, tuple(inks[w]), {c: tuple(v) for c, v in chars[w].items()})
        for w in sorted(inks.keys() | chars.keys())
    ]
