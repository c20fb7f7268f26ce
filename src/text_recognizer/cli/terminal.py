"""Output of the command: results as bytes on standard output, messages of one line each on standard error."""

from __future__ import annotations

import os
import sys

from text_recognizer.errors import OutputFailed, TextRecognizerError, printable


def write(document: bytes) -> None:
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


def shown(source: str, longest: int = 200) -> str:
    """A source's name in a message: data URLs are long, and file names may hold what a terminal obeys."""
    return printable(source if len(source) <= longest else source[:longest] + "…")


def complain(what: TextRecognizerError | str, source: str | None = None) -> None:
    place = f"{'standard input' if source == '-' else shown(source)}: " if source else ""
    message = "\n".join(map(printable, str(what).split("\n")))
    print(f"text-recognizer: {place}{message}", file=sys.stderr, flush=True)
