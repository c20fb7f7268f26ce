"""The whole service under inputs that nobody meant: what is answered, how long it takes, how much memory.

    pip install '.[serve,app]' --group test
    python benchmarks/fuzz.py --inputs 1000 --json >parts/0.json
    python benchmarks/fuzz.py --inputs 100000 --first 1000 --unread --json >parts/1.json
    python benchmarks/fuzz.py --sequences 60 --json >parts/sequences.json
    python benchmarks/fuzz.py --sum parts/*.json

Starts `text-recognizer serve` with the page on a free port of this machine. Inputs follow the grammar of their kind
and break a few of its rules: TIFF, PNG, JPEG, GIF, PDF, ZIP and HEIC files, JSON, feedback, pages to be written, forms,
and requests as bytes. Each is made from the seed and its number alone, so `--first N --inputs 1` sends one again.
With `--unread` small pictures are decoded and not read, and PDFs, each of which starts a process, are few: many
more inputs in the same time. `--minutes` ends a run early. `--sequences` lets schemathesis send sequences of requests
by the OpenAPI document: read, give feedback, delete it.

An input fails where the answer is a 5xx, reveals a path or a stack trace, or does not come, where the service takes
2 s of the processor or 200 MiB more, or where it ends. The exit status is 1 where one failed.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import http.client
import io
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from small_heic import HEIC

SECONDS, MIB, PATIENCE = 2.0, 200, 60.0  # of the processor, of memory, and until the answer
PRIVATE = re.compile(r"Traceback|\.py\b|/(?:tmp|home|root|usr|src)/", re.IGNORECASE)
FORMATS = ("json", "text", "alto", "page", "hocr", "tei", "csv", "tsv", "tables", "md", "docx", "pdf")
SIZE = (40, 24)  # of most pictures, in pixels


@dataclass
class Request:
    """What is sent: a request, or bytes as they are."""

    kind: str
    path: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""


def request(seed: int, number: int, page: dict[str, Any], unread: bool = False) -> Request:
    """Input `number`. `page`: a page as the service answers it, to be changed."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choice(KINDS)
    if unread and kind == "PDF" and chance.random() < 0.95:
        kind = chance.choice([other for other in KINDS if other != "PDF"])
    if kind in FILES:
        return _sent(chance, kind, FILES[kind](chance))
    return BODIES[kind](chance, page)


# ------------------------------------------------------------------------------------------------------------- files


