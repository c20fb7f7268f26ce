"""The command's output: results as bytes on standard output, one-line messages on standard error."""

from __future__ import annotations

import os
import sys

from text_recognizer.errors import OutputFailed, TextRecognizerError, printable


def write(document: bytes) -> None:
    """Write bytes to standard output: UTF-8, whatever the terminal's locale."""
    try:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # The unwritten output must not fail again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputFailed(f"cannot write the output ({error.strerror}); make room, or give --output FILE") from None


def shown(source: str, longest: int = 200) -> str:
    """A source's name for messages: data URLs are long, and file names may contain terminal control characters."""
    return printable(source if len(source) <= longest else source[:longest] + "…")


def complain(what: TextRecognizerError | str, source: str | None = None) -> None:
    place = f"{'standard input' if source == '-' else shown(source)}: " if source else ""
    message = "\n".join(map(printable, str(what).split("\n")))
    print(f"text-recognizer: {place}{message}", file=sys.stderr, flush=True)
