"""The command `text-recognizer`. Everything heavy is imported late: asking for help costs no model."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from text_recognizer import __version__, formats
from text_recognizer.errors import ExtraMissing, OutputFailed, TextRecognizerError, UsageError, install_hint

if TYPE_CHECKING:
    from text_recognizer.page import Page
    from text_recognizer.reader import Reader

EXIT_STATUSES = """\
exit status:
  0    everything was read (a blank page is read too: its text is empty)
  1    an error in this program; please report it
  2    wrong arguments
  3    an image was refused: missing, empty, damaged, too large, or not an image
  4    the model (bundle) is missing, damaged, or not of this project
  5    the result could not be written
  6    the command needs the packages of an extra
  7    data for training or evaluation is missing or damaged
  8    a model reads worse than the one in production
  9    feedback cannot be kept or looked at: its store is locked, full, unreachable or damaged
  10   a rule of monitoring fired
  130  interrupted

With several images the others are still read; the status is that of the first failure.
"""

# Commands that read their own arguments: module with `main(argv) -> int`, the extra it needs, and what it is for.
_COMMANDS = {
    "batch": ("text_recognizer.batch.cli", "", "read folders, archives and long documents in several processes"),
    "app": ("text_recognizer.app.cli", "app", "the web page where people read, correct and flag"),
    "feedback": ("text_recognizer.feedback.cli", "review", "list, delete and export what people reported"),
    "monitor": ("text_recognizer.monitoring.cli", "review", "report on what is read, and check it against rules"),
    "evaluate": ("text_recognizer.evaluation.evaluate", "measure", "measure CER and WER on a set of lines or pages"),
    "models": ("text_recognizer.promotion.cli", "measure", "list, promote, roll back, push and pull models"),
    "doctor": ("text_recognizer.doctor", "", "check this machine and installation, and advise"),
    "train": ("text_recognizer.training.cli", "train", "train, fine-tune and stage models; prepare their data"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _COMMANDS:
            return _run_command(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        return _serve(options) if options.command == "serve" else _read(options)
    except TextRecognizerError as error:
        _complain(error)
        return error.exit_status
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; the interpreter must not trip over it once more at exit.
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
        metavar="PATH",
        help="PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000 or AVIF; an http(s) or data URL; - for standard input",
    )
    read.add_argument(
        "--format",
        choices=formats.NAMES,
        default="text",
        help="text (default); json: one object an image on one line, with places and confidences; alto, page (PAGE "
        "XML), hocr; pdf: to search and copy from (needs the 'pdf' extra); csv: a row a line; tsv: a row a word",
    )
    read.add_argument(
        "--output",
        metavar="FILE|DIR",
        help="write here instead of to standard output; with several images, or with a / at the end, a folder "
        "that gets one file an image",
    )
    read.add_argument(
        "--mode",
        choices=("fast", "accurate"),
        default="accurate",
        help="accurate (default), or fast: one pass, more errors",
    )
    read.add_argument(
        "--lines-only",
        action="store_true",
        help="each image shows one line of text: read it whole, without looking for lines",
    )
    which = read.add_mutually_exclusive_group()
    which.add_argument(
        "--bundle", metavar="DIR", help="the model to read with; default: the one that ships with the package"
    )
    which.add_argument("--model", metavar="NAME", help="a registered model: production, staging, NAME or NAME@VERSION")
    read.add_argument("--threads", type=_positive, metavar="N", help="processor threads to use; default: all cores")
    serve = commands.add_parser(
        "serve",
        help="read images that come over HTTP (needs the 'serve' extra)",
        description="Serve the HTTP API of docs/service.md. What is not given here comes from the environment: "
        "TEXT_RECOGNIZER_QUEUE, TEXT_RECOGNIZER_API_KEYS and others, listed there.",
    )
    serve.add_argument("--host", help="address to listen on; default: 127.0.0.1, this machine alone")
    serve.add_argument("--port", type=int, help="default: 8000; 0 for any that is free")
    serve.add_argument("--model", metavar="NAME", help="a registered model, or the folder of a bundle")
    serve.add_argument("--threads", type=_positive, metavar="N", help="processor threads to read with; default: all")
    serve.add_argument("--workers", type=_positive, metavar="N", help="processes; default: 1")
    for name, (_, extra, purpose) in _COMMANDS.items():
        commands.add_parser(name, help=purpose + (f" (needs the '{extra}' extra)" if extra else ""), add_help=False)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _read(options: argparse.Namespace) -> int:
    """`text-recognizer read`: every image is tried; the status is that of the first failure."""
    # Pillow warns of oddities in files that it reads well all the same; what it cannot read becomes our one line.
    warnings.filterwarnings("ignore", module="PIL")
    chosen = formats.get_format(options.format)
    targets = _targets(options)
    from text_recognizer.images import read_bytes, to_picture
    from text_recognizer.reader import Reader

    reader = Reader(Path(options.bundle) if options.bundle else options.model, options.threads)
    statuses = []
    first = True
    with _progress(targets) as advance:
        for source, target in targets:
            try:
                image = read_bytes(sys.stdin.buffer if source == "-" else source)
                page = _read_one(reader, image, options)
                picture = to_picture(image) if chosen.needs_picture else None
                _put(chosen.write(page, source, picture), source, target, options, first)
                first = False
            except TextRecognizerError as error:
                _complain(error, source)
                statuses.append(error.exit_status)
            except (KeyboardInterrupt, BrokenPipeError):
                raise
            except Exception as error:  # one page that trips us up must not cost the other thousand
                import traceback

                traceback.print_exc()
                _complain(f"an error in this program ({type(error).__name__}); please report it", source)
                statuses.append(1)
            advance()
    return next(iter(statuses), 0)


def _serve(options: argparse.Namespace) -> int:
    """`text-recognizer serve`: until it is told to stop."""
    given = {name: value for name, value in vars(options).items() if name != "command" and value is not None}
    # With the web page where it can be shown; the service itself does not know of it.
    page = ["text_recognizer.app.mounted:create_app"] if find_spec("gradio") else []
    return _with_extra("serve", "serve", lambda: import_module("text_recognizer.service.serve").serve(given, *page))


def _read_one(reader: "Reader", encoded: bytes, options: argparse.Namespace) -> "Page":
    from text_recognizer.images import load_image
    from text_recognizer.page import Page

    if not options.lines_only:
        return reader.read(encoded, options.mode)
    image = load_image(encoded)
    height, width = image.gray.shape
    line = reader.read_line(image, options.mode)  # kept even if empty: one line of output for each image
    return Page(width, height, (line,), reader.model)


def _targets(options: argparse.Namespace) -> list[tuple[str, Path | None]]:
    """Each image with the file that its result goes to, or None for standard output."""
    sources: list[str] = options.images
    chosen = formats.get_format(options.format)
    if options.output is None:
        if len(sources) > 1 and chosen.stands_alone:
            raise UsageError(
                f"one {chosen.name} document an image cannot be told apart in one output; give --output DIR/"
            )
        if chosen.needs_picture and sys.stdout.isatty():
            raise UsageError(f"{chosen.name} is nothing to read in a terminal; give --output FILE")
        return [(source, None) for source in sources]
    output = Path(options.output)
    if len(sources) == 1 and not options.output.endswith(("/", os.sep)) and not output.is_dir():
        return [(sources[0], output)]
    targets: dict[Path, str] = {}
    for source in sources:
        target = output / (_stem(source) + chosen.suffix)
        if target in targets:
            raise UsageError(
                f"{targets[target]} and {source} would both be written to {target}; read them one after the other"
            )
        targets[target] = source
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {output} ({error.strerror}); choose another --output") from None
    return [(source, target) for target, source in targets.items()]


def _stem(source: str) -> str:
    if source == "-":
        return "stdin"
    if source.startswith(("http://", "https://")):
        return PurePosixPath(unquote(urlsplit(source).path)).stem or "image"
    return "image" if source.startswith("data:") else Path(source).stem


def _put(document: bytes, source: str, target: Path | None, options: argparse.Namespace, first: bool) -> None:
    if target is not None:
        try:
            target.write_bytes(document)
        except OSError as error:
            raise OutputFailed(f"cannot write {target} ({error.strerror}); choose another --output") from None
        return
    out = sys.stdout.buffer  # bytes: the same UTF-8 whatever the terminal's locale is
    chosen = formats.get_format(options.format)
    if chosen.heads_several and len(options.images) > 1 and not options.lines_only:
        separator = "" if first else "\n"
        out.write(f"{separator}==> {_shown(source)} <==\n".encode(errors="replace"))
    out.write(document if first else document.removeprefix(chosen.opening))
    out.flush()


@contextmanager
def _progress(targets: Sequence[tuple[str, Path | None]]) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where it helps: several images, a person watching, and no text running past."""
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
    module, extra, _ = _COMMANDS[command]
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
    """A source's name fit for a message: data URLs are long."""
    return source if len(source) <= longest else source[:longest] + "…"


def _complain(what: TextRecognizerError | str, source: str | None = None) -> None:
    place = f"{'standard input' if source == '-' else _shown(source)}: " if source else ""
    print(f"text-recognizer: {place}{what}", file=sys.stderr, flush=True)