def number(chance: random.Random) -> int:
    edges = (0, 1, 2, 7, 8, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
    return chance.choice((*edges, chance.randrange(64), chance.randrange(64), chance.randrange(2**16)))


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Bytes changed, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(max(1, min(len(changed), chance.choice((64, len(changed) + 1)))))
        how = chance.randrange(5)
        if how == 0:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif how == 1:
            changed[at : at + 4] = struct.pack(chance.choice("<>") + "I", number(chance))
        elif how == 2:
            del changed[at : at + chance.randint(1, 16)]
        elif how == 3:
            changed[at:at] = changed[at : at + chance.randint(1, 64)]
        else:
            del changed[at:]
    return bytes(changed)


def shuffled(chance: random.Random, parts: list[bytes]) -> bytes:
    """The parts of a file, some lost, doubled or in another order."""
    parts = list(parts)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at, to = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(4):
            case 0 if len(parts) > 1:
                del parts[at]
            case 1:
                parts[at:at] = [parts[at]] * chance.choice((1, 2, 200))
            case 2:
                parts[at], parts[to] = parts[to], parts[at]
            case _:
                parts[at] = damaged(chance, parts[at])
    return b"".join(parts)


def picture(kind: str, mode: str = "L", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, SIZE[::-1], np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stored, kind, **options)
    return stored.getvalue()


def tiff(chance: random.Random) -> bytes:
    order, big = chance.choice("<>"), chance.random() < 0.15
    long = "Q" if big else "I"
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    first = 16 if big else 8
    data = bytes(chance.randrange(256) for _ in range(16)) * 60
    out = mark + (struct.pack(order + "HHQ", 8, 0, first + len(data)) if big else b"")
    out += (b"" if big else struct.pack(order + "I", first + len(data))) + data
    odd = chance.random() < 0.5
    bits, samples, packing = 8, 1, 1
    if odd:
        bits, samples, packing = chance.choice((1, 8, 16)), chance.choice((1, 3, 4)), chance.choice((1, 5, 7, 8, 32773))
    tags = {
        256: SIZE[0], 257: SIZE[1], 258: bits, 259: packing, 262: chance.choice((0, 1, 2, 3)) if odd else 1,
        273: first, 277: samples, 278: SIZE[1], 279: len(data),
    }  # fmt: skip
    directories = chance.choice((1, 1, 1, 2, 3, 40))
    for nth in range(directories):
        entries = dict(tags)
        for _ in range(chance.choice((0, 0, 1, 1, 2, 6))):
            tag = chance.choice((*tags, 254, 274, 282, 296, 317, 320, 322, 323, 324, 325, 330, 338, 34675, 34665, 700))
            entries[tag] = number(chance)
        written = b""
        for tag, value in sorted(entries.items()):
            kind = chance.choice((3, 4)) if not odd or chance.random() < 0.95 else chance.randrange(20)
            count = 1 if not odd or chance.random() < 0.95 else number(chance)
            wide = {3: "H", 4: "I"}.get(kind, "I")
            content = struct.pack(order + wide, value % 2 ** (16 if wide == "H" else 32))
            written += struct.pack(order + "HH" + long, tag, kind, count) + content.ljust(8 if big else 4, b"\0")
        end = len(out) + (8 if big else 2) + len(written) + (8 if big else 4)
        following = end if nth + 1 < directories else 0
        if chance.random() < 0.1:
            following = chance.choice((first + len(data), number(chance)))
        out += struct.pack(order + ("Q" if big else "H"), len(entries)) + written + struct.pack(order + long, following)
    return damaged(chance, out) if chance.random() < 0.2 else out


_PACKED = zlib.compress(bytes(10)), zlib.compress(bytes(10**6))


def png(chance: random.Random) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = binascii.crc32(name + data) if chance.random() < 0.97 else number(chance)
        length = len(data) if chance.random() < 0.97 else number(chance)
        return struct.pack(">I", length) + name + data + struct.pack(">I", check)

    width, height = SIZE if chance.random() < 0.8 else (number(chance), number(chance))
    kinds = ((8, 0), (8, 0), (8, 0), (8, 2), (8, 3), (1, 0), (16, 6), (4, 3), (chance.randrange(20), 9))
    depth, colour = chance.choice(kinds)
    row = bytes([chance.choice((0, 1, 2, 3, 4, 4, 5))]) + bytes(chance.randrange(256) for _ in range(SIZE[0]))
    rows = zlib.compress(row * SIZE[1])
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, chance.choice((0, 0, 0, 0, 1, 2)))
    palette = bytes(chance.randrange(256) for _ in range(3 * chance.choice((1, 16, 256, 300))))
    packed = chance.choice(_PACKED)
    extra = [
        chunk(b"tEXt", b"Comment\0" + b"a" * chance.randrange(300)), chunk(b"zTXt", b"a\0\0" + packed),
        chunk(b"iCCP", b"a\0\0" + packed), chunk(b"iTXt", b"a\0\1\0\0\0" + packed), chunk(b"eXIf", tiff(chance)),
        chunk(b"acTL", struct.pack(">II", number(chance), 0)), chunk(b"fcTL", bytes(26)),
        chunk(b"tRNS", bytes(chance.randrange(8))), chunk(b"pHYs", struct.pack(">IIB", number(chance), 0, 1)),
    ]  # fmt: skip
    cut = chance.randrange(len(rows))
    parts = [
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), *([chunk(b"PLTE", palette)] if colour in (2, 3) else []),
        *chance.sample(extra, chance.choice((0, 0, 1, 3))), chunk(b"IDAT", rows[:cut]), chunk(b"IDAT", rows[cut:]),
        chunk(b"IEND", b""),
    ]  # fmt: skip
    return shuffled(chance, parts)


_JPEGS = [picture("JPEG", mode, **more) for mode in ("L", "RGB", "CMYK") for more in ({}, {"progressive": True})]


