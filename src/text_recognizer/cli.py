"""The command `text-recognizer`. Heavy packages are imported late, so that --help is fast."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from text_recognizer import __version__, formats
from text_recognizer.devices import CPU, DEVICE_HELP
from text_recognizer.errors import (
    INTERRUPTED,
    ExtraMissing,
    OutputFailed,
    TextRecognizerError,
    UsageError,
    exit_statuses,
    install_hint,
)

if TYPE_CHECKING:
    from text_recognizer.documents import PageReference
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
        choices=formats.NAMES,
        default="text",
        help="text (default); json: one object per image and line, with positions and confidences; alto, page (PAGE "
        "XML), hocr; pdf: searchable; csv: a row per line; tsv: a row per word",
    )
    read.add_argument(
        "--output",
        metavar="FILE|DIR",
        help="write here instead of to standard output; with several images, or with a / at the end, a folder "
        "with one file per image",
    )
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _read(options: argparse.Namespace) -> int:
    """`text-recognizer read`: every image is tried; the status is that of the first failure."""
    # Pillow warns of oddities in files that it can read; a file that it cannot read becomes one line of ours.
    warnings.filterwarnings("ignore", module="PIL")
    chosen = formats.get_format(options.format)
    from text_recognizer.documents import find_pages
    from text_recognizer.reader import Reader

    pages: list[PageReference] = []
    for source in options.images:
        found = find_pages(
            [sys.stdin.buffer if source == "-" else source], pages=options.pages, password=options.password
        )
        pages += [replace(page, name="-", stem=PurePosixPath("stdin")) if source == "-" else page for page in found]
    targets = _targets(pages, options)
    reader = Reader(Path(options.bundle) if options.bundle else options.model, options.threads, device=options.device)
    statuses = []
    first = True
    with _progress(targets) as advance:
        for page, target in targets:
            name = page.name if page.count == 1 else f"{page.name}, page {page.number}"
            try:
                image = page.load()
                read = _read_one(reader, image, options)
                picture = page.picture(image) if chosen.needs_picture else None
                heading = name if len(targets) > 1 else None
                _put(chosen.write(read, page.name, picture), target, options, first, heading)
                first = False
            except TextRecognizerError as error:
                _complain(error, name)
                statuses.append(error.exit_status)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:  # one page must not cost the others
                import traceback

                traceback.print_exc()
                unexpected = TextRecognizerError
                _complain(f"{unexpected.meaning} ({type(error).__name__}); {unexpected.advice}", name)
                statuses.append(unexpected.exit_status)
            advance()
    return next(iter(statuses), 0)


def _serve(options: argparse.Namespace) -> int:
    """`text-recognizer serve`: runs until it is stopped."""
    given = {name: value for name, value in vars(options).items() if name != "command" and value is not None}
    # With the web page if its packages are installed; the service does not depend on it.
    page = ["text_recognizer.app.mounted:create_app"] if find_spec("gradio") else []
    return _with_extra("serve", "serve", lambda: import_module("text_recognizer.service.serve").serve(given, *page))


def _read_one(reader: "Reader", image: "LoadedImage", options: argparse.Namespace) -> "Page":
    from text_recognizer.page import Page

    if not options.lines_only:
        return reader.read(image, options.mode, language=options.language)
    height, width = image.gray.shape
    line = reader.read_line(
        image, options.mode, language=options.language
    )  # also if empty: one line of output per image
    return Page(width=width, height=height, lines=(line,), model=reader.model)


def _targets(pages: list["PageReference"], options: argparse.Namespace) -> list[tuple["PageReference", Path | None]]:
    """Each page with the file that its result goes to, or None for standard output."""
    chosen = formats.get_format(options.format)
    if options.output is None:
        if len(pages) > 1 and chosen.stands_alone:
            raise UsageError(f"several {chosen.name} documents need a file each; give --output DIR/")
        if chosen.needs_picture and sys.stdout.isatty():
            raise UsageError(f"{chosen.name} is not for a terminal; give --output FILE")
        return [(page, None) for page in pages]
    output = Path(options.output)
    if len(pages) == 1 and not options.output.endswith(("/", os.sep)) and not output.is_dir():
        _check_not_input(output, pages)
        return [(pages[0], output)]
    targets: dict[Path, PageReference] = {}
    for page in pages:
        target = output / page.stem.with_name(page.stem.name + chosen.suffix)
        if target in targets:
            raise UsageError(
                f"{targets[target].name} and {page.name} would both be written to {target}; read them separately, or "
                "with 'text-recognizer batch'"
            )
        targets[target] = page
        _check_not_input(target, pages)
    try:
        for folder in {target.parent for target in targets} or {output}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {output} ({error.strerror}); choose another --output") from None
    return [(page, target) for target, page in targets.items()]


def _check_not_input(target: Path, pages: list["PageReference"]) -> None:
    """Raises UsageError where a result would replace one of the images."""
    for page in pages:
        if (path := page.source.path) is not None and target.exists() and path.exists() and target.samefile(path):
            raise UsageError(f"the result would replace the image {path}; choose another --output")


def _put(document: bytes, target: Path | None, options: argparse.Namespace, first: bool, heading: str | None) -> None:
    """Write one document; `heading` tells several in one output apart."""
    if target is not None:
        try:
            target.write_bytes(document)
        except OSError as error:
            raise OutputFailed(f"cannot write {target} ({error.strerror}); choose another --output") from None
        return
    out = sys.stdout.buffer  # bytes: the same UTF-8 whatever the terminal's locale is
    chosen = formats.get_format(options.format)
    try:
        if chosen.heads_several and heading is not None and not options.lines_only:
            separator = "" if first else "\n"
            out.write(f"{separator}==> {_shown(heading)} <==\n".encode(errors="replace"))
        out.write(document if first else document.removeprefix(chosen.opening))
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be written must not fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputFailed(f"cannot write the output ({error.strerror}); make room, or give --output FILE") from None


@contextmanager
def _progress(targets: Sequence[tuple["PageReference", Path | None]]) -> Iterator[Callable[[], None]]:
    """A bar on standard error for several images, if it is a terminal and no text is printed to one."""
    to_terminal = any(target is None for _, target in targets) and sys.stdout.isatty()
    if len(targets) < 2 or not sys.stderr.isatty() or to_terminal:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("", total=len(targets))
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
    """A source's name in a message: data URLs are long."""
    return source if len(source) <= longest else source[:longest] + "…"


def _complain(what: TextRecognizerError | str, source: str | None = None) -> None:
    place = f"{'standard input' if source == '-' else _shown(source)}: " if source else ""
    print(f"text-recognizer: {place}{what}", file=sys.stderr, flush=True)
