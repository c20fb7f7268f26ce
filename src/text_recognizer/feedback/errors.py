"""What can go wrong with the store of feedback, whatever database and file system it is made of."""

from __future__ import annotations

from text_recognizer.errors import TextRecognizerError


class FeedbackUnavailable(TextRecognizerError):
    """The store cannot be used now: locked, full, unreachable, damaged or of another version; nothing was kept."""

    code = "feedback-unavailable"
    exit_status = 9


class FeedbackRejected(TextRecognizerError):
    """The feedback does not fit the reading that it is said of."""

    code = "feedback-rejected"
    exit_status = 2


class Alert(TextRecognizerError):
    """A rule of monitoring fired: somebody must look."""

    code = "alert"
    exit_status = 10