def jpeg(chance: random.Random) -> bytes:
    data = chance.choice(_JPEGS)
    parts, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at : at + size])
        at += size
    exif = b"Exif\0\0" + tiff(chance)[:60_000]
    if chance.random() < 0.3:
        parts.insert(1, b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    if chance.random() < 0.2:
        kind = chance.choice((0xC0, 0xC1, 0xC2, 0xC9, 0xDD, 0xE2, 0xED, 0xEE, 0xFE))
        parts.insert(
            chance.randrange(1, len(parts)), struct.pack(">BBH", 255, kind, number(chance) % 65536) + bytes(20)
        )
    return shuffled(chance, [*parts, data[at:-2], data[-2:]])


_PICTURES = (
    ("GIF", "L"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "1"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("PPM", "L"),
    ("JPEG2000", "L"), ("AVIF", "RGB"),
)  # fmt: skip
_OTHERS = [picture(kind, mode) for kind, mode in _PICTURES]


def other(chance: random.Random) -> bytes:
    return damaged(chance, chance.choice(_OTHERS))


def heic(chance: random.Random) -> bytes:
    """Boxes: the file's own, and those in `meta`, whose head is four bytes longer."""

    def boxes(data: bytes, depth: int) -> bytes:
        found, at = [], 0
        while at + 8 <= len(data):
            size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            size = size if 8 <= size <= len(data) - at else len(data) - at
            head = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4}.get(name) if depth < 3 else None
            inner = data[at + 8 : at + size]
            if head is not None and chance.random() < 0.5:
                inner = inner[:head] + boxes(inner[head:], depth + 1)
            told = 8 + len(inner) if chance.random() < 0.97 else number(chance)
            found.append(struct.pack(">I", told) + name + inner)
            at += size
        return shuffled(chance, found) if found else data

    return boxes(HEIC, 0)


def pdf(chance: random.Random) -> bytes:
    def value(depth: int = 0) -> str:
        match chance.randrange(9 if depth < 4 else 6):
            case 0:
                return str(number(chance) * chance.choice((1, -1)))
            case 1:
                return chance.choice(("1e9", "0.00001", "-.5", "null", "true", "--3", "9" * 40))
            case 2:
                return "/" + chance.choice(("Page", "Pages", "Image", "DeviceGray", "Indexed", "Fit", "#00", ""))
            case 3 | 4:
                return f"{chance.randrange(9)} 0 R"
            case 5:
                return f"({chr(chance.randrange(32, 127)) * chance.randrange(20)})".replace("\\", "")
            case 6 | 7:
                return f"[{' '.join(value(depth + 1) for _ in range(chance.randrange(5)))}]"
            case _:
                return f"<<{' '.join(f'/K{n} {value(depth + 1)}' for n in range(chance.randrange(4)))}>>"

    def table(**known: str) -> str:
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            known[chance.choice((*known, "Rotate", "UserUnit", "CropBox", "Parent", "Group", "Metadata"))] = value()
        return "<<" + " ".join(f"/{name} {one}" for name, one in known.items()) + ">>"

    def stream(data: bytes, **known: str) -> bytes:
        flates = chance.choice((0, 1, 1, 1, 20))
        names = ["/FlateDecode"] * flates
        for _ in names:
            data = zlib.compress(data)
        if chance.random() < 0.15:
            others = ("ASCII85", "ASCIIHex", "LZW", "RunLength", "CCITTFax", "JBIG2", "DCT", "JPX", "Crypt")
            names.insert(0, f"/{chance.choice(others)}Decode")
        length = len(data) if chance.random() < 0.95 else number(chance)
        head = table(Length=str(length), **known, **({"Filter": f"[{' '.join(names)}]"} if names else {}))
        return head.encode() + b" stream\n" + data + b"\nendstream"

    pages = chance.choice((1, 1, 1, 2, 5))
    wide, high = SIZE if chance.random() < 0.9 else (number(chance), number(chance))
    box = "[0 0 60 40]" if chance.random() < 0.9 else f"[0 0 {number(chance)} {number(chance)}]"
    drawn = b"q 60 0 0 40 0 0 cm /I Do Q " + (b"BT /F 9 Tf (a) Tj ET " if chance.random() < 0.5 else b"")
    objects = [
        table(Type="/Catalog", Pages="2 0 R").encode(),
        table(Type="/Pages", Kids=f"[{'3 0 R ' * pages}]", Count=str(pages)).encode(),
        table(Type="/Page", Parent="2 0 R", MediaBox=box, Contents="4 0 R", Resources="5 0 R").encode(),
        stream(drawn * chance.choice((1, 1, 1, 300))),
        table(XObject="<</I 6 0 R>>", Font="<</F 7 0 R>>").encode(),
        stream(bytes(960), Type="/XObject", Subtype="/Image", Width=str(wide), Height=str(high),
               ColorSpace="/DeviceGray", BitsPerComponent="8"),
        table(Type="/Font", Subtype="/Type1", BaseFont="/Helvetica").encode(),
    ]  # fmt: skip
    out, places = b"%PDF-1.7\n", []
    for nth, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (nth, content)
    start = len(out) if chance.random() < 0.9 else number(chance)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % (at if chance.random() < 0.97 else number(chance)) for at in places)
    out += f"trailer {table(Size=str(len(objects) + 1), Root='1 0 R')}\nstartxref\n{start}\n%%EOF".encode()
    return damaged(chance, out) if chance.random() < 0.2 else out


