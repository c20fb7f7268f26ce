"""The errors that people meet: each has a stable code, an exit status, and says what to do next."""

from typing import ClassVar


class TextRecognizerError(Exception):
    """Base of every error that this package raises on purpose.

    `code` is stable: it is what programs compare and what a service puts into its problem type.
    `exit_status` is what the command line ends with (table in docs/cli.md).
    The message is one line that says what is wrong and what to do.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1


class UsageError(TextRecognizerError):
    """The arguments do not fit together."""

    code = "usage"
    exit_status = 2


class ImageRejected(TextRecognizerError):
    """The input is not an image that can be read: missing, damaged, too large, of a foreign kind."""

    code = "image-rejected"
    exit_status = 3


class BundleInvalid(TextRecognizerError):
    """The model folder is missing, damaged, or was not made by this project."""

    code = "bundle-invalid"
    exit_status = 4


class OutputFailed(TextRecognizerError):
    """The result could not be written where it was asked for."""

    code = "output-failed"
    exit_status = 5


class ExtraMissing(TextRecognizerError):
    """The command needs packages that the base install leaves out."""

    code = "extra-missing"
    exit_status = 6


def install_hint(extra: str) -> str:
    """The advice of ExtraMissing. It names the repository, because no package index holds this package."""
    return f"run in the repository: pip install '.[{extra}]'"


class DataInvalid(TextRecognizerError):
    """Training or evaluation data is missing, damaged, or not in a known form."""

    code = "data-invalid"
    exit_status = 7


class GateRefused(TextRecognizerError):
    """A model reads worse, or much slower, than the one in production."""

    code = "gate-refused"
    exit_status = 8
