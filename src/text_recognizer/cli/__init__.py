"""The command `text-recognizer`. Heavy packages are imported late, so that --help is fast."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

from text_recognizer import __version__
from text_recognizer.cli import read
from text_recognizer.cli.read import positive
from text_recognizer.cli.terminal import complain
from text_recognizer.devices import DEVICE_HELP
from text_recognizer.errors import (
    INTERRUPTED,
    ExtraMissing,
    OutputFailed,
    TextRecognizerError,
    exit_statuses,
    install_hint,
)

EXIT_STATUSES = (
    "exit status:\n"
    + "".join(
        f"  {status:<4} {meaning}{f'; {advice}' if advice else ''}\n" for status, _, meaning, advice in exit_statuses()
    )
    + "\nIf an image fails, the others are still read; the status is that of the first failure.\n"
)

# Commands that parse their own arguments: the module with `main(argv) -> int`, the extra it needs, and its purpose.
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


# Faults of the machine, wherever they occur: a traceback would not help anybody.
_NOT_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            return _run_command(arguments[0], arguments[1:])
        options = parser().parse_args(arguments)
        return _serve(options) if options.command == "serve" else read.run(options)
    except TextRecognizerError as error:
        complain(error)
        return error.exit_status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has ended, as `head` does. The interpreter must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OutputFailed.exit_status
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        complain(f"{error.filename or 'a file cannot be written'}: {error.strerror}; make room, or get permission")
        return OutputFailed.exit_status


def parser() -> argparse.ArgumentParser:
    """The parser of `read` and `serve`; it only knows the names of the other commands."""
    whole = argparse.ArgumentParser(
        prog="text-recognizer",
        description="Reads pages of handwriting.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"text-recognizer {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    reading = commands.add_parser(
        "read",
        help="read images of pages and print their text",
        description="Read images of handwritten pages and print their text.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    read.add_arguments(reading)
    serve = commands.add_parser(
        "serve",
        help="serve the HTTP API (needs the 'serve' extra)",
        description="Serve the HTTP API of docs/serve/service.md. Arguments override the environment: "
        "TEXT_RECOGNIZER_QUEUE, TEXT_RECOGNIZER_API_KEYS and others, listed there.",
    )
    serve.add_argument("--host", help="address to listen on; default: 127.0.0.1, only this machine")
    serve.add_argument("--port", type=int, help="default: 8000; 0 for any free port")
    serve.add_argument("--model", metavar="NAME", help="a registered model, or the folder of a bundle")
    serve.add_argument("--threads", type=positive, metavar="N", help="processor threads to read with; default: all")
    serve.add_argument("--device", help=DEVICE_HELP)
    serve.add_argument("--workers", type=positive, metavar="N", help="processes; default: 1")
    for name, (_, extra, purpose) in COMMANDS.items():
        commands.add_parser(name, help=purpose + (f" (needs the '{extra}' extra)" if extra else ""), add_help=False)
    return whole


def _serve(options: argparse.Namespace) -> int:
    """`text-recognizer serve`: run until it is stopped."""
    given = {name: value for name, value in vars(options).items() if name != "command" and value is not None}
    # With the web page if its packages are installed; the service does not depend on it.
    page = ["text_recognizer.app.mounted:create_app"] if find_spec("gradio") else []
    return _with_extra("serve", "serve", lambda: import_module("text_recognizer.service.serve").serve(given, *page))


def _run_command(command: str, arguments: list[str]) -> int:
    module, extra, _ = COMMANDS[command]
    return _with_extra(command, extra, lambda: import_module(module).main(arguments))


def _with_extra(command: str, extra: str, run: Callable[[], int]) -> int:
    try:
        return run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == __name__.partition(".")[0]:  # our own fault, which no extra can fix
            raise
        raise ExtraMissing(f"'{command}' needs the package '{missing}'; {install_hint(extra)}") from None