_PNG = picture("PNG")


def archive(chance: random.Random) -> bytes:
    names = (
        "a.png", "b.tif", "../../c.png", "/d.png", "e.zip", "f.txt", "a.png", "", "ü/\x00.png", "x" * 300, "con.pdf",
    )  # fmt: skip
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as made:
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            content = chance.choice((_PNG, b"", bytes(2**17), tiff(chance), png(chance)))
            with suppress(ValueError), warnings.catch_warnings(action="ignore"):  # of names that come twice
                made.writestr(zipfile.ZipInfo(chance.choice(names)), content)
    data = bytearray(stored.getvalue())
    marks = [found.start() for found in re.finditer(rb"PK(?:\x01\x02|\x03\x04|\x05\x06)", data)]
    for _ in range(chance.choice((0, 1, 1, 2, 4))):  # the fields of its heads: sizes, methods, flags, counts, places
        at = chance.choice(marks) + 4 + 2 * chance.randrange(20)
        data[at : at + 4] = struct.pack("<I", number(chance))[: chance.choice((2, 4))]
    return bytes(data)


FILES: dict[str, Callable[[random.Random], bytes]] = {
    "TIFF": tiff, "PNG": png, "JPEG": jpeg, "PDF": pdf, "ZIP": archive, "HEIC": heic, "other pictures": other,
}  # fmt: skip


def _sent(chance: random.Random, kind: str, data: bytes) -> Request:
    """A file, in one of the ways that files are sent."""
    path = f"/v1/read?mode={'fast' if chance.random() < 0.95 else 'accurate'}{_options(chance)}"
    way = chance.random()
    if way < 0.6:
        return Request(kind, path, data, {"Content-Type": "application/octet-stream"})
    if way < 0.8:
        return Request(kind, path, _form((b'name="image"; filename="a"', data)), {"Content-Type": _FORM})
    if way < 0.99:
        url = b"data:image/png;base64," + base64.b64encode(data)
        path = chance.choice((path, "/?mode=fast"))
        return Request(kind, path, b'{"image": "%b"}' % url, {"Content-Type": "application/json"})
    return Request(kind, "/page/pages", data)  # each starts a process


def _options(chance: random.Random) -> str:
    if chance.random() < 0.7:
        return ""
    options = (
        "stream=true", "pages=1", "pages=2-", "pages=9-1", "pages=1,,1", "pictures=true", "pdfa=true", "language=de",
        "language=zz", "language=%00", "mode=slow", "x=" + "a" * 3000, *(f"format={name}" for name in FORMATS),
    )  # fmt: skip
    return "".join(f"&{one}" for one in chance.sample(options, chance.choice((1, 1, 2))))


# ------------------------------------------------------------------------------------------------------------ bodies

_TOKENS = (
    "null", "true", "0", "-0", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity", "0.5", "1" * 40,
    "1" * 5000, '""', '"a"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\u202e"', '"' + "a\u0301" * 40 + '"',
    '"' + "a " * 900 + '"', '"data:,"', '"data:image/png;base64,"', '"../../etc/passwd"', '"=1+1"', "[[0,0],[1,1]]",
    "[]", "{}", "[" * 40 + "]" * 40, "[" * 3000, '{"a":' * 33 + "0" + "}" * 33, "[0" + ",0" * 3000 + "]",
)  # fmt: skip


def token(chance: random.Random) -> str:
    """A value, as JSON or nearly so."""
    if chance.random() < 0.85:
        return chance.choice(_TOKENS)
    inner = [token(chance) for _ in range(chance.randrange(4))]
    if chance.random() < 0.5:
        return f"[{','.join(inner)}]"
    return "{" + ",".join(f'"{chance.choice(("a", "image", "lines", "text"))}":{one}' for one in inner) + "}"


def changed(chance: random.Random, content: Any, times: int) -> bytes:
    """The JSON of `content` with some of its values replaced."""
    content = json.loads(json.dumps(content))
    placed: list[str] = []
    for _ in range(times):
        spot = content
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(spot[key], dict | list) and spot[key] and chance.random() < 0.8:
                spot = spot[key]
                continue
            if chance.random() < 0.1:
                del spot[key]
            else:
                spot[key] = f"\0{len(placed)}"
                placed.append(token(chance))
            break
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5)
    for nth, one in enumerate(placed):
        text = text.replace(f'"\\u0000{nth}"', one)
    encoded = text.encode(chance.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "latin-1")), "replace")
    return damaged(chance, encoded) if chance.random() < 0.1 else encoded


