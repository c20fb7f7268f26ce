"""Read a local copy of the IAM Handwriting Database: lines, forms or words, by any split.

    iam:FOLDER?split=train&unit=lines&segmentation=ok

The folder has the layout of the database's archives: `xml/FORM.xml` or `ascii/lines.txt` (or these files without their
folders), images in `lines/a01/a01-000u/a01-000u-00.png`, `words/…` likewise, `forms/` or `formsA-D/` and so on; images
may also be directly in these folders. XML is preferred if both exist, because the ASCII files store punctuation marks
as separate words.

Reference: Marti, Bunke, "The IAM-database: an English sentence database for offline handwriting recognition",
IJDAR 2002, doi:10.1007/s100320200071
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from defusedxml import DefusedXmlException, ElementTree
from PIL import Image

from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.truth import IMAGES, EvaluationSet, TruthLine, TruthPage
from text_recognizer.page import Polygon

PREFIX = "iam:"
UNITS = ("lines", "forms", "words")
# Files of the "large writer independent text line recognition" task.
SPLITS = {
    "train": ("trainset.txt",),
    "validation": ("validationset1.txt", "validationset2.txt"),
    "validation1": ("validationset1.txt",),
    "validation2": ("validationset2.txt",),
    "test": ("testset.txt",),
}
_NUMBER = re.compile(r"-?\d+$").match


@dataclass(frozen=True)
class _Piece:
    """A line or word of the ground truth; `box` is in pixels of the form: left, top, right, bottom."""

    id: str
    text: str
    whole: bool  # False if the database marks its segmentation as wrong
    box: tuple[float, float, float, float] | None

    @property
    def form(self) -> str:
        return "-".join(self.id.split("-")[:2])


def is_iam(folder: Path) -> bool:
    """True if `folder` has the layout of the database."""
    table = _ascii(folder, "lines")
    if table is not None:
        row = next((row for _, row in _rows(table, 9)), [])
        return bool(row) and bool(re.fullmatch(r"\w+-\w+-\w+", row[0])) and row[1] in ("ok", "err")
    first = next(iter(sorted((folder / "xml").glob("*.xml"))), None)
    return first is not None and "<handwritten-part" in first.read_text(encoding="utf-8", errors="replace")


def load_iam(address: str) -> EvaluationSet:
    """Load the set at `address`: `FOLDER` or `iam:FOLDER?split=…&unit=…&segmentation=…`.

    split: `train`, `validation`, `validation1`, `validation2` or `test` of the large writer independent task, whose
    files are searched for in the folder; or a file (in the folder, or any path) with form or line ids, one per line,
    such as the Aachen split. unit: `lines` (default if there are any), `forms` (lines cut from whole forms; XML only)
    or `words`. segmentation: `ok` leaves out lines that the database marks as badly segmented; such words are always
    left out. Raises DataInvalid if the folder, its ground truth, or the split is missing.
    """
    folder_name, _, query = address.removeprefix(PREFIX).partition("?")
    folder = Path(folder_name)
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := set(options) - {"split", "unit", "segmentation"}:
        raise DataInvalid(f"{address}: {', '.join(sorted(unknown))} is unknown; give split, unit or segmentation.")
    if not folder.is_dir():
        raise DataInvalid(f"{folder} does not exist: give the folder of the IAM database.")
    unit = options.get("unit") or ("lines" if (folder / "lines").is_dir() else "forms")
    if unit not in UNITS:
        raise DataInvalid(f"{address}: unit is one of {', '.join(UNITS)}.")
    wanted = _ids(folder, options["split"]) if options.get("split") else None
    found = EvaluationSet()
    pieces, writers = _truth(folder, "words" if unit == "words" else "lines", found)
    only_whole = options.get("segmentation") == "ok" or unit == "words"
    chosen = [
        p for p in pieces
        if (p.whole or not only_whole) and (wanted is None or not wanted.isdisjoint((p.id, p.form, _line(p.id))))
    ]  # fmt: skip
    if unit == "forms":
        _forms(folder, chosen, writers, found)
    else:
        for piece in chosen:
            image = _image(folder / unit, piece.id)
            if image is None:
                found.skipped.append(f"{piece.id}: no image in {unit}/")
            else:
                line = TruthLine(piece.text, None)
                found.pages.append(TruthPage(image, (line,), writers.get(piece.form, piece.form)))
    if not found.pages:
        reason = f" ({found.skipped[0]})" if found.skipped else ""
        raise DataInvalid(f"{address} holds no {unit} with image and text{reason}: see docs/learn/training.md.")
    return found


def _forms(folder: Path, lines: list[_Piece], writers: dict[str, str], found: EvaluationSet) -> None:
    grouped: dict[str, list[TruthLine]] = {}
    for piece in lines:
        if piece.box is None:
            found.skipped.append(f"{piece.id}: its position on the form is unknown")
        else:
            grouped.setdefault(piece.form, []).append(TruthLine(piece.text, _outline(piece.box)))
    for form, truth in grouped.items():
        folders = [p for p in sorted(folder.glob("forms*")) if p.is_dir()]
        image = next((i for i in (_image(p, form) for p in folders) if i is not None), None)
        if image is None:
            found.skipped.append(f"{form}: no image in forms/")
        elif problem := _misfit(image, [b for p in lines if p.form == form and (b := p.box)]):
            found.skipped.append(f"{form}: {problem}")
        else:
            found.pages.append(TruthPage(image, tuple(truth), writers.get(form, form)))


def _misfit(image: Path, boxes: list[tuple[float, float, float, float]]) -> str | None:
    """Why the boxes cannot belong to this image; None if they fit. A damaged image is left for its reader to report."""
    try:
        with Image.open(image) as opened:
            width, height = opened.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[2] for b in boxes), max(b[3] for b in boxes)
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return None
    return (
        f"its lines reach from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}), but {image.name} has "
        f"{width} × {height} pixels; use the images of the database as they are, neither scaled nor cropped"
    )


def _outline(box: tuple[float, float, float, float]) -> Polygon:
    """The box of the ink and a little paper around it."""
    left, top, right, bottom = box
    margin = 0.1 * (bottom - top)
    left, top, right, bottom = left - margin, top - margin, right + margin, bottom + margin
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _ids(folder: Path, split: str) -> set[str]:
    """The ids of the forms or lines in a split."""
    ids: set[str] = set()
    for name in SPLITS.get(split, (split,)):
        places = [folder / name, *sorted(folder.glob(f"*/{name}")), *sorted(folder.glob(f"*/*/{name}"))]
        file = next((p for p in places if p.is_file()), None)
        if file is None:
            raise DataInvalid(
                f"{name} is not in {folder}: put the files of the split there, or give split=FILE (an id per line)."
            )
        rows = file.read_text(encoding="utf-8", errors="replace").splitlines()
        ids.update(Path(row.split()[0]).name.removesuffix(".png") for row in rows if row.strip() and row[0] != "#")
    return ids


def _line(identity: str) -> str:
    """The line id of a word: a01-000u-00-03 → a01-000u-00."""
    return "-".join(identity.split("-")[:3])


def _image(folder: Path, identity: str) -> Path | None:
    parts = identity.split("-")
    for place in (folder / parts[0] / "-".join(parts[:2]), folder / parts[0], folder):
        for suffix in IMAGES:
            if (place / f"{identity}{suffix}").is_file():
                return place / f"{identity}{suffix}"
    return None


def _truth(folder: Path, unit: str, found: EvaluationSet) -> tuple[list[_Piece], dict[str, str]]:
    """The lines or words, and the writer of each form."""
    files = sorted((folder / "xml").glob("*.xml")) or sorted(folder.glob("*.xml"))
    pieces: list[_Piece] = []
    writers: dict[str, str] = {}
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
            pieces.extend(_xml_pieces(root, unit))
        except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
            found.skipped.append(f"{file.name}: {error}")
            continue
        writers[root.get("id", file.stem)] = f"writer {root.get('writer-id', file.stem)}"
    if pieces:
        return pieces, writers
    table = _ascii(folder, unit)
    if table is None:
        raise DataInvalid(
            f"{folder} holds neither xml/ nor ascii/{unit}.txt: unpack the database's ground truth there."
        )
    forms = _ascii(folder, "forms")
    if forms is not None:
        writers = {row[0]: f"writer {row[1]}" for _, row in _rows(forms, 2)}
    for number, row in _rows(table, 1):
        try:
            pieces.append(_ascii_piece(row, unit))
        except (ValueError, IndexError):
            found.skipped.append(f"{table.name}:{number}: not in the format of the file's header")
    return pieces, writers


def _ascii(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / "ascii" / f"{name}.txt", folder / f"{name}.txt") if p.is_file()), None)


def _rows(file: Path, least: int) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if row and row[0] != "#" and len(row.split()) >= least:
            yield number, row.split()


def _ascii_piece(row: list[str], unit: str) -> _Piece:
    """A row of lines.txt (id ok level components x y w h text) or words.txt (id ok level x y w h tag text).

    The header of words.txt names components too; its rows have none.
    """
    numbers = list(itertools.takewhile(_NUMBER, row[2:8]))
    x, y, w, h = (float(v) for v in numbers[-4:])
    rest = row[2 + len(numbers) :]
    text = join_words([w for w in " ".join(rest).split("|") if w] if unit == "lines" else rest[1:])
    if not text:
        raise ValueError("no text")
    return _Piece(row[0], text, row[1] == "ok", (x, y, x + w, y + h) if w > 0 and h > 0 else None)


def join_words(words: list[str]) -> str:
    """Join separate words and punctuation marks to text; quotation marks alternately open and close."""
    text, glue = "", True
    quoted = {'"': False, "'": False}
    for word in words:
        closes = bool(re.fullmatch(r"[.,;:!?)\]]+|\.\.\.", word)) or quoted.get(word, False)
        text += word if glue or closes else f" {word}"
        glue = word in "([" or (word in quoted and not quoted[word])
        if word in quoted:
            quoted[word] = not quoted[word]
    return text


def _xml_pieces(root: Any, unit: str) -> Iterator[_Piece]:
    if root.tag != "form":
        raise ValueError("not a form of the IAM database")
    for line in root.iterfind("./handwritten-part/line"):
        whole = line.get("segmentation", "ok") == "ok"
        elements = [line] if unit == "lines" else line.findall("word")
        for element in elements:
            # The database escapes quotation marks twice.
            text = html.unescape(element.get("text", "")).strip()
            if text:
                yield _Piece(element.get("id", ""), text, whole, _box(element))


def _box(element: Any) -> tuple[float, float, float, float] | None:
    """The bounding box of the components of a line or word; None if it has none."""
    parts = [tuple(float(c.get(k, "nan")) for k in ("x", "y", "width", "height")) for c in element.iter("cmp")]
    if not parts:
        return None
    return (
        min(x for x, _, _, _ in parts),
        min(y for _, y, _, _ in parts),
        max(x + w for x, _, w, _ in parts),
        max(y + h for _, y, _, h in parts),
    )
