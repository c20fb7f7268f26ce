"""Image → lines → text → Page: the one place where layout and recognition meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.description import UNDETERMINED, Decoding
from text_recognizer.devices import CPU, check_device
from text_recognizer.documents import DocumentSource, PageReference, find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.images import MAX_PIXELS, ImageSource, LoadedImage, load_image
from text_recognizer.layout.blocks import arrange
from text_recognizer.layout.cleaning import clean_line, clean_page
from text_recognizer.layout.crops import crop_line, word_polygon
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.insertions import Insertion, find_insertions, insert
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.layout.looks import find_lines, quarters_upright
from text_recognizer.layout.orientation import Orientation, Place, upright_margin
from text_recognizer.layout.skew import move_points, skew_angle, turn_back
from text_recognizer.page import Line, Mode, Page, Polygon, Polyline, Word, orientation_of
from text_recognizer.pdf_process import Pdfs
from text_recognizer.recognition.alone import numbers_of
from text_recognizer.recognition.recognizer import LineReading, Recognizer, WordReading
from text_recognizer.registry import resolve

FOOT = 0.3  # share of a line's height in a paragraph that is below its baseline
MOST_ARRANGED = 1000  # lines of embedded text: ordering takes seconds if they are scattered, else a tenth of a second


class Reader:
    """Reads pages with one model. Safe to share between threads; can be pickled for other processes.

    `bundle`: a model folder, the name of a registered model (`production`, `NAME`, `NAME@VERSION`; see `registry.py`),
    or None for the one that ships with the package. It is opened and verified at once; graphs are loaded when first
    needed. `threads`: processor threads, None for all cores. `decoding`: overrides that of the bundle. `device`: where
    the graphs run, `cpu`, `cuda`, `openvino`, `coreml` or `directml` (see `devices`).
    Raises `BundleInvalid`, and `UsageError` for a device that is absent.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str | None = None,
        threads: int | None = None,
        decoding: Decoding | None = None,
        device: str = CPU,
    ) -> None:
        check_device(device)
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(resolve(bundle))
        self.threads = threads
        self.decoding = decoding
        self.device = device
        self.model = str(self.bundle)

    def __reduce__(self) -> tuple[Any, ...]:
        # Sessions cannot be pickled: they are loaded again.
        return Reader, (self.bundle, self.threads, self.decoding, self.device)

    def read(
        self,
        image: ImageSource,
        mode: Mode = "accurate",
        lines: Sequence[Place] | None = None,
        *,
        language: str | None = None,
    ) -> Page:
        """Read a page: find its lines, or take `lines` (polygon and baseline, in pixels, in order), and read each.

        "fast" takes one pass for all lines. "accurate" takes three to ten times as long and makes fewer errors. A blank
        page has no lines. `language`: one of `languages`, or None to identify it. Raises `ImageRejected` if
        the image cannot be read, and `UsageError` for a language that the model does not know.
        """
        layout = self.lay_out(image, lines, language=language)
        recognizer = self.recognizer.in_language(layout.language)
        readings = recognizer.read_lines(layout.crops, mode, only_writing=lines is None)
        return layout.page((layout.line(i, reading) for i, reading in enumerate(readings)), self.model)

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 tags of the languages that the model reads, its default first."""
        return self.recognizer.languages

    def lay_out(
        self, image: ImageSource, lines: Sequence[Place] | None = None, *, language: str | None = None
    ) -> LaidOut:
        """The first half of `read`, for callers that batch lines across pages: find the lines and crop them."""
        if language is not None:
            language = self.recognizer.in_language(language).language_tag
        loaded = load_image(image, colour=False)
        gray = clean_page(loaded.gray)
        height = self.recognizer.line_height
        ordered = lines is not None
        if lines is None and self.recognizer.reads_paragraphs:
            found = self._paragraph(gray)
        elif lines is None:
            found = find_lines(gray, self.line_finder, self.recognizer.ctc_probabilities, height)
        else:
            found = [(line, crop_line(gray, *line, height)) for line in lines]
        places, crops = tuple(place for place, _ in found), tuple(crop for _, crop in found)
        language = language or self.recognizer.identify_language(crops)
        insertions = () if ordered else find_insertions(gray, places)
        return LaidOut(gray.shape[1], gray.shape[0], places, crops, language, ordered, loaded.dpi, insertions)

    def _paragraph(self, gray: NDArray[np.uint8]) -> list[tuple[Place, NDArray[np.uint8]]]:
        """The lines of a page that shows one paragraph, with their crops, found by the bundle's paragraph network."""
        degrees = skew_angle(gray)
        turned, back = turn_back(gray, degrees) if degrees else (gray, np.eye(2, 3))
        (left, top), _, (right, bottom), _ = line_polygon(turned)
        part = np.ascontiguousarray(turned[round(top) : round(bottom), round(left) : round(right)])

        def place(start: float, end: float) -> tuple[Polygon, Polyline]:
            upper, lower = (top + (bottom - top) * edge for edge in (start, end))
            foot = lower - FOOT * (lower - upper)
            return ((left, upper), (right, upper), (right, lower), (left, lower)), ((left, foot), (right, foot))

        lines = self.recognizer.paragraph_lines(
            part, lambda start, end: crop_line(turned, *place(start, end), self.recognizer.line_height)
        )
        limit = gray.shape[1] - 1.0, gray.shape[0] - 1.0
        found = [(*place(start, end), crop) for start, end, crop in lines]
        return [
            ((move_points(polygon, back, limit), move_points(baseline, back, limit)), crop)
            for polygon, baseline, crop in found
        ]

    def orientation(self, image: ImageSource) -> Orientation:
        """Determine which way up a page is, from three of its lines, without reading the rest."""
        loaded, recognizer = load_image(image, colour=False), self.recognizer
        found = quarters_upright(
            clean_page(loaded.gray), self.line_finder, recognizer.ctc_probabilities, recognizer.line_height
        )
        if found is not None:
            quarters, crops = found
            return Orientation(-90 * quarters % 360, upright_margin(crops, recognizer.ctc_confidence))
        layout = self.lay_out(loaded)
        return Orientation(layout.orientation, upright_margin(layout.crops, recognizer.ctc_confidence))

    def read_line(self, image: ImageSource, mode: Mode = "accurate", *, language: str | None = None) -> Line:
        """Read an image that shows a single line of text. The text of a blank image is empty."""
        gray = clean_line(load_image(image, colour=False).gray)
        polygon = line_polygon(gray)
        crop = crop_line(gray, polygon, None, self.recognizer.line_height)
        recognizer = self.recognizer.in_language(language or self.recognizer.identify_language([crop]))
        return _line(polygon, None, recognizer.read_lines([crop], mode)[0])

    def read_pages(
        self,
        source: DocumentSource,
        mode: Mode = "accurate",
        *,
        pages: str | None = None,
        password: str | None = None,
        language: str | None = None,
        embedded_text: bool = False,
        on_error: Callable[[PageReference, ImageRejected], None] | None = None,
    ) -> Iterator[Page]:
        """Read documents, archives or folders, one page at a time (see `documents.find_pages`).

        Only one page at a time is in memory. `on_error` receives each page that cannot be read, and the others are
        still read; without it, the first such page raises `ImageRejected`. `pages`: such as "1-3,7,10-".
        `embedded_text`: as for `read_reference`.
        """
        references = find_pages(source, pages=pages, password=password)
        read = self.read_references(references, mode, language=language, embedded_text=embedded_text, on_error=on_error)
        yield from (page for _, page in read)

    def read_references(
        self,
        references: Iterable[PageReference],
        mode: Mode = "accurate",
        *,
        language: str | None = None,
        embedded_text: bool = False,
        on_error: Callable[[PageReference, ImageRejected], None] | None = None,
    ) -> Iterator[tuple[PageReference, Page]]:
        """`read_pages` for callers that need to know where each page comes from."""
        for reference in references:
            try:
                page, _ = self.read_reference(reference, mode, language=language, embedded_text=embedded_text)
            except ImageRejected as error:
                if on_error is None:
                    raise ImageRejected(f"{reference.name}, page {reference.number}: {error}") from error
                on_error(reference, error)
                continue
            yield reference, page

    def read_reference(
        self,
        reference: PageReference,
        mode: Mode = "accurate",
        *,
        language: str | None = None,
        embedded_text: bool = False,
    ) -> tuple[Page, LoadedImage | None]:
        """Read one page of a document. Also returns its image, or None if `reference.picture` does not need it.

        `embedded_text`: if a page of a PDF contains enough text, use it instead of recognising the page;
        `Page.embedded` is then true (see `embedded.has_enough`). Raises as `read` does.
        """
        if embedded_text and (page := embedded_page(reference)) is not None:
            return page, None
        image = reference.load(colour=not reference.shows_file)
        page = self.read(image, mode, language=language)
        return page, None if reference.shows_file else image

    def check_device(self) -> None:
        """Start the device, so that a failure is one error now and not one for each page. Raises `UsageError`."""
        if self.device != CPU:
            _ = self.line_finder

    # Loaded when first needed: callers that pass the lines need no line finder.
    @cached_property
    def line_finder(self) -> LineFinder:
        session = self.bundle.session("line_finder", self.threads, self.device)
        return LineFinder(session, self.bundle.description.line_finder)

    @cached_property
    def recognizer(self) -> Recognizer:
        return Recognizer(self.bundle, self.threads, self.decoding, device=self.device)


