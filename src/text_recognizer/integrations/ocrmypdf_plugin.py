"""This project as the OCR engine of OCRmyPDF: `ocrmypdf --plugin text_recognizer.integrations.ocrmypdf_plugin …`.

There are two ways to use the plug-in. If both packages are installed, OCRmyPDF finds its entry point (`Offered`);
`--ocr-engine text-recognizer` then selects it, and `auto` stays Tesseract. If `--plugin` names this module, `auto`
selects it.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from argparse import ArgumentParser
from collections.abc import Set
from functools import lru_cache
from pathlib import Path
from typing import Any

from ocrmypdf import OcrEngine, OrientationConfidence, PageContext, hookimpl
from ocrmypdf.exceptions import BadArgsError
from ocrmypdf.helpers import available_cpu_count
from ocrmypdf.hocrtransform import HocrParser, OcrElement
from ocrmypdf.imageops import calculate_downsample, downsample_image
from PIL import Image

from text_recognizer.bundle import Bundle
from text_recognizer.description import UNDETERMINED
from text_recognizer.devices import CPU, DEVICE_HELP, check_device, share_python
from text_recognizer.errors import ImageRejected, TextRecognizerError
from text_recognizer.formats import get_format
from text_recognizer.images import MAX_PIXELS, MAX_SIDE, load_image
from text_recognizer.layout.skew import skew_angle
from text_recognizer.page import MODES, Page
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve

log = logging.getLogger(__name__)

NAME = "text-recognizer"
# OCRmyPDF turns a page at a confidence of 14 in Tesseract's units. The reader accepts a turn at a margin of 0.05.
UNITS = 15 / 0.05
_loading = threading.Lock()
# OCRmyPDF names languages by ISO 639-2, bundles by BCP 47.
_LANGUAGES = {
    "cs": "ces", "da": "dan", "de": "deu", "en": "eng", "es": "spa", "fi": "fin", "fr": "fra", "is": "isl", "it": "ita",
    "la": "lat", "nb": "nor", "nl": "nld", "no": "nor", "pl": "pol", "pt": "por", "sv": "swe",
}  # fmt: skip


def _code(tag: str) -> str:
    return _LANGUAGES.get(tag.partition("-")[0], tag)


class Engine(OcrEngine):
    """OCRmyPDF's engine interface. OCRmyPDF creates engines as needed, so readers are cached outside the class."""

    @staticmethod
    def version() -> str:
        return str(_bundle(None))

    @staticmethod
    def creator_tag(options: Any) -> str:
        return f"{NAME}, model {_bundle(_given(options, 'model'))}"

    def __str__(self) -> str:
        return f"{NAME} {self.version()}"

    @staticmethod
    def languages(options: Any) -> Set[str]:
        """The languages of the model. If it names none, the set is empty, which OCRmyPDF does not check."""
        tags = _bundle(_given(options, "model")).description.languages
        return {_code(tag) for tag in tags if tag != UNDETERMINED}

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        """The orientation of the page, as Tesseract's counter-clockwise angle, by which OCRmyPDF turns the page back.

        The layout cannot be kept for `generate_ocr`: this image is a JPEG preview, while that one is the page at
        another resolution, after rotation, deskewing and cleaning.
        """
        try:
            found = _reader(options).orientation(input_file)
        except ImageRejected:
            return OrientationConfidence(0, 0.0)
        return OrientationConfidence(-found.degrees % 360, UNITS * max(0.0, found.confidence))

    @staticmethod
    def get_deskew(input_file: Path, options: Any) -> float:
        """Degrees by which the page must be turned counter-clockwise to level its lines."""
        try:
            return skew_angle(load_image(input_file).gray)
        except ImageRejected:
            return 0.0

    @staticmethod
    def supports_generate_ocr() -> bool:
        return True

    @staticmethod
    def generate_ocr(input_file: Path, options: Any, page_number: int = 0) -> tuple[OcrElement, str]:
        page = _read(input_file, options)
        with tempfile.NamedTemporaryFile(suffix=".hocr") as file, Image.open(input_file) as image:
            Path(file.name).write_bytes(get_format("hocr").write(page, input_file.name))
            tree = HocrParser(file.name).parse()
            tree.page_number = page_number
            # A page scaled down for reading has its own dpi, by which OCRmyPDF puts the text in its place on the paper.
            tree.dpi = float(image.info["dpi"][0]) if "dpi" in image.info else None
        return tree, page.text

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        page = _read(input_file, options)
        output_hocr.write_bytes(get_format("hocr").write(page, input_file.name))
        output_text.write_text(page.text, encoding="utf-8")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        raise NotImplementedError("the text is drawn by OCRmyPDF: use --pdf-renderer auto")  # _check refuses it before


