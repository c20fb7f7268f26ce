"""Read evaluation sets: ALTO or PAGE with images, JSONL manifests, paragraphs with transcripts, line images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from defusedxml import DefusedXmlException, ElementTree

from text_recognizer.errors import DataInvalid
from text_recognizer.page import Polygon, Polyline

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
LINE_TYPES = ("Handwritten", "Typewritten", "Print")


@dataclass(frozen=True)
class TruthLine:
    """A line of a page and what it says; `counts` is False for lines that no text can be asked of."""

    text: str
    polygon: Polygon | None  # None: the whole image is the line
    baseline: Polyline | None = None
    slice: str = ""
    counts: bool = True


@dataclass(frozen=True)
class TruthPage:
    """An image with its lines, or with a transcript only."""

    image: Path
    lines: tuple[TruthLine, ...]
    writer: str
    text: str = ""  # whole transcript where lines have no place


@dataclass
class EvaluationSet:
    """Pages of a set, and what of it could not be used."""

    pages: list[TruthPage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def load_set(path: Path, line_types: tuple[str, ...] = ("Handwritten",)) -> EvaluationSet:
    """Read the set at `path`, a folder or a file; broken samples are named in `skipped`.

    Known forms: a folder of ALTO 4 or PAGE XML beside images; a `.jsonl` manifest of
    {"image", "text", "polygon"?, "baseline"?, "writer"?, "slice"?}; a folder with `transcripts.json` {stem: text}; a
    folder of images with `.txt` or `.gt.txt` beside each, one line of text for an image of a line, more for a page; a
    copy of the IAM database, also as `iam:FOLDER?split=…` (see `sources.iam`). Of the corrections in a manifest
    ("source": "feedback") the last one of a line counts.
    `line_types` picks lines by type where an XML file names types; there, lines without one count only if all types do.
    Raises DataInvalid if nothing can be read.
    """
    from text_recognizer.training.sources import iam

    if str(path).startswith(iam.PREFIX) or (path.is_dir() and iam.is_iam(path)):
        return iam.load_iam(str(path))
    found = EvaluationSet()
    if path.suffix == ".jsonl" and path.is_file():
        _manifest(path, found)
    elif not path.is_dir():
        raise DataInvalid(f"{path} is not there: give a folder, or a .jsonl manifest.")
    elif (path / "transcripts.json").is_file():
        _transcripts(path / "transcripts.json", found)
    elif any(path.glob("*.jsonl")):
        for manifest in sorted(path.glob("*.jsonl")):
            _manifest(manifest, found)
    elif any(path.glob("*.xml")):
        for xml in sorted(path.glob("*.xml")):
            _xml(xml, found, line_types)
    else:
        _text_beside(path, found)
    if not found.pages:
        reason = f" ({found.skipped[0]})" if found.skipped else ""
        raise DataInvalid(f"{path} holds no set that can be read{reason}: see docs/cli.md for the known forms.")
    return found


def _manifest(path: Path, found: EvaluationSet) -> None:
    pages: dict[str, tuple[list[TruthLine], str]] = {}
    corrected: dict[tuple[str, Polygon | None], TruthLine] = {}
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        found.skipped.append(f"{path.name}: not UTF-8")
        return
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name, text = str(record["image"]), str(record["text"])
            polygon = _checked(record["polygon"], 3) if record.get("polygon") else None
            baseline = _checked(record["baseline"], 2) if record.get("baseline") else None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            found.skipped.append(f"{path.name}:{number}: {reason}")
            continue
        if not (path.parent / name).is_file():
            found.skipped.append(f"{path.name}:{number}: image {name} is missing")
            continue
        lines, _ = pages.setdefault(name, ([], str(record.get("writer", name))))
        source = str(record.get("source", ""))
        truth = TruthLine(text, polygon, baseline, str(record.get("slice", source)))
        earlier = corrected.get((name, polygon)) if source == "feedback" else None
        if source == "feedback":
            corrected[name, polygon] = truth
        if earlier is None:
            lines.append(truth)
        else:  # who corrects a line twice means the second text
            lines[lines.index(earlier)] = truth
    for name, (lines, writer) in pages.items():
        found.pages.append(TruthPage(path.parent / name, tuple(lines), writer))


def _transcripts(path: Path, found: EvaluationSet) -> None:
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataInvalid(f"{path} is no JSON ({error}): expected {{image stem: text}}.") from None
    for stem, text in sorted(texts.items()):
        image = _image_of(path.parent, stem)
        if image is None:
            found.skipped.append(f"{path.name}: no image for {stem}")
        else:
            found.pages.append(TruthPage(image, (), stem, str(text)))


def _text_beside(folder: Path, found: EvaluationSet) -> None:
    for text in sorted(folder.glob("*.txt")):
        stem = text.name.removesuffix(".txt").removesuffix(".gt")
        image = _image_of(folder, stem)
        if image is None:
            found.skipped.append(f"{text.name}: no image beside it")
            continue
        try:
            content = text.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            found.skipped.append(f"{text.name}: not UTF-8")
            continue
        if "\n" in content:
            found.pages.append(TruthPage(image, (), stem, content))
        else:
            found.pages.append(TruthPage(image, (TruthLine(content, None),), stem))


def _image_of(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{s}" for s in IMAGES if (folder / f"{stem}{s}").is_file()), None)


def clean_transcript(text: str) -> tuple[str, bool]:
    """Text without marks of transcription, and whether it can be asked of a reader.

    `⟦…⟧` marks struck or illegible words: a line that holds them does not count; `^` comes before superscripts.
    """
    legible = not re.search(r"⟦[^⟧]*⟧|⟦|⟧", text)
    return " ".join(re.sub(r"[⟦⟧^]", "", text).split()), legible


def _checked(points: Iterable[Iterable[float]], least: int) -> tuple[tuple[float, float], ...]:
    """Points as numbers; ValueError where there are fewer than `least`, or a number is none."""
    checked = tuple((float(x), float(y)) for x, y in points)
    if len(checked) < least:
        raise ValueError(f"{len(checked)} points where at least {least} are needed")
    if not all(math.isfinite(n) for point in checked for n in point):
        raise ValueError("a point is not finite")
    return checked


def _points(text: str, least: int) -> tuple[tuple[float, float], ...]:
    numbers = [float(n) for n in re.split(r"[\s,]+", text.strip()) if n]
    return _checked(zip(numbers[::2], numbers[1::2], strict=True), least)


def _tag(element: ElementTree.Element) -> str:
    """Name of an element without its namespace: files of all versions, and of none, are read alike."""
    return str(element.tag).rsplit("}", 1)[-1]


def _xml(path: Path, found: EvaluationSet, line_types: tuple[str, ...]) -> None:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        found.skipped.append(f"{path.name}: {error}")
        return
    read, type_of = (_page_line, _page_type) if _tag(root) == "PcGts" else (_alto_line, _alto_type(root))
    elements = [e for e in root.iter() if _tag(e) == "TextLine"]
    labels = [type_of(e) for e in elements]
    kinds = [next((t for t in (*LINE_TYPES, "Signature") if t.lower() in label.lower()), "") for label in labels]
    typed = any(kind in LINE_TYPES for kind in kinds)
    allowed = (*line_types, "") if set(line_types) >= set(LINE_TYPES) else line_types
    lines = []
    for element, label, kind in zip(elements, labels, kinds, strict=True):
        if kind == "Signature" or (typed and kind not in allowed):
            continue
        try:
            text, polygon, baseline = read(element)
        except ValueError as error:
            found.skipped.append(f"{path.name}: line {element.get('ID') or element.get('id') or '?'}: {error}")
            continue
        text, legible = clean_transcript(text)
        if text:
            part = "interlinear" if "interlinear" in label.lower() else kind.lower()
            lines.append(TruthLine(text, polygon, baseline, part, legible))
    if not lines:
        return
    named = next((_image_name(e) for e in root.iter() if _image_name(e)), "")
    image = _image_of(path.parent, path.stem) or next((i for i in (path.parent / named,) if i.is_file()), None)
    if image is None:
        found.skipped.append(f"{path.name}: no image beside it")
    else:
        found.pages.append(TruthPage(image, tuple(lines), path.stem))


def _image_name(element: ElementTree.Element) -> str:
    if _tag(element) == "fileName":
        return Path((element.text or "").strip()).name
    return Path(element.get("imageFilename", "")).name


def _alto_type(root: ElementTree.Element) -> Callable[[ElementTree.Element], str]:
    labels = {tag.get("ID"): tag.get("LABEL", "") for tag in root.iter() if _tag(tag) == "OtherTag"}
    return lambda line: " ".join(labels.get(ref, "") for ref in (line.get("TAGREFS") or "").split())


def _alto_line(line: ElementTree.Element) -> tuple[str, Polygon, Polyline | None]:
    text = " ".join(e.get("CONTENT", "") for e in line.iter() if _tag(e) == "String")
    shape = next((e for e in line if _tag(e) == "Shape"), None)
    outline = next((e.get("POINTS", "") for e in shape if _tag(e) == "Polygon"), "") if shape is not None else ""
    if outline:
        polygon = _points(outline, 3)
    else:
        x, y, w, h = (float(line.get(name, "nan")) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
        polygon = _checked(((x, y), (x + w, y), (x + w, y + h), (x, y + h)), 4)
    # ALTO before 4.2 gives a baseline as its height alone, which says nothing of the slope.
    baseline = line.get("BASELINE", "")
    return text, polygon, _points(baseline, 2) if len(baseline.split()) > 1 else None


def _page_type(line: ElementTree.Element) -> str:
    """PAGE: `production="handwritten-cursive"`, or the structure's type in `custom`."""
    label = f"{line.get('production', '')} {line.get('custom', '')}"
    return label.replace("printed", "Print")


def _page_line(line: ElementTree.Element) -> tuple[str, Polygon, Polyline | None]:
    parts = {_tag(e): e for e in line}
    # Transcripts of a line may be several; the lowest index is the main one. Those of its words lie deeper.
    readings = sorted((e for e in line if _tag(e) == "TextEquiv"), key=lambda e: int(e.get("index") or 0))
    text = next((u.text or "" for e in readings[:1] for u in e if _tag(u) == "Unicode"), "")
    if "Coords" not in parts:
        raise ValueError("no Coords")
    baseline = _points(parts["Baseline"].get("points", ""), 2) if "Baseline" in parts else None
    return text, _points(parts["Coords"].get("points", ""), 3), baseline
