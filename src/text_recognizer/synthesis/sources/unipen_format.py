"""Parse a UNIPEN distribution: the strokes in its listings, with their texts and writers.

Format: "UNIPEN 1.0 Format Definition" (Guyon, Schomaker, Plamondon, Liberman, Janet, ICPR 1994,
doi 10.1109/ICPR.1994.576870).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Points = NDArray[np.float32]

# Donors with German or partly Dutch text, random letters, program code, or segmentation marks in the labels.
EXCLUDED_DONORS = frozenset({"abm", "atu", "sie", "nic", "lav", "att", "kai"})
# Donors of word lists in columns within one segment, so that their text segments are not lines.
COLUMN_DONORS = frozenset({"apb", "apc", "apd", "ape"})
TEXT_CATEGORIES = ("7", "8")
CHARACTER_CATEGORIES = ("1a", "1b", "1c", "1d")

# Donors that share people. A person must not be in training for one donor and held out for another.
_FAMILIES = {"ce": ("cea", "ceb", "cec", "ced", "cee"), "ap": ("apa", "apb", "apc", "apd", "ape", "app"),
             "hp": ("hpb", "hpp", "sta"), "bb": ("bba", "bbb", "bbc", "bbd")}  # fmt: skip
_FAMILY_OF = {donor: family for family, donors in _FAMILIES.items() for donor in donors}


@dataclass(frozen=True)
class RawSegment:
    writer: str
    donor: str
    category: str
    text: str
    strokes: list[Points]  # tablet units, aspect corrected, y down


@dataclass(frozen=True)
class _DataFile:
    """A file of pen data: its components (is pen down, (n, 2) points with y down), header words, x/y aspect."""

    path: Path
    components: list[tuple[bool, Points]]
    header: dict[str, str]
    aspect: float


def _read_components(path: Path) -> tuple[list[tuple[bool, Points]], dict[str, str], float]:
    """Pen components of one data file: (is pen down, (n, 2) points with y down), header words, x/y aspect."""
    header: dict[str, str] = {}
    components: list[tuple[bool, Points]] = []
    current: list[tuple[float, float]] | None = None
    down = False
    x_column, y_column = 0, 1

    def close() -> None:
        # Blocks without points are not components; counting them would shift every later label.
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
                # Any keyword other than a time stamp ends the block.
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
    """The pen-down strokes of a delineation such as `3-7`, `4:10-6:3` or `1,3-5`; None if it is out of range."""
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
    """An anonymous, stable id for the person behind a donor's writer name; the data's owners ask to name nobody."""
    family = _FAMILY_OF.get(donor, donor)
    person = name.lower().removesuffix(".dat")
    if family == "ce" and (number := re.search(r"\d{3,}", person)):
        person = number[0]  # the same number occurs with several abbreviations
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

    The result is empty if the label's blanks differ from the ink's and cannot be recovered.
    """
    text = label.replace('\\"', '"').replace("\\\\", "\\").replace("&&", "&")
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.;:!?])(?= |$)", r"\1", text)
    text = re.sub(r"(?<=\w) ' (?=(?:s|t|d|m|ll|re|ve)\b)", "'", text)
    text = re.sub(r"(?<=\w) - ?$", "-", text)
    family = _FAMILY_OF.get(donor, donor)
    if family == "hp":
        return _joined(text)
    # Rows of capitals in groups that are invisible in the ink.
    return "" if family == "lex" and re.fullmatch(r"[A-Z]+( [A-Z]{1,6})+", text) else text


