"""Output formats for pages. A new format is one file with a `FORMAT`, and its name in `_HOMES`."""

from importlib import import_module
from typing import cast

from text_recognizer.errors import UsageError
from text_recognizer.formats.format import About, Format, Sheet, Writer

# Imported on first use.
_HOMES = {
    "text": "text",
    "json": "json_lines",
    "alto": "alto",
    "page": "page_xml",
    "hocr": "hocr",
    "pdf": "pdf",
    "md": "markdown",
    "csv": "tables",
    "tables": "tables",
    "tsv": "tables",
    "tei": "tei",
    "docx": "docx",
}

NAMES = tuple(_HOMES)


def get_format(name: str) -> Format:
    """Return the format `name`, one of `NAMES`. Raises KeyError for any other."""
    home = _HOMES[name]
    return cast(dict[str, Format], import_module(f"{__name__}.{home}").FORMATS)[name]


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list with commas, each once. Raises `UsageError` for a name that is not in `NAMES`."""
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in NAMES]:
        raise UsageError(f"there is no format '{unknown[0]}'; give some of {', '.join(NAMES)}")
    return names


__all__ = ["NAMES", "About", "Format", "Sheet", "Writer", "get_format", "names_in"]