_FORM = "multipart/form-data; boundary=xxxxxxxxxx"
_JSON = {"Content-Type": "application/json"}


def _form(*parts: tuple[bytes, bytes]) -> bytes:
    head = b"--xxxxxxxxxx\r\nContent-Disposition: form-data; "
    return b"".join(head + name + b"\r\n\r\n" + data + b"\r\n" for name, data in parts) + b"--xxxxxxxxxx--\r\n"


def image_json(chance: random.Random, page: dict[str, Any]) -> Request:
    hosts = ("127.0.0.1", "[::1]", "2130706433", "0x7f.1", "169.254.169.254", "[::ffff:10.0.0.1]", "user:p@10.0.0.1")
    url = f"{chance.choice(('https', 'http', 'HTTPS', 'file', 'gopher'))}://{chance.choice(hosts)}"
    url += chance.choice(
        ("", ":80", ":99999", ":0", "/%00", "/../a", "?a#b", "\\@1.1.1.1", "/" + "a" * 3000, "\r\nX: y")
    )
    data = "data:" + chance.choice(("", "image/png", "text/plain;charset=utf-7", ";base64;base64", "," * 99))
    data += chance.choice((";base64,", ",", "")) + chance.choice(("%", "%zz", "====", "AAA", "é", "%41" * 900))
    content = chance.choice(({"image": data}, {"image_url": url}, {"image": data, "image_url": url}, [url], data, {}))
    path = chance.choice(("/v1/read?mode=fast", "/", "/v1/image"))
    if isinstance(content, str) or not content:
        return Request("JSON", path, token(chance).encode(errors="replace"), _JSON)
    return Request("JSON", path, changed(chance, content, chance.choice((0, 0, 1, 2))), _JSON)


def feedback(chance: random.Random, page: dict[str, Any]) -> Request:
    said = {
        "request_id": page["request_id"], "id": f"f{chance.randrange(50)}", "flag": "other", "comment": "a",
        "mode": "fast", "lines": [line["text"] for line in page["lines"]], "text": "a", "checked": True, "page": page,
    }  # fmt: skip
    kept = chance.sample(sorted(said), chance.randint(1, len(said)))
    body = changed(chance, {name: said[name] for name in {"request_id", *kept}}, chance.choice((0, 1, 1, 3)))
    if chance.random() < 0.6:
        return Request("feedback", "/v1/feedback", body, _JSON)
    parts = [(b'name="feedback"', body), (b'name="image"; filename="a"', chance.choice((_PNG, b"", png(chance))))]
    return Request("feedback", "/v1/feedback", shuffled(chance, [_form(*parts)]), {"Content-Type": _FORM})


def written(chance: random.Random, page: dict[str, Any]) -> Request:
    content = {
        "page": page,
        "texts": [line["text"] + chance.choice(("", " b c")) for line in page["lines"]],
        "source": "a",
    }
    body = changed(chance, content, chance.choice((0, 1, 1, 2, 5)))
    path = f"/page/written/{chance.choice((*FORMATS, 'x', '..%2f', 'json/'))}"
    if chance.random() < 0.7:
        return Request("page to write", path, body, _JSON)
    form = _form(
        (b'name="page"', body), (b'name="image"; filename="a"', chance.choice((_PNG, png(chance), jpeg(chance))))
    )
    return Request("page to write", path, form, {"Content-Type": _FORM})


def forms(chance: random.Random, page: dict[str, Any]) -> Request:
    names = (
        b'name="image"; filename="a.png"', b'name="image"', b'name="feedback"', b'name="page"',
        b"name=image; filename=a", b'name="image"; filename="../../a"', b"name=\"image\"; filename*=UTF-8''%ff%00",
        b'name="', b"", b'name="image"; filename="a\r\nX: y"', b'name="' + b"a" * 3000 + b'"', b'name="_charset_"',
        b'name="image"; name="b"',
    )  # fmt: skip
    contents = (_PNG, b"", b"{}", b"punycode", b"--xxxxxxxxxx", b"\r\n--xxxxxxxxxx", bytes(3000))
    parts = [(chance.choice(names), chance.choice(contents)) for _ in range(chance.choice((0, 1, 1, 2, 12)))]
    body = _form(*parts) if chance.random() < 0.6 else damaged(chance, _form(*parts))
    kinds = (
        _FORM, _FORM, _FORM, "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/mixed; boundary=xxxxxxxxxx", _FORM + "; charset=punycode",
        f'multipart/form-data; boundary="{"x" * 200}"', _FORM + "; boundary=y", "application/x-www-form-urlencoded",
        "MULTIPART/FORM-DATA; BOUNDARY=xxxxxxxxxx",
    )  # fmt: skip
    path = chance.choice(("/v1/read?mode=fast", "/v1/feedback", "/page/written/pdf", "/", "/v1/image"))
    return Request("forms", path, body, {"Content-Type": chance.choice(kinds)})


