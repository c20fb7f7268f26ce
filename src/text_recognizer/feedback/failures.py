"""Turn failures of a database or file system into a single error type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from text_recognizer.errors import FeedbackUnavailable, TextRecognizerError


@contextmanager
def unavailable(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of `kinds` into `FeedbackUnavailable`. Its message begins with `what`, such as "X cannot be used"."""
    try:
        yield
    except TextRecognizerError:
        raise
    except kinds as error:
        cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps the errors of drivers
        reason = getattr(cause, "strerror", None) or " ".join(str(cause).split()) or type(cause).__name__
        raise FeedbackUnavailable(f"{what} ({reason}); check it and try again") from error