def embedded_page(reference: PageReference, *, max_pixels: int = MAX_PIXELS, pdfs: Pdfs | None = None) -> Page | None:
    """`PageReference.embedded_page` in reading order, with its blocks; very long pages stay in file order."""
    page = reference.embedded_page(max_pixels=max_pixels, pdfs=pdfs)
    if page is None or len(page.lines) > MOST_ARRANGED:
        return page
    lines, blocks = arrange(page.lines)
    return replace(page, lines=lines, blocks=blocks)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A page after layout and before recognition: the place of each line, and its straightened crop (H, W) uint8.

    `language`: the language in which the lines will be read. `dpi`: as in `Page`.
    """

    width: int
    height: int
    places: tuple[Place, ...]
    crops: tuple[NDArray[np.uint8], ...]
    language: str
    ordered: bool = False  # keep the caller's order of the lines
    dpi: float | None = None
    insertions: tuple[Insertion, ...] = ()

    @property
    def orientation(self) -> int:
        """As `Page.orientation`, before anything is read."""
        return orientation_of(baseline or () for _, baseline in self.places)

    def line(self, index: int, reading: LineReading) -> Line:
        """The line `index` with the reading of its crop."""
        return _line(*self.places[index], reading)

    def page(self, lines: Iterable[Line], model: str) -> Page:
        """The page made of `lines`, one for each place: without empty lines, in reading order, with blocks.

        Lines that the caller passed keep the caller's order and get no blocks.
        """
        known: list[Line | None] = list(lines)
        for insertion in self.insertions:
            host, added = known[insertion.host], known[insertion.line]
            if host is not None and added is not None and (merged := insert(host, added, insertion)) is not None:
                known[insertion.host], known[insertion.line] = merged, None
        written = tuple(line for line in known if line is not None and line.text)
        if not self.ordered:
            spans = [(min(x), max(x)) for x in ([x for x, _ in line.polygon] for line in written)]
            numbers = numbers_of([line.text for line in written], spans)
            written = tuple(map(_with_text, written, numbers))
        arranged, blocks = (written, ()) if self.ordered else arrange(written)
        return Page(
            width=self.width,
            height=self.height,
            lines=arranged,
            model=model,
            language="" if self.language == UNDETERMINED else self.language,
            blocks=blocks,
            dpi=self.dpi,
        )


def _with_text(line: Line, text: str) -> Line:
    """The line with its text replaced by `text`, which has as many words; the old text becomes an alternative."""
    if text == line.text:
        return line
    words = tuple(replace(word, text=new) for word, new in zip(line.words, text.split(), strict=True))
    return replace(line, text=text, words=words, alternatives=(line.text, *line.alternatives))


def _line(polygon: Polygon, baseline: Polyline | None, reading: LineReading) -> Line:
    def placed(words: Iterable[WordReading]) -> tuple[Word, ...]:
        return tuple(
            Word(
                text=word.text,
                polygon=word_polygon(polygon, baseline, word.start, word.end),
                confidence=word.confidence,
            )
            for word in words
        )

    return Line(
        text=reading.text,
        polygon=polygon,
        baseline=baseline or (),
        confidence=reading.confidence,
        words=placed(reading.words),
        alternatives=reading.alternatives,
        script=reading.script,
        struck=placed(reading.struck),
    )


@cache
def shared_reader() -> Reader:
    """The reader of the shipped bundle, created once per process."""
    return Reader()