def raw(chance: random.Random, page: dict[str, Any]) -> Request:
    method = chance.choice(
        ("GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "TRACE", "CONNECT", "get", "G\0T", "A" * 900)
    )
    paths = (
        "/", "/v1/read", "/v1/feedback/a", "/v1/feedback/..%2f", "/page/browser/../page.py",
        "/page/browser/%2e%2e/page.py", "/page/examples/..%2f..%2fpage.py", "/page/browser/main.js", "/assets/../../x",
        "//a/b", "/%00", "*", "http://a/v1/read", "/docs", "/openapi.json", "/metrics", "/healthz", "/theme.css",
        "/gradio_api/upload", "/file=/etc/passwd", "", "/v1/read?" + "a&" * 4000, "/v1/models?mode=" + "%" * 900,
        "/page/written/json", "/favicon.ico",
    )  # fmt: skip
    heads = (
        "Host: a", "Host: a\r\nHost: b", "Content-Length: 5", "Content-Length: -1", "Content-Length: 1e3",
        "Content-Length: 5, 6", "Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Encoding: gzip", "Expect: 100-continue", "Expect: a",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAA",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA", "Range: bytes=0-1,0-1,0-1",
        "Range: bytes=-9", "Range: bytes=" + ",".join(["0-"] * 900), "X-Request-ID: ../a", "X-Request-ID: " + "a" * 65,
        "Authorization: Bearer \xff", "X-Forwarded-For: 1.1.1.1", "Cookie: " + "a=b;" * 900, "If-None-Match: *",
        "If-Modified-Since: a", "Accept: \0", "Content-Type: application/json", "Content-Type: image/png",
        "Content-Type: " + "a/" * 900, "Origin: null", " folded: a", "Sec-Fetch-Site: cross-site",
        "X-Document-Password: \xe9\xff", "A" * 3000 + ": b", "\r\n".join(f"H{n}: a" for n in range(200)), ": a",
        "a b: c", "Connection: close", "Connection: keep-alive, close", "Accept-Encoding: gzip, br, zstd, *;q=0",
    )  # fmt: skip
    bodies = (
        b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\na", b"-1\r\n",
        b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", _PACKED[1], bytes(300),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
    )  # fmt: skip
    line = (
        f"{method} {chance.choice(paths)} {chance.choice(('HTTP/1.1',) * 6 + ('HTTP/1.0', 'HTTP/2.0', 'HTTP/9', ''))}"
    )
    end = chance.choice(("\r\n",) * 9 + ("\n",))
    shown = end.join([line, "Host: a", *chance.sample(heads, chance.choice((0, 1, 2, 4))), "", ""])
    sent = shown.encode("latin-1") + chance.choice(bodies)
    return Request("requests as bytes", raw=damaged(chance, sent) if chance.random() < 0.2 else sent)


BODIES: dict[str, Callable[[random.Random, dict[str, Any]], Request]] = {
    "JSON": image_json,
    "feedback": feedback,
    "page to write": written,
    "forms": forms,
    "requests as bytes": raw,
}
KINDS = (*FILES, *BODIES)


# ------------------------------------------------------------------------------------------------------- the service


UNREAD = """
import runpy
from text_recognizer.images import load_image
from text_recognizer.reader import LaidOut, Reader

def lay_out(reader, image, *given, **named):
    loaded = load_image(image)
    height, width = loaded.gray.shape
    small = width * height < 20_000
    return LaidOut(width, height, (), (), "und", dpi=loaded.dpi) if small else read(reader, loaded, *given, **named)

read, Reader.lay_out = Reader.lay_out, lay_out
runpy.run_module("text_recognizer", run_name="__main__", alter_sys=True)
"""
"""Runs the command with a reader that finds nothing on small pictures."""


@contextmanager
def service(unread: bool = False) -> Iterator[tuple[str, int, int]]:
    """Host, port and process of a service that is ready."""
    program = ["-c", UNREAD] if unread else ["-m", "text_recognizer"]
    command = [sys.executable, "-W", "ignore", *program, "serve", "--host", "127.0.0.1", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        environ = {**os.environ, "TEXT_RECOGNIZER_FEEDBACK": folder, "TEXT_RECOGNIZER_MAX_PIXELS": "2000000"}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environ)
        try:
            until = time.monotonic() + 120
            while True:
                found = re.search(r"http://([\d.]+):(\d+)", Path(log.name).read_text())
                if found:
                    host, port = found[1], int(found[2])
                    with suppress(OSError):
                        if _asked(host, port, "GET", "/readyz")[0] == 200 and _asked(host, port, "GET", "/")[0] == 200:
                            break
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"the service did not get ready:\n{Path(log.name).read_text()}")
                time.sleep(0.1)
            yield host, port, process.pid
            if b"Traceback" in (said := Path(log.name).read_bytes()):
                print(said[said.index(b"Traceback") :][:3000].decode(errors="replace"), file=sys.stderr)
        finally:
            process.terminate()
            process.wait(120)


