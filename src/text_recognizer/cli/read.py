"""`text-recognizer read`: read images and documents and write their text in one or several formats."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from text_recognizer import formats
from text_recognizer.cli.outputs import Output, open_writer, plan_outputs
from text_recognizer.cli.terminal import complain
from text_recognizer.devices import CPU, DEVICE_HELP
from text_recognizer.embedded import EMBEDDED_HELP
from text_recognizer.errors import OutputFailed, TextRecognizerError, UsageError
from text_recognizer.page import MODES

if TYPE_CHECKING:
    from text_recognizer.documents import PageReference
    from text_recognizer.formats import Writer
    from text_recognizer.images import LoadedImage
    from text_recognizer.page import Page
    from text_recognizer.reader import Reader


def add_arguments(read: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    read.add_argument(
        "images",
        nargs="+",
        metavar="SOURCE",
        help="an image (PNG, JPEG, TIFF, WebP, HEIC and others), PDF, multi-page TIFF, ZIP or CBZ archive, folder, "
        "glob in quotes, @FILE with one source a line, URL, IIIF manifest, or - for standard input",
    )
    read.add_argument("--pages", metavar="RANGES", help="which pages of each document, such as 1-3,7,10-")
    read.add_argument("--password", help="of encrypted PDFs")
    read.add_argument(
        "--format",
        type=_formats,
        default=("text",),
        metavar="NAME[,NAME…]",
        help=f"one or several of {', '.join(formats.NAMES)}; default: text. The page is read once for all of them",
    )
    read.add_argument(
        "--output",
        metavar="FILE|DIR",
        type=_output,
        help="write here instead of to standard output (also -); with several documents, or with a / at the end, a "
        "folder with one file per document. A name with the ending of the format joins all pages in one document",
    )
    read.add_argument("--embedded-text", action="store_true", help=EMBEDDED_HELP)
    read.add_argument("--pdfa", action="store_true", help="PDFs as PDF/A-2b, if necessary from pictures of the pages")
    read.add_argument(
        "--mode",
        choices=MODES,
        default="accurate",
        help="accurate (default), or fast: one pass, more errors",
    )
    read.add_argument(
        "--language", metavar="TAG", help="language of the text, such as fr; default: chosen for each page"
    )
    read.add_argument(
        "--lines-only",
        action="store_true",
        help="each image shows one line of text: read it as it is, without finding lines",
    )
    which = read.add_mutually_exclusive_group()
    which.add_argument("--bundle", metavar="DIR", help="folder of the model; default: the shipped one")
    which.add_argument("--model", metavar="NAME", help="a registered model: production, staging, NAME or NAME@VERSION")
    read.add_argument("--threads", type=positive, metavar="N", help="processor threads to use; default: all cores")
    read.add_argument("--device", default=CPU, help=DEVICE_HELP)


def _formats(text: str) -> tuple[str, ...]:
    try:
        return formats.names_in(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _output(text: str) -> str | None:
    return None if text == "-" else text


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def run(options: argparse.Namespace) -> int:
    """`text-recognizer read`: try every image, and return the exit status of the first failure."""
    # Pillow warns about oddities in files that it can read. For a file that it cannot read, we print our own message.
    warnings.filterwarnings("ignore", module="PIL")
    for name in options.format:
        formats.get_format(name)  # report a missing package of a format now, not after reading
    from text_recognizer.documents import find_pages, no_such_page
    from text_recognizer.reader import Reader

    documents: list[list[PageReference]] = []
    for source in options.images:
        found = find_pages(
            [sys.stdin.buffer if source == "-" else source], pages=options.pages, password=options.password
        )
        for _, pages in groupby(found, lambda page: page.document):
            if source == "-":
                pages = (replace(page, name="-", whole=PurePosixPath("stdin")) for page in pages)
            documents.append(list(pages))
    if not documents:
        raise no_such_page(options.pages)
    outputs = plan_outputs(documents, options)
    reader = Reader(Path(options.bundle) if options.bundle else options.model, options.threads, device=options.device)
    reader.check_device()
    statuses: list[int] = []
    with _progress(outputs) as advance:
        for output in outputs:
            try:
                _read_document(output, reader, options, statuses, advance)
            except TextRecognizerError as error:  # about the whole document, such as a file that cannot be written
                complain(error, output.pages[0].name)
                statuses.append(error.exit_status)
    return next(iter(statuses), 0)


def _read_document(
    output: Output,
    reader: Reader,
    options: argparse.Namespace,
    statuses: list[int],
    advance: Callable[[], None],
) -> None:
    """Read the pages of an output and write them. A bad page does not affect the others."""
    from text_recognizer.sheets import about_document, make_sheet

    with ExitStack() as open_files:
        writers: list[Writer] = []
        for number, page in enumerate(output.pages, 1):
            name = page.name if page.count == 1 else f"{page.name}, page {page.number}"
            try:
                read, image = _read_one(reader, page, options)
                if not writers:  # open files only now: if no page can be read, nothing is written
                    about = about_document(
                        page,
                        keep_pdf="pdf" in options.format and not output.joined,
                        pdf_a=options.pdfa,
                        languages=[read.language] if read.language else reader.bundle.description.languages,
                    )
                    writers = [open_writer(output, chosen, about, open_files) for chosen in options.format]
                sheet = make_sheet(page, image, read, options.format, about)
                if output.joined:
                    sheet = replace(sheet, number=number)
                if output.standard is not None:
                    sheet = replace(sheet, source=name if output.standard.heads else page.name)
                for writer in writers:
                    writer.add(sheet)
            except OutputFailed:
                raise
            except TextRecognizerError as error:
                complain(error, name)
                statuses.append(error.exit_status)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:  # one bad page must not fail the others
                import traceback

                traceback.print_exc()
                unexpected = TextRecognizerError
                complain(f"{unexpected.meaning} ({type(error).__name__}); {unexpected.advice}", name)
                statuses.append(unexpected.exit_status)
            advance()


def _read_one(reader: Reader, page: PageReference, options: argparse.Namespace) -> tuple[Page, LoadedImage | None]:
    from text_recognizer.page import Page

    if not options.lines_only:
        return reader.read_reference(page, options.mode, language=options.language, embedded_text=options.embedded_text)
    image = page.load()
    height, width = image.gray.shape
    line = reader.read_line(
        image, options.mode, language=options.language
    )  # also if empty: one line of output per image
    return Page(width=width, height=height, lines=(line,), model=reader.model, dpi=image.dpi), image


@contextmanager
def _progress(outputs: Sequence[Output]) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error for several pages, if that is a terminal and no text is printed to one."""
    to_terminal = any(not output.files for output in outputs) and sys.stdout.isatty()
    count = sum(len(output.pages) for output in outputs)
    if count < 2 or not sys.stderr.isatty() or to_terminal:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("", total=count)
        yield lambda: bar.advance(task)
