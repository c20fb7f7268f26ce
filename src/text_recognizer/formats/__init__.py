"""Ways to write a page down. A new format is one file with a `FORMAT`, and its name in `_HOMES`."""

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from text_recognizer.errors import ExtraMissing
from text_recognizer.formats.format import Format

# Imported late: some formats need more than others.
_HOMES = {
    "text": "text",
    "json": "json_lines",
    "alto": "alto",
    "page": "page_xml",
    "hocr": "hocr",
    "pdf": "pdf",
    "csv": "tables",
    "tsv": "tables",
}
_NEEDS = {"pdf": "reportlab"}  # format: the package, in the extra of the format's name

KNOWN = tuple(_HOMES)
"""All formats, whether what they need is installed or not."""

NAMES = tuple(name for name in _HOMES if name not in _NEEDS or find_spec(_NEEDS[name]))
"""The formats that can be written here."""


def get_format(name: str) -> Format:
    """The format called `name`, one of `KNOWN`; KeyError for any other.

    Raises ExtraMissing where it is not in `NAMES`.
    """
    home = _HOMES[name]
    if name not in NAMES:
        raise ExtraMissing(
            f"the format {name} needs the package '{_NEEDS[name]}'; run: pip install 'text-recognizer[{name}]'"
        )
    return cast(dict[str, Format], import_module(f"{__name__}.{home}").FORMATS)[name]


__all__ = ["KNOWN", "NAMES", "Format", "get_format"]