def _asked(host: str, port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Watch:
    """What a process takes of the processor and of memory; those that draw PDFs for it have limits of their own."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._tick = os.sysconf("SC_CLK_TCK")
        self.begin()

    def begin(self) -> None:
        with suppress(OSError):  # some containers forbid it: then the peak is that since the start
            (self._folder / "clear_refs").write_text("5")
        self._seconds, self._mib = self._used(), self._memory("VmRSS")

    def end(self) -> tuple[float, float]:
        """Seconds and MiB since `begin`."""
        return self._used() - self._seconds, self._memory("VmHWM") - self._mib

    def _used(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / self._tick

    def _memory(self, name: str) -> float:
        return int((self._folder / "status").read_text().partition(f"{name}:")[2].split()[0]) / 1024


class Sender:
    """Sends inputs, over one connection as long as it lasts."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connection: http.client.HTTPConnection | None = None

    def send(self, one: Request) -> tuple[int, bytes]:
        """Status and body; status 0 where the service hung up without an answer, as it may on what is not HTTP."""
        if one.raw:
            return self._raw(one.raw)
        for attempt in (1, 2):  # a connection that was kept may be closed by now
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
            try:
                with suppress(ConnectionError):  # it may answer, and hang up, before it has all of what is too large
                    self._connection.request("POST", one.path, one.body, one.headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
        raise AssertionError

    def _raw(self, sent: bytes) -> tuple[int, bytes]:
        with socket.create_connection((self._host, self._port), timeout=PATIENCE) as sock:
            answer = b""
            try:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)  # otherwise it rightly waits for the rest
                while part := sock.recv(2**16):
                    answer += part
            except ConnectionError:
                pass
        statuses = [int(found) for found in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE)]
        return max(statuses, default=0), answer if len(answer) < 10_000 else b""  # a script may name what it likes


def run(seed: int, numbers: Iterable[int], unread: bool, minutes: float) -> dict[str, Any]:
    """Send inputs, one after the other, as many as `minutes` allow."""
    figures: dict[str, Any] = {"inputs": 0, "kinds": Counter(), "statuses": Counter(), "failed": []}
    most = {"seconds": 0.0, "processor": 0.0, "mib": 0.0}
    begin = time.monotonic()
    with service(unread) as (host, port, pid):
        status, answer = _asked(host, port, "POST", "/v1/read?mode=fast", _page(), **{"Content-Type": "image/png"})
        assert status == 200, answer
        page, watch, sender = json.loads(answer), Watch(pid), Sender(host, port)
        for nth in numbers:
            if time.monotonic() - begin > 60 * minutes:
                break
            one = request(seed, nth, page, unread)
            watch.begin()
            sent, wrong = time.monotonic(), ""
            try:
                status, answer = sender.send(one)
                if status >= 500:
                    wrong = f"status {status}: {answer[:200].decode(errors='replace')}"
                elif status >= 400 and (found := PRIVATE.search(answer.decode(errors="replace"))):
                    wrong = f"status {status} reveals {found[0]}"
            except (OSError, http.client.HTTPException) as error:
                status, wrong = 0, f"no answer: {error!r}"
            took = time.monotonic() - sent
            try:
                processor, mib = watch.end()
            except (OSError, IndexError):
                figures["failed"].append((nth, one.kind, "the service ended"))
                break
            if not wrong and processor > SECONDS:
                wrong = f"{processor:.1f} s of the processor"
            if not wrong and mib > MIB:
                wrong = f"{mib:.0f} MiB"
            if wrong:
                figures["failed"].append((nth, one.kind, f"{one.path[:60]} {wrong}"))
            figures["inputs"] += 1
            figures["kinds"][one.kind] += 1
            figures["statuses"][str(status)] += 1
            for name, value in (("seconds", took), ("processor", processor), ("mib", mib)):
                most[name] = max(most[name], value)
    return {**figures, "most": most, "took": time.monotonic() - begin}


