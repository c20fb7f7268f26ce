"""The command `text-recognizer`. Heavy packages are imported late, so that --help is fast."""

import argparse
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from text_recognizer import __version__, formats
from text_recognizer.devices import CPU, DEVICE_HELP
from text_recognizer.embedded import EMBEDDED_HELP
from text_recognizer.errors import (
    INTERRUPTED,
    ExtraMissing,
    OutputFailed,
    TextRecognizerError,
    UsageError,
    exit_statuses,
    install_hint,
    printable,
)

if TYPE_CHECKING:
    from text_recognizer.documents import PageReference
    from text_recognizer.formats import About, Format, Sheet, Writer
    from text_recognizer.images import LoadedImage
    from text_recognizer.page import Page
    from text_recognizer.reader import Reader

EXIT_STATUSES = (
    "exit status:\n"
    + "".join(
        f"  {status:<4} {meaning}{f'; {advice}' if advice else ''}\n" for status, _, meaning, advice in exit_statuses()
    )
    + "\nIf an image fails, the others are still read; the status is that of the first failure.\n"
)

# Commands that parse their own arguments: module with `main(argv) -> int`, the extra it needs, and its purpose.
COMMANDS = {
    "batch": ("text_recognizer.batch.cli", "", "read folders, archives and long documents in several processes"),
    "app": ("text_recognizer.app.cli", "app", "the web page where people read, correct and flag"),
    "mcp": ("text_recognizer.integrations.mcp", "mcp", "let an assistant read below one folder, over MCP"),
    "feedback": ("text_recognizer.feedback.cli", "review", "list, delete and export what people reported"),
    "monitor": ("text_recognizer.monitoring.cli", "review", "report on readings, and check them against rules"),
    "evaluate": ("text_recognizer.evaluation.evaluate", "measure", "measure CER and WER on a set of lines or pages"),
    "models": ("text_recognizer.promotion.cli", "measure", "list, promote, roll back, push and pull models"),
    "doctor": ("text_recognizer.doctor", "", "check this machine and installation, and advise"),
    "train": ("text_recognizer.training.cli", "train", "train, fine-tune and stage models; prepare their data"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            return _run_command(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        return _serve(options) if options.command == "serve" else _read(options)
    except TextRecognizerError as error:
        _complain(error)
        return error.exit_status
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has ended, as `head` does; the interpreter must not fail on it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OutputFailed.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="text-recognizer",
        description="Reads pages of handwriting.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"text-recognizer {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    read = commands.add_parser(
        "read",
        help="read images of pages and print their text",
        description="Read images of handwritten pages and print their text.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        help="write here instead of to standard output; with several documents, or with a / at the end, a folder "
        "with one file per document. A name with the ending of the format joins all pages in one document",
    )
    read.add_argument("--embedded-text", action="store_true", help=EMBEDDED_HELP)
    read.add_argument("--pdfa", action="store_true", help="PDFs as PDF/A-2b, if need be made of pictures of the pages")
    read.add_argument(
        "--mode",
        choices=("fast", "accurate"),
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
    read.add_argument("--threads", type=_positive, metavar="N", help="processor threads to use; default: all cores")
    read.add_argument("--device", default=CPU, help=DEVICE_HELP)
    serve = commands.add_parser(
        "serve",
        help="serve the HTTP API (needs the 'serve' extra)",
        description="Serve the HTTP API of docs/serve/service.md. Arguments override the environment: "
        "TEXT_RECOGNIZER_QUEUE, TEXT_RECOGNIZER_API_KEYS and others, listed there.",
    )
    serve.add_argument("--host", help="address to listen on; default: 127.0.0.1, only this machine")
    serve.add_argument("--port", type=int, help="default: 8000; 0 for any free port")
    serve.add_argument("--model", metavar="NAME", help="a registered model, or the folder of a bundle")
    serve.add_argument("--threads", type=_positive, metavar="N", help="processor threads to read with; default: all")
    serve.add_argument("--device", help=DEVICE_HELP)
    serve.add_argument("--workers", type=_positive, metavar="N", help="processes; default: 1")
    for name, (_, extra, purpose) in COMMANDS.items():
        commands.add_parser(name, help=purpose + (f" (needs the '{extra}' extra)" if extra else ""), add_help=False)
    return parser


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in formats.NAMES]:
        raise argparse.ArgumentTypeError(f"there is no format '{unknown[0]}'; give some of {', '.join(formats.NAMES)}")
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _read(options: argparse.Namespace) -> int:
    """`text-recognizer read`: every image is tried; the status is that of the first failure."""
    # Pillow warns of oddities in files that it can read; a file that it cannot read becomes one line of ours.
    warnings.filterwarnings("ignore", module="PIL")
    for name in options.format:
        formats.get_format(name)  # what a format needs is missing at once, not after reading
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
    outputs = _outputs(documents, options)
    reader = Reader(Path(options.bundle) if options.bundle else options.model, options.threads, device=options.device)
    reader.check_device()
    statuses: list[int] = []
    with _progress(outputs) as advance:
        for output in outputs:
            try:
                _read_document(output, reader, options, statuses, advance)
            except TextRecognizerError as error:  # of the whole: a file that cannot be written
                _complain(error, output.pages[0].name)
                statuses.append(error.exit_status)
    return next(iter(statuses), 0)


@dataclass(frozen=True)
class _Output:
    """Pages that are written together, and the file for each format; no files where they go to standard output.

    `joined`: they come from several documents.
    """

    pages: list["PageReference"]
    files: dict[str, Path]
    joined: bool = False
    standard: "_Standard | None" = None


def _read_document(
    output: _Output,
    reader: "Reader",
    options: argparse.Namespace,
    statuses: list[int],
    advance: Callable[[], None],
) -> None:
    """Read the pages of an output and write them; what is wrong with one of them does not cost the others."""
    from text_recognizer.sheets import about_document, make_sheet

    with ExitStack() as open_files:
        writers: list[Writer] = []
        for number, page in enumerate(output.pages, 1):
            name = page.name if page.count == 1 else f"{page.name}, page {page.number}"
            try:
                read, image = _read_one(reader, page, options)
                if not writers:  # where no page can be read, nothing is written
                    about = about_document(
                        page,
                        keep_pdf="pdf" in options.format and not output.joined,
                        pdf_a=options.pdfa,
                        languages=[read.language] if read.language else reader.bundle.description.languages,
                    )
                    writers = [_writer(output, chosen, about, open_files) for chosen in options.format]
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
                _complain(error, name)
                statuses.append(error.exit_status)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:  # one page must not fail the others
                import traceback

                traceback.print_exc()
                unexpected = TextRecognizerError
                _complain(f"{unexpected.meaning} ({type(error).__name__}); {unexpected.advice}", name)
                statuses.append(unexpected.exit_status)
            advance()


def _writer(output: _Output, name: str, about: "About", open_files: ExitStack) -> "Writer":
    """Writes the pages of `output` in one format, into its file or to standard output."""
    from text_recognizer.formats.document import DocumentFile

    chosen = formats.get_format(name)
    whole = len(output.pages) > 1 or about.original is not None
    if name in output.files:
        path = output.files[name]
        return open_files.enter_context(DocumentFile(name, path, about)) if whole else _OneFile(chosen, path)
    if whole and chosen.stands_alone:
        return open_files.enter_context(closing(_Stream(name, about)))
    assert output.standard is not None
    return output.standard


class _OneFile:
    """A page in a file."""

    def __init__(self, chosen: "Format", path: Path) -> None:
        self._format, self._path = chosen, path

    def add(self, sheet: "Sheet") -> None:
        from text_recognizer.formats.document import write_file

        write_file(self._path, self._format.write(sheet.page, sheet.source, sheet.picture))

    def close(self) -> None:
        pass


class _Stream:
    """A document on standard output; it is put together beside it, since what makes PDFs goes back in its file."""

    def __init__(self, name: str, about: "About") -> None:
        from text_recognizer.formats.document import open_document

        self._whole = TemporaryFile()  # noqa: SIM115, closed below
        self._writer = open_document(name, self._whole, about)

    def add(self, sheet: "Sheet") -> None:
        self._writer.add(sheet)

    def close(self) -> None:
        self._writer.close()
        self._whole.seek(0)
        while part := self._whole.read(1 << 20):
            _print(part)
        self._whole.close()


class _Standard:
    """Pages that follow each other on standard output; `heads`: whether their texts need headings."""

    def __init__(self, chosen: "Format", heads: bool) -> None:
        self._format, self.heads, self._begun = chosen, heads and chosen.heads_several, False

    def add(self, sheet: "Sheet") -> None:
        document = self._format.write(sheet.page, sheet.source, sheet.picture)
        if self.heads:
            separator = "\n" if self._begun else ""
            document = f"{separator}==> {_shown(sheet.source)} <==\n".encode(errors="replace") + document
        elif self._begun:
            document = document.removeprefix(self._format.opening)
        _print(document)
        self._begun = True

    def close(self) -> None:
        pass


def _outputs(documents: list[list["PageReference"]], options: argparse.Namespace) -> list[_Output]:
    """What is written together, and where."""
    from text_recognizer.formats.document import FOLDERS, ending

    names: tuple[str, ...] = options.format
    count = sum(map(len, documents))
    if options.output is None:
        chosen = formats.get_format(names[0])
        if len(names) > 1:
            raise UsageError("several formats need a file each; give --output DIR/")
        if chosen.stands_alone and (len(documents) > 1 or (chosen.name in FOLDERS and count > 1)):
            raise UsageError(f"several {chosen.name} documents need a file each; give --output DIR/")
        if chosen.is_binary and sys.stdout.isatty():
            raise UsageError(f"{chosen.name} is not for a terminal; give --output FILE")
        standard = _Standard(chosen, heads=count > 1 and not options.lines_only)
        return [_Output(pages, {}, standard=standard) for pages in documents]
    output = Path(options.output)
    is_folder = options.output.endswith(("/", os.sep)) or _is_folder(output)
    inputs = {Path(source.removeprefix("@")) for source in options.images}  # lists and manifests are no pages
    inputs |= {page.source.path for pages in documents for page in pages if page.source.path is not None}
    protected = {found: path for path in inputs if (found := _same(path))}
    endings = {name: ending(name, names, count) for name in names}
    known = {suffix for name in names for suffix in (ending(name, names, 1), ending(name, names, 2))}
    suffix = next((s for s in sorted(known, key=len, reverse=True) if output.name.lower().endswith(s)), None)
    everything = [page for pages in documents for page in pages]
    if not is_folder and (suffix or (len(documents) == len(names) == 1)):
        stem = output.name[: -len(suffix)] if suffix else output.name
        files = (
            {name: output.with_name(stem + endings[name]) for name in names} if len(names) > 1 else {names[0]: output}
        )
        for target in files.values():
            _check_not_input(target, protected)
        return [_Output(everything, files, joined=len(documents) > 1)]
    outputs: list[_Output] = []
    targets: dict[Path, PageReference] = {}
    for pages in documents:
        whole = pages[0].whole
        files = {name: output / whole.with_name(whole.name + ending(name, names, len(pages))) for name in names}
        outputs.append(_Output(pages, files))
        for target in files.values():
            if target in targets:
                raise UsageError(
                    f"{targets[target].name} and {pages[0].name} would both be written to {target}; read them "
                    "separately, or with 'text-recognizer batch'"
                )
            targets[target] = pages[0]
            _check_not_input(target, protected)
    try:
        for folder in {target.parent for target in targets} or {output}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {output} ({error.strerror}); choose another --output") from None
    return outputs


def _serve(options: argparse.Namespace) -> int:
    """`text-recognizer serve`: runs until it is stopped."""
    given = {name: value for name, value in vars(options).items() if name != "command" and value is not None}
    # With the web page if its packages are installed; the service does not depend on it.
    page = ["text_recognizer.app.mounted:create_app"] if find_spec("gradio") else []
    return _with_extra("serve", "serve", lambda: import_module("text_recognizer.service.serve").serve(given, *page))


def _read_one(
    reader: "Reader", page: "PageReference", options: argparse.Namespace
) -> tuple["Page", "LoadedImage | None"]:
    from text_recognizer.page import Page

    if not options.lines_only:
        return reader.read_reference(page, options.mode, language=options.language, embedded_text=options.embedded_text)
    image = page.load()
    height, width = image.gray.shape
    line = reader.read_line(
        image, options.mode, language=options.language
    )  # also if empty: one line of output per image
    return Page(width=width, height=height, lines=(line,), model=reader.model, dpi=image.dpi), image


def _check_not_input(target: Path, inputs: dict[tuple[int, int], Path]) -> None:
    """Raises UsageError where a result would replace one of the inputs, also by a link."""
    if (found := _same(target)) in inputs:
        raise UsageError(f"the result would replace {inputs[found]}; choose another --output")


def _same(path: Path) -> tuple[int, int] | None:
    """What two paths of the same file have in common; None for what is no file."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino) if stat.S_ISREG(about.st_mode) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _print(document: bytes) -> None:
    """Write to standard output as bytes: the same UTF-8 whatever the terminal's locale is."""
    try:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be written must not fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputFailed(f"cannot write the output ({error.strerror}); make room, or give --output FILE") from None


@contextmanager
def _progress(outputs: Sequence[_Output]) -> Iterator[Callable[[], None]]:
    """A bar on standard error for several pages, if it is a terminal and no text is printed to one."""
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


def _run_command(command: str, arguments: list[str]) -> int:
    module, extra, _ = COMMANDS[command]
    return _with_extra(command, extra, lambda: import_module(module).main(arguments))


def _with_extra(command: str, extra: str, run: Callable[[], int]) -> int:
    try:
        return run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == __package__:
            raise
        raise ExtraMissing(f"'{command}' needs the package '{missing}'; {install_hint(extra)}") from None


def _shown(source: str, longest: int = 200) -> str:
    """A source's name in a message: data URLs are long, and file names may hold what a terminal obeys."""
    return printable(source if len(source) <= longest else source[:longest] + "…")


def _complain(what: TextRecognizerError | str, source: str | None = None) -> None:
    place = f"{'standard input' if source == '-' else _shown(source)}: " if source else ""
    message = "\n".join(map(printable, str(what).split("\n")))
    print(f"text-recognizer: {place}{message}", file=sys.stderr, flush=True)
