"""Shared by the XML formats: text that is valid in XML, and documents with one namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Replace each character that XML 1.0 forbids: control characters and surrogates."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def add(
    parent: ET.Element, tag: str, attributes: Mapping[str, object] | None = None, text: str | None = None
) -> ET.Element:
    """Append a new child to `parent`; attributes that are None are left out."""
    known = {name: clean(str(value)) for name, value in (attributes or {}).items() if value is not None}
    child = ET.SubElement(parent, tag, known)
    if text is not None:
        child.text = clean(text)
    return child


def document(root: ET.Element, head: bytes = b"") -> bytes:
    """The whole file in UTF-8; `head` goes between the declaration and the root element."""
    ET.indent(root)
    content = ET.tostring(root, encoding="unicode").encode()
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + head + content + b"\n"
