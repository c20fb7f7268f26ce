"""Openly licensed handwriting fonts as a second source of hands, rendered so that no two letters are the same."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.download import read_lock, unpack

Gray = NDArray[np.uint8]
Field = NDArray[np.float32]

LOCK = Path(__file__).with_name("fonts.lock.json")
_INDEX = "fonts.json"
_AGAIN = "make the folder again with 'text-recognizer train data fonts"


@dataclass(frozen=True)
class HandFont:
    """A font, with measurements of its outlines."""

    name: str
    path: Path
    kind: str = (
        "hand"  # "hand": somebody's writing; "school": model hands and neat print; "printed": book and typewriter faces
    )
    characters: frozenset[str] = field(default=frozenset(), repr=False)
    x_height: float = 0.5  # of the em
    stroke: float = 0.12  # width of its strokes in x-heights

    def covers(self, text: str) -> bool:
        """Whether every character of `text` has its own outline."""
        return self.characters.issuperset(text)


def fetch_fonts(
    folder: Path, report: Callable[[str], None] = lambda m: print(m, file=sys.stderr), lock: Path = LOCK
) -> None:
    """Fetch the fonts in a lock file into `folder` as TrueType or OpenType files, with an index of measurements.

    Existing fonts are kept. A font that cannot be fetched is reported and skipped. Raises ValueError if there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index: list[dict[str, Any]] = []
    for package in read_lock(lock):
        about = package.about
        target = folder / f"{about['name']}.ttf"
        try:
            if not target.exists():
                with tempfile.TemporaryDirectory() as scratch:
                    source = unpack(package, Path(scratch)) / about["file"]
                    to_truetype(source, target)
                report(f"{about['name']} from {package.package} {package.version} ({package.licence})")
            font = inspect_font(target, about["name"], about["kind"])
        except (ValueError, OSError) as error:
            report(f"skipped: {about['name']}: {error}")
            continue
        index.append(
            {
                "name": font.name,
                "file": target.name,
                "kind": font.kind,
                "characters": "".join(sorted(font.characters)),
                "x_height": round(font.x_height, 4),
                "stroke": round(font.stroke, 4),
            }
        )
    if not index:
        raise ValueError("no font could be fetched; is the npm client installed and is there a network?")
    (folder / _INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_fonts(folder: Path) -> list[HandFont]:
    """The fonts that `fetch_fonts` stored in `folder`; in a folder without an index, every .ttf and .otf file.

    Raises DataInvalid if there is no such folder or a font in it cannot be used.
    """
    if not folder.is_dir():
        raise DataInvalid(
            f"{folder} is not a folder of fonts: make one with 'text-recognizer train data fonts FOLDER'."
        )
    index = folder / _INDEX
    if not index.is_file():
        try:
            return [inspect_font(p, p.stem, "hand") for p in sorted(folder.glob("*.[to]tf"))]
        except ValueError as error:
            raise DataInvalid(f"{folder}: {error}; take it out of the folder.") from error
    try:
        fonts = [
            HandFont(e["name"], folder / e["file"], e["kind"], frozenset(e["characters"]), e["x_height"], e["stroke"])
            for e in json.loads(index.read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{index} can't be read ({type(error).__name__}): {_AGAIN} {folder}'.") from error
    for font in fonts:
        if not font.path.is_file():
            raise DataInvalid(f"{font.path} is missing, though {_INDEX} names it: {_AGAIN} {folder}'.")
    return fonts


def write_builtin_font(folder: Path) -> Path:
    """Write Pillow's built-in face (Aileron, CC0) into `folder`, and return `folder`. It needs no network."""
    face = ImageFont.load_default(24)
    assert isinstance(face, ImageFont.FreeTypeFont) and isinstance(face.path, BytesIO)
    (folder / "aileron.ttf").write_bytes(face.path.getvalue())
    return folder


def to_truetype(source: Path, target: Path) -> None:
    from fontTools.ttLib import TTFont

    # Leave out the time of conversion, so that the same fonts have the same SHA-256 on every machine.
    with TTFont(source, recalcTimestamp=False) as font:
        font.flavor = None
        font.save(target)


def inspect_font(path: Path, name: str, kind: str = "hand") -> HandFont:
    """Measure a font by its outlines, because a cmap may list characters with empty or missing-glyph outlines."""
    from fontTools.pens.areaPen import AreaPen
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.perimeterPen import PerimeterPen
    from fontTools.pens.recordingPen import DecomposingRecordingPen
    from fontTools.ttLib import TTFont, TTLibError

    try:
        font = TTFont(path)
        cmap, glyphs, em = font.getBestCmap() or {}, font.getGlyphSet(), font["head"].unitsPerEm
    except (TTLibError, KeyError, OSError) as error:
        raise ValueError(f"{path.name} is not a font that can be read ({error})") from error

    def outline(glyph: str) -> list[Any]:
        pen = DecomposingRecordingPen(glyphs)
        glyphs[glyph].draw(pen)
        value: list[Any] = pen.value
        return value

    missing = outline(".notdef") if ".notdef" in glyphs else []
    covered = {" "} if 32 in cmap and glyphs[cmap[32]].width > 0 else set()
    for char in ALPHABET[1:]:
        if (glyph := cmap.get(ord(char))) is not None:
            drawn = outline(glyph)
            if drawn and drawn != missing:
                covered.add(char)
    tops, widths = [], []
    for char in covered & set("xzvnurcsae"):
        bounds, area, around = BoundsPen(glyphs), AreaPen(glyphs), PerimeterPen(glyphs)
        for pen in (bounds, area, around):
            glyphs[cmap[ord(char)]].draw(pen)
        if bounds.bounds and around.value:
            tops.append(bounds.bounds[3])
            # A stroke is a ribbon: its area is length × width, and its outline is twice the length.
            widths.append(2 * abs(area.value) / around.value)
    if len(tops) < 5:
        raise ValueError(f"{path.name} has no lower-case letters")
    x_height = float(np.median(tops)) / em
    return HandFont(name, path, kind, frozenset(covered), x_height, float(np.median(widths)) / em / x_height)


@lru_cache(maxsize=600)
def _face(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=1024)
def _space(path: str, size: int) -> float:
    return float(_face(path, size).getlength(" "))


def _smooth_fields(rng: np.random.Generator, shape: tuple[int, int], step: float) -> tuple[Field, Field]:
    """Two smooth random fields (H, W) of unit spread that change over `step` pixels."""
    h, w = shape
    nodes = rng.standard_normal((int(h / step) + 3, int(w / step) + 3, 2), np.float32)
    # First cubic, for smooth bends, then linear, which is much cheaper for the many pixels.
    fine = cv2.resize(nodes, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    grown: Field = cv2.resize(fine, None, fx=step / 4, fy=step / 4, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    y, x = (int(v) for v in rng.integers(0, max(1, int(step)), 2))
    return grown[y : y + h, x : x + w, 0], grown[y : y + h, x : x + w, 1]


def _set_weight(drawn: Gray, change: float) -> Gray:
    """Make strokes `change` pixels wider (thinner if negative); fractions of a pixel work too."""
    size = abs(change)
    whole = int(size)
    operate = cv2.dilate if change > 0 else cv2.erode

    def step(k: int) -> Gray:
        return (
            drawn
            if k == 0
            else np.asarray(operate(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k + 1, k + 1))))
        )

    return np.asarray(cv2.addWeighted(step(whole), 1 - size + whole, step(whole + 1), size - whole, 0), np.uint8)


def render_text(font: HandFont, text: str, x_height: float, rng: np.random.Generator) -> tuple[Gray, float]:
    """Draw `text` on one line. Returns coverage (h, w) uint8, 255 = ink, and the y of its baseline in pixels.

    `x_height` is in pixels. Words are drawn whole, so that joined letters stay joined, then set on a wandering baseline
    and bent by a smooth random field, so that no two letters are the same. Printed faces stay straight. Raises
    ValueError if the font lacks a character.
    """
    if not font.covers(text):
        raise ValueError(f"{font.name} has no outline for {sorted(set(text) - font.characters)}")
    printed = font.kind == "printed"
    # Drawn at about twice the size: strokes are thickened or thinned at that size, and the warp averages down.
    em = x_height / font.x_height
    drawn_em = max(12, int(np.ceil(em * (2.0 if x_height < 26 else 1.3) / 8)) * 8)
    face = _face(str(font.path), drawn_em)
    unit = drawn_em * font.x_height  # an x-height as drawn

    space = _space(str(font.path), drawn_em)
    gap = float(np.clip(space, 0.55 * unit, 1.6 * unit)) * (1.0 if printed else float(np.exp(rng.normal(0, 0.22))))
    wander = 0.0 if printed else float(rng.uniform(0, 0.07)) * unit
    spread = 0.0 if printed else 0.22
    words = text.split(" ")
    x, y, top, bottom = 0.0, 0.0, -unit, 0.4 * unit
    places = []
    for word, (up, wide) in zip(words, rng.standard_normal((len(words), 2)).tolist(), strict=True):
        y = 0.6 * y + wander * up
        if word:
            mask, (_, ink_top) = face.getmask2(word, "L", anchor="ls")
            places.append((x, ink_top + y, mask))
            top, bottom = min(top, ink_top + y), max(bottom, ink_top + mask.size[1] + y)
            x += mask.size[0]
        x += gap * max(0.45, 1 + spread * wide)
    pad = int(0.7 * unit) + 2
    base = pad - top
    size = (int(x) + 1 + 2 * pad, int(np.ceil(bottom - top)) + 2 * pad)
    canvas = Image.new("L", size)
    pen = ImageDraw.Draw(canvas).draw
    for word_x, word_y, mask in places:
        pen.draw_bitmap((pad + int(word_x), int(base + word_y)), mask, 255)
    drawn = np.asarray(canvas)

    if not printed:
        wanted = float(np.clip(rng.lognormal(np.log(0.125), 0.33), 0.05, 0.3))
        change = float(np.clip(0.75 * (wanted - font.stroke), -0.45 * font.stroke, 0.13)) * unit
        if abs(change) > 0.15:
            drawn = _set_weight(drawn, change)

    scale = x_height / unit
    stretch = 1.0 if printed else float(np.exp(np.clip(rng.normal(0, 0.13), -0.35, 0.35)))
    slant = 0.0 if printed else float(rng.normal(0, 0.16) if rng.random() < 0.88 else rng.uniform(0.15, 0.75))
    lean = abs(slant) * max(base, size[1] - base) * scale
    h, w = int(np.ceil(size[1] * scale)), int(np.ceil(size[0] * scale * stretch + 2 * lean))
    baseline = base * scale
    # The source in the drawing of each pixel of the result.
    ys = np.arange(h, dtype=np.float32)[:, None]
    xs = np.arange(w, dtype=np.float32)[None, :]
    from_y = np.broadcast_to(ys, (h, w))
    from_x = (xs - np.float32(lean)) + np.float32(slant) * (ys - np.float32(baseline))
    if not printed:
        letters = max(2.0, float(rng.uniform(0.7, 1.3)) * x_height)
        strength = float(np.clip(abs(rng.normal(0.07, 0.035)), 0.02, 0.14)) * x_height
        wave = float(abs(rng.normal(0, 0.1))) * x_height
        slope = float(rng.normal(0, 0.008))
        phase, length = float(rng.uniform(0, 6.3)), float(rng.uniform(8, 40)) * x_height
        drift = wave * np.sin(2 * np.pi * xs / length + phase) + slope * (xs - w / 2)
        across, along = _smooth_fields(rng, (h, w), letters)
        from_y = from_y + np.float32(strength) * across + drift.astype(np.float32)
        from_x = from_x + np.float32(strength * 1.2) * along
    if scale < 0.8:
        drawn = cv2.blur(drawn, (2, 2))
    shrink = np.float32(1 / scale)
    coverage = cv2.remap(drawn, from_x * np.float32(1 / (scale * stretch)), from_y * shrink, cv2.INTER_LINEAR)
    return np.asarray(coverage, np.uint8), float(baseline)