def _page() -> bytes:
    """The top of a page with writing, as PNG, to have an answer that can be changed."""
    with Image.open(Path(__file__).parents[1] / "samples" / "page.png") as page:
        top, stored = page.crop((0, 0, page.width, page.height // 4)), io.BytesIO()
    top.save(stored, "PNG")
    return stored.getvalue()


def sequences(seed: int, number: int) -> dict[str, Any]:
    """`number` sequences of requests by the OpenAPI document; fails as schemathesis' checks do."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    figures: dict[str, Any] = {"inputs": 0, "kinds": Counter(), "statuses": Counter(), "failed": []}
    begin = time.monotonic()
    with service() as (host, port, pid):
        document = schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")
        watch = Watch(pid)

        class Sequence(document.as_state_machine()):  # type: ignore[misc]
            def before_call(self, case: Any) -> None:
                watch.begin()

            def after_call(self, response: Any, case: Any) -> None:
                processor, mib = watch.end()
                figures["inputs"] += 1
                figures["kinds"]["sequences"] += 1
                figures["statuses"][str(response.status_code)] += 1
                most["seconds"] = max(most["seconds"], response.elapsed)
                most["processor"], most["mib"] = max(most["processor"], processor), max(most["mib"], mib)
                assert processor < SECONDS and mib < MIB, (processor, mib)

            def validate_response(self, response: Any, case: Any, **named: Any) -> None:
                # An image is more than any schema can say: what fits it may still not be one.
                case.validate_response(response, excluded_checks=[positive_data_acceptance])

        most = {"seconds": 0.0, "processor": 0.0, "mib": 0.0}
        try:
            Sequence.run(
                settings=settings(
                    max_examples=number,
                    stateful_step_count=8,
                    deadline=None,
                    database=None,
                    derandomize=seed == 0,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
            )
        except (Exception, BaseExceptionGroup) as error:  # checks of schemathesis
            figures["failed"].append((-1, "sequences", repr(error)[:2000]))
    return {**figures, "most": most, "took": time.monotonic() - begin}


def total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    most = {name: max(part["most"][name] for part in parts) for name in ("seconds", "processor", "mib")}
    kinds, statuses = Counter[str](), Counter[str]()
    for part in parts:
        kinds.update(part["kinds"])
        statuses.update(part["statuses"])
    failed = [tuple(one) for part in parts for one in part["failed"]]
    summed = {name: sum(part[name] for part in parts) for name in ("inputs", "took")}
    return {**summed, "kinds": kinds, "statuses": statuses, "failed": failed, "most": most}


def table(figures: dict[str, Any]) -> str:
    most = figures["most"]
    kinds = ", ".join(f"{count:,} {name}" for name, count in figures["kinds"].items())
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(figures["statuses"].items()))
    return "\n".join(
        (
            f"{figures['inputs']:,} inputs in {figures['took']:.0f} s: {kinds}",
            f"statuses: {statuses} (0: hung up)",
            f"at most {most['seconds']:.2f} s, {most['processor']:.2f} s of the processor, {most['mib']:.0f} MiB",
            f"failed: {len(figures['failed'])}",
            *(f"  input {nth} ({kind}): {why}" for nth, kind, why in figures["failed"][:40]),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--numbers", type=int, nargs="+", metavar="N", help="these inputs alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unread", action="store_true", help="do not read small pictures")
    parser.add_argument("--minutes", type=float, default=1e9, help="at most")
    parser.add_argument("--sequences", type=int, help="of requests by the OpenAPI document, instead of inputs")
    parser.add_argument("--sum", type=Path, nargs="+", metavar="FILE", help="add up figures of earlier runs")
    parser.add_argument("--json", action="store_true", help="figures instead of the table")
    options = parser.parse_args()
    if options.sum:
        figures = total([json.loads(file.read_text(encoding="utf-8")) for file in options.sum])
    elif options.sequences:
        figures = sequences(options.seed, options.sequences)
    else:
        numbers = options.numbers or range(options.first, options.first + options.inputs)
        figures = run(options.seed, numbers, options.unread, options.minutes)
    print(json.dumps(figures) if options.json else table(figures))
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
