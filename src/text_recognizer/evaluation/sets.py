"""Read evaluation sets: ALTO or PAGE with images, JSONL manifests, paragraphs with transcripts, line images."""

from __future__ import annotations

import json
import re
from pathlib import Path

from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation import iam
from text_recognizer.evaluation.alto_page import checked_points, read_page
from text_recognizer.evaluation.truth import IMAGES, EvaluationSet, TruthLine, TruthPage
from text_recognizer.page import Polygon

LINE_TYPES = ("Handwritten", "Typewritten", "Print")


def load_set(path: Path, line_types: tuple[str, ...] = ("Handwritten",)) -> EvaluationSet:
    """Read the set at `path`, a folder or a file; damaged samples are listed in `skipped`.

    Supported forms: a folder of ALTO 4 or PAGE XML with images; a `.jsonl` manifest of
    {"image", "text", "polygon"?, "baseline"?, "writer"?, "slice"?}; a folder with `transcripts.json` {stem: text}; a
    folder of images with a `.txt` or `.gt.txt` for each, which has one line of text for a line image and more for a
    page; a copy of the IAM database, also as `iam:FOLDER?split=…` (see `evaluation/iam.py`). If a manifest has several
    corrections of a line ("source": "feedback"), the last one counts.
    `line_types` selects lines by type if an XML file has types; lines without a type count only if all types do.
    Raises DataInvalid if nothing can be read.
    """
    if str(path).startswith(iam.PREFIX) or (path.is_dir() and iam.is_iam(path)):
        return iam.load_iam(str(path))
    found = EvaluationSet()
    if path.suffix == ".jsonl" and path.is_file():
        _manifest(path, found)
    elif not path.is_dir():
        raise DataInvalid(f"{path} does not exist: give a folder, or a .jsonl manifest.")
    elif (path / "transcripts.json").is_file():
        _transcripts(path / "transcripts.json", found)
    elif manifests := [file for file in sorted(path.glob("*.jsonl")) if _is_manifest(file)]:
        for manifest in manifests:
            _manifest(manifest, found)
    elif any(path.glob("*.xml")):
        for xml in sorted(path.glob("*.xml")):
            _xml(xml, found, line_types)
    else:
        _text_beside(path, found)
    if not found.pages:
        reason = f" ({found.skipped[0]})" if found.skipped else ""
        raise DataInvalid(f"{path} holds no readable set{reason}: see docs/cli.md for the known forms.")
    return found


def _is_manifest(path: Path) -> bool:
    """Whether a `.jsonl` file lists image lines. Next to transcripts, such a file may contain anything else."""
    if not any(path.parent.glob("*.txt")):
        return True
    with path.open(encoding="utf-8", errors="replace") as lines:
        return any('"image"' in line for line in lines)


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
            polygon = checked_points(record["polygon"], 3) if record.get("polygon") else None
            baseline = checked_points(record["baseline"], 2) if record.get("baseline") else None
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
        else:  # the second correction of a line replaces the first
            lines[lines.index(earlier)] = truth
    for name, (lines, writer) in pages.items():
        found.pages.append(TruthPage(path.parent / name, tuple(lines), writer))


def _transcripts(path: Path, found: EvaluationSet) -> None:
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataInvalid(f"{path} is not JSON ({error}): expected {{image stem: text}}.") from None
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
    """The text without transcription marks, and whether the line is legible.

    `⟦…⟧` marks struck-out or illegible words; a line with them does not count. `^` precedes superscripts.
    """
    legible = not re.search(r"⟦[^⟧]*⟧|⟦|⟧", text)
    return " ".join(re.sub(r"[⟦⟧^]", "", text).split()), legible


def _xml(path: Path, found: EvaluationSet, line_types: tuple[str, ...]) -> None:
    try:
        page = read_page(path.read_bytes())
    except DataInvalid as error:
        found.skipped.append(f"{path.name}: {error}")
        return
    kinds = [
        next((t for t in (*LINE_TYPES, "Signature") if t.lower() in line.label.lower()), "") for line in page.lines
    ]
    typed = any(kind in LINE_TYPES for kind in kinds)
    allowed = (*line_types, "") if set(line_types) >= set(LINE_TYPES) else line_types
    lines = []
    for line, kind in zip(page.lines, kinds, strict=True):
        if kind == "Signature" or (typed and kind not in allowed):
            continue
        if line.problem:
            found.skipped.append(f"{path.name}: line {line.name}: {line.problem}")
            continue
        text, legible = clean_transcript(line.text)
        if text:
            part = "interlinear" if "interlinear" in line.label.lower() else kind.lower()
            lines.append(TruthLine(text, line.polygon, line.baseline, part, legible))
    if not lines:
        return
    beside = path.parent / page.image
    image = _image_of(path.parent, path.stem) or (beside if beside.is_file() else None)
    if image is None:
        found.skipped.append(f"{path.name}: no image beside it")
    else:
        found.pages.append(TruthPage(image, tuple(lines), path.stem))
