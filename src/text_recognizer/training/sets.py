"""Read evaluation sets: ALTO or PAGE with images, JSONL manifests, paragraphs with transcripts, line images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from defusedxml import ElementTree

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
    folder of line images with `.txt` or `.gt.txt` beside each. `line_types` picks the lines of ALTO files whose tags
    name a type. Raises DataInvalid if nothing can be read.
    """
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name, text = str(record["image"]), str(record["text"])
            polygon = tuple((float(x), float(y)) for x, y in record["polygon"]) if record.get("polygon") else None
            baseline = tuple((float(x), float(y)) for x, y in record["baseline"]) if record.get("baseline") else None
        except (ValueError, KeyError, TypeError) as error:
            found.skipped.append(f"{path.name}:{number}: {type(error).__name__} {error}")
            continue
        if not (path.parent / name).is_file():
            found.skipped.append(f"{path.name}:{number}: image {name} is missing")
            continue
        lines, _ = pages.setdefault(name, ([], str(record.get("writer", name))))
        lines.append(TruthLine(text, polygon, baseline, str(record.get("slice", ""))))
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
        found.pages.append(TruthPage(image, (TruthLine(content, None),), stem))


def _image_of(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{s}" for s in IMAGES if (folder / f"{stem}{s}").is_file()), None)


def clean_transcript(text: str) -> tuple[str, bool]:
    """Text without marks of transcription, and whether it can be asked of a reader.

    `⟦…⟧` marks struck or illegible words: a line that holds them does not count; `^` comes before superscripts.
    """
    legible = not re.search(r"⟦[^⟧]*⟧|⟦|⟧", text)
    return " ".join(re.sub(r"[⟦⟧^]", "", text).split()), legible


def _points(text: str) -> tuple[tuple[float, float], ...]:
    numbers = [float(n) for n in re.split(r"[\s,]+", text.strip()) if n]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _xml(path: Path, found: EvaluationSet, line_types: tuple[str, ...]) -> None:
    try:
        root = ElementTree.parse(path).getroot()
        lines = tuple(_page_lines(root) if root.tag.endswith("PcGts") else _alto_lines(root, line_types))
    except (ElementTree.ParseError, ValueError) as error:
        found.skipped.append(f"{path.name}: {error}")
        return
    image = _image_of(path.parent, path.stem)
    if image is None:
        found.skipped.append(f"{path.name}: no image beside it")
    elif lines:
        found.pages.append(TruthPage(image, lines, path.stem))


def _alto_lines(root: ElementTree.Element, line_types: tuple[str, ...]) -> Iterator[TruthLine]:
    labels = {tag.get("ID"): tag.get("LABEL", "") for tag in root.iter() if tag.tag.endswith("OtherTag")}
    for element in root.iter():
        if not element.tag.endswith("}TextLine"):
            continue
        label = " ".join(labels.get(ref, "") for ref in (element.get("TAGREFS") or "").split())
        kind = next((t for t in (*LINE_TYPES, "Signature") if t in label), "")
        if "Signature" in label or (kind and kind not in line_types):
            continue
        polygon = next((e.get("POINTS", "") for e in element.iter() if e.tag.endswith("}Polygon")), "")
        text = " ".join(e.get("CONTENT", "") for e in element.iter() if e.tag.endswith("}String"))
        text, legible = clean_transcript(text)
        if polygon and text:
            interlinear = "interlinear" if "Interlinear" in label else kind.lower()
            yield TruthLine(text, _points(polygon), _points(element.get("BASELINE", "")) or None, interlinear, legible)


def _page_lines(root: ElementTree.Element) -> Iterator[TruthLine]:
    for element in root.iter():
        if not element.tag.endswith("}TextLine"):
            continue
        parts = {e.tag.rsplit("}", 1)[-1]: e for e in element}
        texts = [e.text or "" for e in element.iter() if e.tag.endswith("}Unicode")]
        text, legible = clean_transcript(texts[-1] if texts else "")
        if "Coords" in parts and text:
            baseline = _points(parts["Baseline"].get("points", "")) if "Baseline" in parts else None
            yield TruthLine(text, _points(parts["Coords"].get("points", "")), baseline, "", legible)