def _read(file: Path, options: Any) -> Page:
    """Read a page. If its image is rejected, return an empty page, so that the others are still read."""
    try:
        return _reader(options).read(file, _given(options, "mode") or "accurate", language=_language(options))
    except ImageRejected as error:
        log.warning("a page is left without text: %s", error)
        with Image.open(file) as image:
            return Page(width=image.width, height=image.height, lines=())


def _language(options: Any) -> str | None:
    """The requested language; None for several languages, and for `eng`, which is also OCRmyPDF's default."""
    if len(options.languages) > 1 or options.languages == ["eng"]:
        return None
    tags = _bundle(_given(options, "model")).description.languages
    return next((tag for tag in tags if _code(tag) in options.languages), None)


def _reader(options: Any) -> Reader:
    with _loading:  # several threads read pages, and each would load the model
        return _cached_reader(
            _given(options, "model"), _given(options, "threads") or 1, _given(options, "device") or CPU
        )


@lru_cache(1)
def _cached_reader(model: str | None, threads: int, device: str) -> Reader:
    share_python()  # OCRmyPDF reads pages in threads
    # Never load it in the parent of OCRmyPDF's processes: a model's threads do not survive a fork.
    return Reader(model, threads, device=device)


@lru_cache(2)
def _bundle(model: str | None) -> Bundle:
    return Bundle.open(resolve(model))


def _given(options: Any, name: str) -> Any:
    """An option of this plug-in; None if OCRmyPDF was called from Python without it."""
    return getattr(options, f"text_recognizer_{name}", None)


def _add_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group(NAME, "Reading of handwriting")
    # OCRmyPDF's own --ocr-engine has fixed choices, and both ways of using the plug-in may add the same options.
    group.conflict_handler = "resolve"
    group.add_argument(
        "--ocr-engine",
        choices=("auto", "tesseract", "none", NAME),
        default="auto",
        help=f"OCR engine: auto (default) is the one that --plugin names, else Tesseract; {NAME} reads handwriting; "
        "none only processes images",
    )
    group.add_argument("--text-recognizer-mode", choices=MODES, default="accurate", help="fast: one pass, more errors")
    group.add_argument("--text-recognizer-model", metavar="NAME", help="folder of a bundle, or a registered model")
    group.add_argument("--text-recognizer-device", default=CPU, metavar="NAME", help=DEVICE_HELP)


def _check(options: Any) -> None:
    """Raises `BadArgsError` for options that would fail on every page."""
    if options.pdf_renderer == "sandwich":
        raise BadArgsError(f"{NAME} does not draw PDFs itself: leave out --pdf-renderer sandwich")
    try:
        check_device(_given(options, "device") or CPU)
        _bundle(_given(options, "model"))
    except TextRecognizerError as error:
        raise BadArgsError(str(error)) from None


def _divide_threads(pdfinfo: Any, options: Any) -> None:
    """Divide the cores: OCRmyPDF reads pages in parallel, so a page gets several only if there are fewer pages."""
    jobs = options.jobs or available_cpu_count()
    options.extra_attrs["text_recognizer_threads"] = max(1, jobs // max(1, len(pdfinfo)))


def _fit(page: PageContext, image: Image.Image) -> Image.Image:
    """The image for the engine, scaled down if it exceeds the reader's limit."""
    size = calculate_downsample(image, max_size=(MAX_SIDE, MAX_SIDE), max_pixels=MAX_PIXELS)
    return downsample_image(image, size)


class Offered:
    """The plug-in as found by its entry point: it reads if `--ocr-engine` names it."""

    engines: tuple[str, ...] = (NAME,)

    @hookimpl
    def add_options(self, parser: ArgumentParser) -> None:
        _add_options(parser)

    @hookimpl
    def check_options(self, options: Any) -> None:
        if options.ocr_engine in self.engines:
            _check(options)

    @hookimpl
    def validate(self, pdfinfo: Any, options: Any) -> None:
        _divide_threads(pdfinfo, options)

    @hookimpl
    def filter_ocr_image(self, page: PageContext, image: Image.Image) -> Image.Image | None:
        return _fit(page, image) if page.options.ocr_engine in self.engines else None

    @hookimpl
    def get_ocr_engine(self, options: Any) -> OcrEngine | None:
        return Engine() if options is not None and options.ocr_engine in self.engines else None


class Named(Offered):
    """The plug-in as named by `--plugin`: it reads unless another engine is selected."""

    engines = ("auto", NAME)


offered = Offered()
# `--plugin` registers this module itself, and pluggy looks for hooks among its names.
_named = Named()
add_options, check_options, validate = _named.add_options, _named.check_options, _named.validate
filter_ocr_image, get_ocr_engine = _named.filter_ocr_image, _named.get_ocr_engine
