"""The errors that users see. Each class has a stable code, an exit status, a meaning, and advice on what to do next.

`python -m text_recognizer.errors` prints them as the table of docs/cli.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar


class TextRecognizerError(Exception):
    """Base of every error that this package raises on purpose.

    `code` is stable: programs compare it, and the service puts it into its problem type. `exit_status` is the exit
    status of the command line. `meaning` and `advice` apply to every error of the class; the message is one line about
    this one: what is wrong, and what to do.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    meaning: ClassVar[str] = "an error in this program"
    advice: ClassVar[str] = "report it, with the output above the message"


class UsageError(TextRecognizerError):
    """The arguments do not fit together."""

    code = "usage"
    exit_status = 2
    meaning = "wrong arguments"
    advice = "see --help of the command"


class FeedbackRejected(TextRecognizerError):
    """The feedback does not fit the reading that it is about."""

    code = "feedback-rejected"
    exit_status = 2
    meaning = "feedback does not fit its reading"
    advice = "correct the texts, words or flags that the message names"


class ImageRejected(TextRecognizerError):
    """The input is not an image that can be read: missing, damaged, too large, or of another kind."""

    code = "image-rejected"
    exit_status = 3
    meaning = "an image was rejected: missing, empty, damaged, too large, or not an image"
    advice = "do what the message says, or convert the image to PNG or JPEG"


class BundleInvalid(TextRecognizerError):
    """The model folder is missing, damaged, or was not made by this project."""

    code = "bundle-invalid"
    exit_status = 4
    meaning = "the model (bundle) is missing, damaged, or of another program"
    advice = "check --bundle or --model; run 'text-recognizer doctor'"


class OutputFailed(TextRecognizerError):
    """The result could not be written to the requested place."""

    code = "output-failed"
    exit_status = 5
    meaning = "the result could not be written"
    advice = "make room, or choose another --output"


class ExtraMissing(TextRecognizerError):
    """The command needs packages that the base install leaves out."""

    code = "extra-missing"
    exit_status = 6
    meaning = "packages are missing"
    advice = "install the extra that the message names"


class DataInvalid(TextRecognizerError):
    """Data for training or evaluation is missing, damaged, or not in a known form."""

    code = "data-invalid"
    exit_status = 7
    meaning = "data for training or evaluation is missing or damaged"
    advice = "repair or replace the file that the message names"


class GateRefused(TextRecognizerError):
    """A model reads worse, or much slower, than the one in production."""

    code = "gate-refused"
    exit_status = 8
    meaning = "the gate refused a model: it reads worse, or is slower, than the one in production"
    advice = "keep the model in production, and train longer or on more data"


class FeedbackUnavailable(TextRecognizerError):
    """The store cannot be used now: locked, full, unreachable, damaged or of another version. Nothing was stored."""

    code = "feedback-unavailable"
    exit_status = 9
    meaning = "feedback cannot be stored or read: its store is locked, full, unreachable or damaged"
    advice = "repair the store, and try again"


class Alert(TextRecognizerError):
    """A monitoring rule fired and needs attention."""

    code = "alert"
    exit_status = 10
    meaning = "a monitoring rule fired"
    advice = "see 'text-recognizer monitor report'"


def install_hint(extra: str) -> str:
    """The advice of ExtraMissing. It names the repository, because no package index holds this package."""
    # Training starts from weights that are in the repository but not in a wheel. In a checkout they are present, and
    # installing a wheel would hide them.
    training = extra.startswith("train")
    checkout = (Path(__file__).parents[2] / "pyproject.toml").is_file()
    editable = "--editable " if training or checkout else ""
    pinned = " -c constraints.txt" if training else ""
    return f"run in the repository: pip install {editable}'.[{extra}]'{pinned}"


INTERRUPTED = 130
"""The exit status after Ctrl-C, as in shells."""


def exit_statuses() -> Iterator[tuple[int, str, str, str]]:
    """The exit statuses of the commands, in order: status, code, meaning, advice."""
    everywhere: list[type[TextRecognizerError]] = [TextRecognizerError, *TextRecognizerError.__subclasses__()]
    kinds = [kind for kind in everywhere if kind.__module__ == __name__]
    yield 0, "", "success (the text of a blank page is empty)", ""
    for kind in sorted(kinds, key=lambda kind: kind.exit_status):
        yield kind.exit_status, kind.code, kind.meaning, kind.advice
    yield INTERRUPTED, "", "interrupted", ""


def table() -> str:
    """The exit statuses as a Markdown table."""
    rows = ["| status | code | meaning | what to do |", "|---|---|---|---|"]
    for status, code, meaning, advice in exit_statuses():
        rows.append(f"| {status} | {f'`{code}`' if code else ''} | {meaning} | {advice} |")
    return "\n".join(rows) + "\n"


def printable(text: str) -> str:
    """`text` with control characters escaped, for terminals: file names may contain some."""
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)


def cannot_read(file: Path | str, error: OSError, otherwise: str) -> str:
    """The message for a file that cannot be read. `otherwise`: the advice unless permission is missing."""
    advice = "get permission to read it" if isinstance(error, PermissionError) else otherwise
    return f"{file} can't be read ({error.strerror or type(error).__name__}): {advice}."


def in_short(message: str, most: int = 300) -> str:
    """A message of another package as one line: its first sentences, at most `most` characters."""
    line = " ".join(message.split())
    if len(line) > most:
        whole = line[:most].rpartition(". ")[0]
        line = whole or f"{line[:most]} …"
    return line.rstrip(".")


if __name__ == "__main__":
    print(table(), end="")