def _joined(text: str) -> str:
    """Join numbers, signs and hyphens that the label separates but the ink does not (`( 5 6 ) 7 - 8` → `(56)7-8`)."""
    if ":" in text and "/" in text:  # the border between time and date is lost
        return ""
    if "@" in text:
        return re.sub(r" ?([@.]) ?", r"\1", text)
    text = re.sub(r"(?<=\d) (?=\d)|(?<=\d): (?=\d)", lambda m: m[0].strip(), text)
    text = re.sub(r"(?<=\w) ([-/]) (?=\w)", r"\1", text)
    text = re.sub(r"(?<=[($£]) (?=\S)|(?<=\S) (?=[)%])", "", text)
    text = re.sub(r"(?<=\d\)) (?=\d)", "", text)
    text = re.sub(r"(?<=\w) '(?=(?:s|t|d|m|ll|re|ve)\b)", "'", text)
    return re.sub(r"(?<=\s)' ([^']+) '(?=\s|$)", r"'\1'", text)


def distribution_root(root: Path) -> Path:
    """The folder of the distribution: `root` or a folder directly in it. Raises FileNotFoundError."""
    for candidate in (root, *(p for p in root.iterdir() if p.is_dir())):
        if (candidate / "data").is_dir() and (candidate / "include").is_dir():
            return candidate
    raise FileNotFoundError(f"{root} holds no UNIPEN distribution: expected the folders 'data' and 'include' in it.")


def read_segments(root: Path) -> list[RawSegment]:
    """Every usable segment of a distribution unpacked at `root`, in a fixed order."""
    root = distribution_root(root)
    segments: list[RawSegment] = []
    skipped = 0
    donors = sorted({p.name for c in TEXT_CATEGORIES for p in (root / "data" / c).iterdir()})
    for donor in donors:
        if donor in EXCLUDED_DONORS:
            continue
        files: dict[Path, _DataFile] = {}
        for category in TEXT_CATEGORIES + CHARACTER_CATEGORIES:
            for listing in sorted((root / "data" / category / donor).rglob("*")):
                if not listing.is_file():
                    continue
                lines = listing.read_text(encoding="latin-1").splitlines()
                data = _data_file(root, lines, files)
                if data is None:
                    continue
                for segment in _segments(lines, data, donor, category):
                    if segment is None:
                        skipped += 1
                    else:
                        segments.append(segment)
    log.info("UNIPEN: %d segments, %d skipped", len(segments), skipped)
    return segments


def _data_file(root: Path, lines: list[str], known: dict[Path, _DataFile]) -> _DataFile | None:
    """The file of pen data that the lines of a listing include; None if they include none or several."""
    includes = [root / "include" / line.split(None, 1)[1].strip() for line in lines if line.startswith(".INCLUDE")]
    sources = [p for p in includes if p.suffix not in (".doc", ".lex", ".freq") and p.is_file() and "data" in p.parts]
    if len(sources) != 1:
        return None
    (source,) = sources
    if source not in known:
        components, header, aspect = _read_components(source)
        if aspect == 1.0:
            documents = (p for p in includes if p != source and p.is_file() and p.suffix != ".lex")
            aspect = next((found for found in map(_doc_aspect, documents) if found != 1.0), 1.0)
        known[source] = _DataFile(source, components, header, aspect)
    return known[source]


def _segments(lines: list[str], data: _DataFile, donor: str, category: str) -> Iterator[RawSegment | None]:
    """The segments in the lines of a listing; None for a segment without usable ink or text."""
    name = data.header.get("WRITER_ID", "").split()
    writer = writer_id(donor, name[0] if name else data.path.stem)
    for line in lines:
        match = _SEGMENT.match(line)
        if match is None:
            continue
        _, delineation, quality, label = match.groups()
        if quality.upper() == "BAD":
            continue
        strokes = _select(data.components, delineation)
        text = clean_label(label, donor)
        if not strokes or not text or (category == "8" and donor in COLUMN_DONORS):
            yield None
            continue
        scaled = [s * np.asarray([1.0, data.aspect], np.float32) for s in strokes]
        withheld = np.ptp(np.concatenate(scaled), axis=0).max() <= 0  # blanked to 0 0
        yield None if withheld else RawSegment(writer, donor, category, text, scaled)


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
