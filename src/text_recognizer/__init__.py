"""Reads pages of handwriting: `text_recognizer.read("page.jpg").text`."""

from typing import TYPE_CHECKING, Any

from text_recognizer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from text_recognizer.documents import DocumentSource
    from text_recognizer.images import ImageSource
    from text_recognizer.page import Line, Mode, Page, Word
    from text_recognizer.reader import Reader

__all__ = ["Line", "Page", "Reader", "Word", "__version__", "read", "read_pages"]

_HOMES = {"Line": "page", "Page": "page", "Reader": "reader", "Word": "page"}


def __getattr__(name: str) -> Any:
    # Late: `import text_recognizer` costs nothing until something is read.
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def read(image: "ImageSource", mode: "Mode" = "accurate") -> "Page":
    """Read a page of handwriting with the shipped model.

    `image` is a path, a URL, bytes, a file object, a PIL image or an array (see `images.load_image`).
    The model is loaded once. For another model or another number of threads, create a `Reader`.
    Raises `errors.ImageRejected` if the input cannot be read.
    """
    from text_recognizer.reader import shared_reader

    return shared_reader().read(image, mode)


def read_pages(source: "DocumentSource", mode: "Mode" = "accurate", **options: Any) -> "Iterator[Page]":
    """Read a PDF, TIFF, archive or folder with the shipped model, one page at a time (see `Reader.read_pages`)."""
    from text_recognizer.reader import shared_reader

    return shared_reader().read_pages(source, mode, **options)
