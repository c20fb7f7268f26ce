"""Ways to write a page down. A new format is one file with a `FORMAT`, and its name in `_HOMES`."""

from importlib import import_module
from typing import cast

from text_recognizer.formats.format import Format

_HOMES = {"text": "text", "json": "json_lines"}  # imported late: some formats need more than others

NAMES = tuple(_HOMES)


def get_format(name: str) -> Format:
    """The format called `name`, one of `NAMES`; KeyError for any other."""
    return cast(Format, import_module(f"{__name__}.{_HOMES[name]}").FORMAT)


__all__ = ["NAMES", "Format", "get_format"]
