"""Find the pages in PDFs, multi-page TIFFs, animations, ZIP archives, folders, globs, lists and IIIF manifests.

`find_pages` yields a `PageReference` for each page and decodes nothing: a reference is small and can be pickled, and
`load` decodes its one page. So a document of any length can be read by any number of processes, each with the memory
of one page.

Documents are as untrusted as images. A fault in one becomes a reference whose `load` raises `ImageRejected`, so one bad
page, file or archive member never affects the others. Archives are never unpacked to disk, archives inside archives are
refused, and the work is linear in the size of the document.
"""

from __future__ import annotations

import glob
import io
import json
import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image

from text_recognizer.errors import ImageRejected, UsageError
from text_recognizer.images import (
    MAX_BYTES,
    MAX_PIXELS,
    LoadedImage,
    check_moving,
    decoding,
    is_bounded,
    load_image,
    read_bytes,
    to_picture,
    walk_tiff,
)
from text_recognizer.page import Area, Page, Picture
from text_recognizer.pdf_pages import PdfPage
from text_recognizer.pdf_process import Pdfs, shared

MAX_DOCUMENT_BYTES = 512 * 2**20  # of a document given as bytes or by URL, and of a member of an archive
MAX_PAGES = 20_000  # of one document: a file that claims more is damaged, or an attack
MAX_MEMBERS = 100_000  # of one archive
DENSEST = 200  # largest ratio of unpacked to packed size of a large member: images and PDFs are compressed already
MAX_FOLDERS = 10  # nested folders kept in the path of a member: a path has at most 4096 bytes
MAX_FRAMES = 1_000  # of an animation: a decoder reaches each frame through all before it
PDF_DPI = 200.0
SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2", ".avif",
    ".heic", ".heif", ".pdf", ".zip", ".cbz",
}  # fmt: skip
_DAMAGED_DIRECTORY = "a TIFF whose directory is damaged; export it again"
_NO_ADDRESS = "the image of a canvas has no web address; download it and give the file"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=//)")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a document are: a file, an address, or the bytes themselves.

    `member`: the name of a file in that archive; `entry`: its index in the archive's list, since names may repeat.
    """

    path: Path | None = None
    data: bytes | None = None
    url: str | None = None
    member: str | None = None
    entry: int = 0

    def read(self, most: int = MAX_DOCUMENT_BYTES) -> bytes:
        """All bytes. Raises `ImageRejected` if they are missing, damaged or more than `most`."""
        if self.member is None:
            return read_bytes(self._outer, most)
        with self._unpacked() as stream:
            return read_bytes(stream, most)

    def head(self) -> bytes:
        """The first bytes, to determine the kind of file; empty if it cannot be opened, which `read` then reports."""
        if self.member is not None:
            with self._unpacked() as stream:
                return stream.read(16)
        if self.data is not None:
            return self.data[:16]
        try:
            with self._outer.open("rb") as stream:  # type: ignore[union-attr]
                return bytes(stream.read(16))
        except (OSError, ValueError):  # ValueError: a null byte in the path
            return b""

    @property
    def opened(self) -> Path | bytes:
        """The argument for a library: the path if there is one, so that the file is not loaded as a whole."""
        if self.path is None:
            return self.read()
        return self.path if self.member is None else _unpacked_once(self, _changed(self.path))

    @property
    def _outer(self) -> Path | bytes | str:
        outer = self.path or self.url or self.data
        return outer if outer is not None else b""

    @contextmanager
    def _unpacked(self) -> Iterator[BinaryIO]:
        assert self.member is not None
        with _archive(self.path or self.data or b"") as archive:
            try:
                with archive.open(archive.infolist()[self.entry]) as stream:
                    yield stream  # type: ignore[misc]
            except ImageRejected:
                raise
            except Exception as error:  # a member that is encrypted, damaged, or packed by an unknown method
                raise ImageRejected(f"cannot be unpacked ({error}); unpack the archive and give its images") from error


@lru_cache(1)
def _unpacked_once(source: Source, changed: int) -> bytes:
    # The pages of a document in an archive are loaded one after the other: each would unpack the whole document.
    return source.read()


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):  # reading it reports the error
        return 0


@dataclass(frozen=True, slots=True)
class PageReference:
    """One page, not decoded yet.

    `name` is for people, such as "box.zip/letters.pdf". `number` counts from 1 to `count`, the pages of its
    document. `stem` is a relative path without suffix that is unique among the pages of one `find_pages`, safe to
    create below an output folder; `whole` is such a path for the document, and `document` its number. `kind`: "image",
    "pdf", "tiff", "frame", or "refused".
    """

    name: str
    stem: PurePosixPath
    source: Source
    kind: str = "image"
    number: int = 1
    count: int = 1
    place: int = 0  # of a TIFF: offset of its directory in the file
    password: str | None = None
    dpi: float = PDF_DPI
    problem: str = ""
    whole: PurePosixPath = field(default_factory=PurePosixPath)
    document: int = 0

    def load(self, *, max_pixels: int = MAX_PIXELS, pdfs: Pdfs | None = None, colour: bool = True) -> LoadedImage:
        """Decode this page.

        `pdfs`: draws pages of PDFs, by default in a separate process. `colour`: as for `load_image`. Raises
        `ImageRejected`.
        """
        match self.kind:
            case "pdf":
                drawn = (pdfs or shared()).draw(self._in_pdf(max_pixels))
                pixels = np.frombuffer(drawn.data, np.uint8).reshape(drawn.height, drawn.width, 3)
                return replace(load_image(pixels, max_pixels=max_pixels, colour=colour), dpi=drawn.dpi)
            case "tiff":
                return self._directory(max_pixels, colour)
            case "frame":
                with decoding(self.source.read(MAX_BYTES), max_pixels) as image:
                    check_moving(image)
                    image.seek(self.number - 1)
                    return load_image(image, max_pixels=max_pixels, colour=colour)
            case "refused":
                raise ImageRejected(self.problem)
        return load_image(self.source.read(MAX_BYTES), max_pixels=max_pixels, colour=colour)

    @property
    def shows_file(self) -> bool:
        """Whether `picture` is made from the file and needs no decoded image."""
        return self.kind == "image" and self.source.url is None  # a URL is not fetched twice

    def picture(self, image: LoadedImage | None = None, *, pdfs: Pdfs | None = None) -> Picture:
        """The picture of this page for documents that show it. `image`: the result of `load`, if still available.

        `pdfs`: as for `load`. Raises `ImageRejected`.
        """
        if self.shows_file:
            return to_picture(self.source.read(MAX_BYTES))
        image = image or self.load(pdfs=pdfs)
        out = BytesIO()
        stated = {"dpi": (image.dpi, image.dpi)} if image.dpi else {}
        Image.fromarray(image.rgb).save(out, "JPEG", quality=90, **stated)
        return to_picture(out.getvalue())

    def embedded_page(self, *, max_pixels: int = MAX_PIXELS, pdfs: Pdfs | None = None) -> Page | None:
        """The text that this page of a PDF contains, in file order; None if there is not enough of it.

        Size and positions are as for `load`, the words have confidence 1, and `Page.embedded` is true. See
        `embedded.has_enough` for what is enough. `pdfs`: as for `load`. Raises `ImageRejected`.
        """
        if self.kind != "pdf":
            return None
        text = (pdfs or shared()).embedded(self._in_pdf(max_pixels))
        if text is None:
            return None
        return Page(width=text.width, height=text.height, lines=text.lines, dpi=text.dpi, embedded=True)

    def printed_text(self, width: int, height: int, *, pdfs: Pdfs | None = None) -> tuple[Area, ...]:
        """Areas of visible text in this page of a PDF: left, top, right, bottom of each run.

        In pixels of the page as shown, `width` × `height`. Invisible text from an earlier recognition is excluded.
        `pdfs`: as for `load`. Raises `ImageRejected`.
        """
        if self.kind != "pdf":
            return ()
        return (pdfs or shared()).printed(self._in_pdf(MAX_PIXELS), width, height)

    def _in_pdf(self, max_pixels: int) -> PdfPage:
        return PdfPage(self.source.opened, self.password, self.number, self.dpi, max_pixels)

    def _directory(self, max_pixels: int, colour: bool) -> LoadedImage:
        opened = self.source.opened
        with opened.open("rb") if isinstance(opened, Path) else BytesIO(opened) as stream:
            image = _open_tiff(cast("BinaryIO", _TiffFrom(stream, self.place)))
            return load_image(image, max_pixels=max_pixels, colour=colour)


Given = str | Path | bytes | bytearray | memoryview | BinaryIO
DocumentSource = Given | Iterable[Given]


def find_pages(
    sources: DocumentSource,
    *,
    pages: str | None = None,
    password: str | None = None,
    dpi: float = PDF_DPI,
    frames: bool = False,
    member_bytes: int = MAX_DOCUMENT_BYTES,
    pdfs: Pdfs | None = None,
) -> Iterator[PageReference]:
    """Find the pages of one or several sources, in order, without decoding them.

    A source is a path or URL of an image, PDF, TIFF, ZIP or CBZ; a folder (searched for these, sorted by name, 2 before
    10); a glob (`scans/**/*.jpg`); `@list`, a text file with one source per line; the URL or file of a IIIF manifest
    (Presentation 2 or 3); or the bytes of an image or document.

    Args:
        pages: which pages of each document, such as "1-3,7,10-".
        password: of encrypted PDFs.
        dpi: pixels per inch at which PDF pages are drawn.
        frames: whether each frame of an animation is a page; by default only the first one is.
        member_bytes: largest size of a file in an archive, unpacked.
        pdfs: opens PDFs, by default in a separate process.

    Raises `UsageError` for a malformed `pages`. A source that cannot be opened yields a reference whose `load` raises.
    """
    wanted = page_numbers(pages) if pages else None
    options = _Options(wanted, password, dpi, frames, member_bytes, pdfs or shared())
    one = isinstance(sources, str | Path | bytes | bytearray | memoryview) or hasattr(sources, "read")
    # An array or a Pillow image is a single source, which is refused: its rows are not documents.
    one = one or not isinstance(sources, Iterable) or hasattr(sources, "shape")
    listed = [cast("Given", sources)] if one else cast("Iterable[Given]", sources)
    used: dict[str, int] = {}
    wholes: dict[str, int] = {}
    before: PageReference | None = None
    for source in listed:
        for page in _expand(source, options):
            page = _unique(page, used)
            if before is not None and page.name.partition("#")[0] == before.name.partition("#")[0] and page.number > 1:
                page = replace(page, whole=before.whole, document=before.document)
            else:
                whole = page.whole if page.whole.name else page.stem
                if (key := _key(whole)) in wholes:
                    wholes[key] += 1
                    whole = whole.with_name(f"{whole.name}-{wholes[key]}")
                wholes[_key(whole)] = 1
                page = replace(page, whole=whole, document=before.document + 1 if before is not None else 0)
            before = page
            yield page


def page_numbers(text: str) -> list[tuple[int, int | None]]:
    """ "1-3,7,10-" as ranges of page numbers from 1, both ends included, None for the last page. Raises UsageError."""
    ranges: list[tuple[int, int | None]] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low = int(first) if first else 1
            high = (int(last) if last else None) if dash else low
        except ValueError:
            low, high = 0, 0
        if low < 1 or (high is not None and high < low) or not part.strip():
            raise UsageError(f"'{text}' does not name pages; give numbers from 1 and ranges, such as 1-3,7,10-")
        ranges.append((low, high))
    return ranges


def no_such_page(pages: str | None) -> UsageError:
    """The error for `pages` that select no page of any document."""
    return UsageError(f"--pages {pages} names no page of these documents; they have fewer")


@dataclass(frozen=True, slots=True)
class _Options:
    wanted: list[tuple[int, int | None]] | None
    password: str | None
    dpi: float
    frames: bool
    member_bytes: int
    pdfs: Pdfs

    def numbers(self, count: int) -> Iterator[int]:
        """The wanted numbers among 1…count, in the order of the document."""
        for number in range(1, count + 1):
            if self.wanted is None or any(a <= number and (b is None or number <= b) for a, b in self.wanted):
                yield number

    def beyond(self, number: int) -> bool:
        """Whether a page after `number` is wanted."""
        return self.wanted is None or any(last is None or last > number for _, last in self.wanted)


def _expand(source: Given, options: _Options) -> Iterator[PageReference]:
    """The pages of one source."""
    try:
        if isinstance(source, str) and source.startswith(("http://", "https://", "data:")):
            yield from _of_url(source, options)
        elif isinstance(source, str) and source.startswith("@"):
            yield from _of_list(Path(source[1:]), options)
        elif isinstance(source, str | Path):
            yield from _of_path(Path(source), str(source), options)
        else:
            data = _read_whole(source)
            yield from _of_file(Source(data=data), "page", PurePosixPath("page"), options)
    except ImageRejected as error:
        name = str(source) if isinstance(source, str | Path) else "page"
        yield _refused(name, _safe(PurePosixPath(Path(name).stem or "page")), str(error))


def _read_whole(source: Any) -> bytes:
    if not (hasattr(source, "read") or isinstance(source, bytes | bytearray | memoryview)):
        kind = type(source).__name__
        raise ImageRejected(
            f"no document is in a {kind}; give a path, a URL, bytes or a file, or call `read` for an image"
        )
    return read_bytes(source, MAX_DOCUMENT_BYTES)


def _of_path(path: Path, name: str, options: _Options) -> Iterator[PageReference]:
    if not name:  # such as from an unset shell variable; Path("") would be the current folder
        raise ImageRejected("an empty name; give a file or a folder, . for this one")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a null byte; reading it reports the error
        mode = 0
    if not mode and (scheme := _SCHEME.match(name)):
        raise ImageRejected(f"{scheme[0]} addresses are not read; give a path, or an http or https address")
    if stat.S_ISDIR(mode):
        # Links are not followed, so no folder is its own child.
        found = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        files = sorted((p for p in found if not _is_hidden(p.relative_to(path))), key=_in_order)
        if not files:
            raise ImageRejected("a folder without images or documents; name another, or the files themselves")
        for file in files:
            yield from _of_disk(file, str(file), PurePosixPath(*file.relative_to(path).parts), options)
    elif not mode and glob.has_magic(name):
        fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        base = Path(*path.parts[:fixed])  # the folders before the first pattern
        files = _matching(base, path.parts[fixed:])
        if not files:
            raise ImageRejected("no file matches this pattern; check it, or quote it so that the shell leaves it alone")
        for file in files:
            yield from _of_disk(file, str(file), PurePosixPath(*file.relative_to(base).parts), options)
    elif mode and not stat.S_ISREG(mode):  # a pipe can be read only once
        yield from _of_file(Source(data=read_bytes(path, MAX_DOCUMENT_BYTES)), name, PurePosixPath(path.name), options)
    else:
        yield from _of_disk(path, name, PurePosixPath(path.name), options)


def _in_order(path: PurePath) -> tuple[list[list[tuple[int, str]]], str]:
    """The sort key of paths: folder by folder, and page 2 before page 10."""

    def split(part: str) -> list[tuple[int, str]]:
        # Text and numbers alternate; a number with more digits is larger.
        text_and_numbers = re.split(r"(\d+)", part)
        for i in range(1, len(text_and_numbers), 2):
            text_and_numbers[i] = text_and_numbers[i].lstrip("0")
        return [(len(piece) if i % 2 else 0, piece) for i, piece in enumerate(text_and_numbers)]

    return [split(part) for part in path.parts], str(path)


def _matching(base: Path, pattern: tuple[str, ...]) -> list[Path]:
    """Files below `base` that match, sorted; hidden ones only if a part of the pattern begins with a dot."""
    whole = "/".join((*pattern, "*") if pattern[-1] == "**" else pattern)
    hidden = any(part.startswith(".") for part in pattern)
    try:
        # Unlike `glob.glob`, this does not follow links below `**`, which may form a cycle.
        found = sorted((file for file in base.glob(whole) if file.is_file()), key=_in_order)
    except (ValueError, NotImplementedError) as error:
        raise ImageRejected(f"not a pattern ({error}); give one such as 'scans/**/*.jpg'") from None
    return [file for file in found if hidden or not _is_hidden(file.relative_to(base))]


def _is_hidden(path: Path) -> bool:
    # Such as ._1.jpg, which macOS puts beside 1.jpg on other disks, and which is not an image.
    return any(part.startswith(".") for part in path.parts)


def _of_disk(path: Path, name: str, inside: PurePosixPath, options: _Options) -> Iterator[PageReference]:
    if path.suffix.lower() == ".json":
        yield from _of_manifest(read_bytes(path), name, options)
    else:
        yield from _of_file(Source(path), name, inside, options)


def _of_list(path: Path, options: _Options) -> Iterator[PageReference]:
    data = read_bytes(path)
    # The Windows shell writes UTF-16, and its editors a byte order mark before UTF-8; elsewhere file names are bytes.
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = data.decode("utf-16", "replace") if wide else data.decode("utf-8-sig", "surrogateescape")
    lines = map(str.strip, text.splitlines())
    entries = [entry for entry in lines if entry and not entry.startswith(("#", "@"))]
    if not entries:
        raise ImageRejected("a list that names nothing; write one source a line, not another list")
    for entry in entries:
        address = _SCHEME.match(entry) or entry.startswith("data:")
        yield from _expand(entry if address or Path(entry).is_absolute() else path.parent / entry, options)


def _of_url(url: str, options: _Options) -> Iterator[PageReference]:
    data = read_bytes(url, MAX_DOCUMENT_BYTES)
    name = "image" if url.startswith("data:") else url
    inside = _safe(PurePosixPath((PurePosixPath(unquote(urlsplit(url).path)).name if name == url else "") or "image"))
    if data.lstrip()[:1] == b"{":
        yield from _of_manifest(data, url, options)
    else:
        yield from _of_file(Source(data=data), name, inside, options)


def _of_file(source: Source, name: str, inside: PurePosixPath, options: _Options) -> Iterator[PageReference]:
    """The pages of one file. Its first bytes determine its kind, not its name."""
    page = PageReference(name, inside.with_suffix(""), source, password=options.password, dpi=options.dpi)
    try:
        head = source.head()
        if head.startswith(_ZIP) and source.member is None:
            yield from _of_archive(source, name, inside, options)
        elif head.startswith(_ZIP):
            yield replace(page, kind="refused", problem="an archive inside an archive; unpack the outer one first")
        elif head.lstrip()[:5] == b"%PDF-":
            count = options.pdfs.count(source.opened, options.password)
            yield from _numbered(replace(page, kind="pdf"), count, [0] * min(count, MAX_PAGES), options)
        elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            data = source.read()
            places = tiff_directories(data)
            if len(places) > 1:
                for found in _numbered(replace(page, kind="tiff"), len(places), places, options):
                    damaged = not is_bounded(data, found.place)
                    yield replace(found, kind="refused", problem=_DAMAGED_DIRECTORY) if damaged else found
            else:
                yield page
        elif options.frames:
            with decoding(source.read(MAX_BYTES), MAX_PIXELS) as image:
                count = int(getattr(image, "n_frames", 1))
            kind = "frame" if count > 1 else "image"
            yield from _numbered(replace(page, kind=kind), count, [0] * min(count, MAX_FRAMES), options)
        else:
            yield page
    except ImageRejected as error:
        yield replace(page, kind="refused", problem=str(error))


def _numbered(page: PageReference, count: int, places: list[int], options: _Options) -> Iterator[PageReference]:
    digits = max(3, len(str(count)))
    if count == 0:
        yield replace(page, kind="refused", problem="a document without pages; export it again")
    for number in options.numbers(min(count, len(places))):
        stem = page.stem.with_name(f"{page.stem.name}-{number:0{digits}}") if count > 1 else page.stem
        yield replace(page, number=number, count=count, place=places[number - 1], stem=stem, whole=page.stem)
    if count > len(places) and options.beyond(len(places)):
        yield replace(page, kind="refused", problem=_too_many(count, len(places)), number=len(places) + 1, count=count)


def _too_many(count: int, read: int) -> str:
    return f"{count} pages; only the first {read} are read: split the document"


def _of_archive(source: Source, name: str, inside: PurePosixPath, options: _Options) -> Iterator[PageReference]:
    with _archive(source.opened) as archive:
        # Python 3.11's `is_dir` fails on an empty name.
        named = [(info, entry) for entry, info in enumerate(archive.infolist()) if info.filename]
        members = [(info, entry) for info, entry in named if not info.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise ImageRejected(f"an archive of {len(members)} files; at most {MAX_MEMBERS} are read: split it")
    paths = [(PurePosixPath(info.filename.replace("\\", "/")), info, entry) for info, entry in members]
    wanted = [each for each in paths if each[0].suffix.lower() in SUFFIXES and not each[0].name.startswith(".")]
    if not wanted:
        raise ImageRejected("an archive without images or documents; name another")
    for path, info, entry in sorted(wanted, key=lambda member: (_in_order(member[0]), member[2])):
        where = inside.with_suffix("") / _safe(path)
        member = replace(source, member=info.filename, entry=entry)
        shown = f"{name}/{path}"
        dense = info.file_size > MAX_BYTES and info.file_size > DENSEST * info.compress_size
        if dense or info.file_size > options.member_bytes:
            problem = f"{info.file_size / 2**20:.0f} MiB when unpacked, more than is read; unpack the archive"
            yield _refused(shown, where.with_suffix(""), problem)
            continue
        yield from _of_file(member, shown, where, options)


@contextmanager
def _archive(source: Path | bytes) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(BytesIO(source) if isinstance(source, bytes) else source)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ImageRejected(f"a damaged archive ({error}); copy or pack it again") from error
    with archive:
        yield archive


def tiff_directories(data: bytes) -> list[int]:
    """Offsets of the directories of a TIFF's pages, without thumbnails and masks; linear in the size of `data`.

    TIFF 6.0 and BigTIFF. A chain that leaves the file or is circular ends there. Raises `ImageRejected` if there are
    more than `MAX_PAGES`, or if they overlap.
    """
    seen: set[int] = set()
    pages: list[int] = []
    walked = 0
    for place, end, is_page in walk_tiff(data):
        if place in seen:
            break
        seen.add(place)
        walked += end - place
        if len(seen) > MAX_PAGES:
            raise ImageRejected(f"a TIFF of more than {MAX_PAGES} directories; split it, or export it again")
        if walked > 2 * len(data):
            raise ImageRejected("a TIFF whose directories overlap; export it again")
        if is_page:
            pages.append(place)
    return pages


class _TiffFrom(io.RawIOBase):
    """A TIFF whose first directory is the one at `place`, so that a decoder finds it without walking the others."""

    def __init__(self, stream: BinaryIO, place: int) -> None:
        self._stream = stream
        order, big = _tiff_order(stream.read(16))
        self._head = 8 if big else 4, struct.pack(f"{order}{'Q' if big else 'I'}", place)
        stream.seek(0)
        # libtiff reads the bytes by itself, and is passed the offset of the directory.
        if isinstance(stream, BytesIO):
            self.getvalue = stream.getvalue

    def fileno(self) -> int:
        return self._stream.fileno()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        start = self._stream.tell()
        data = bytearray(self._stream.read(size))
        at, place = self._head
        for i, byte in enumerate(place, at - start):
            if 0 <= i < len(data):
                data[i] = byte
        return bytes(data)


def _tiff_order(head: bytes) -> tuple[str, bool]:
    """`struct`'s sign for the byte order, and whether this is a BigTIFF, whose offsets have 8 bytes."""
    return "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")


def _open_tiff(stream: BinaryIO) -> Image.Image:
    try:
        return Image.open(stream, formats=("TIFF",))
    except Exception as error:  # damage raises many kinds of errors
        raise ImageRejected(f"not an image, or damaged ({error}); copy or export it again") from error


def _of_manifest(data: bytes, name: str, options: _Options) -> Iterator[PageReference]:
    """The images of a IIIF manifest, Presentation API 2 or 3; each is fetched when its page is loaded."""
    try:
        urls = iiif_images(json.loads(data))
    except RecursionError:
        raise ImageRejected("not a IIIF manifest (nested too deeply); give the address of a manifest") from None
    except ValueError as error:
        raise ImageRejected(f"not a IIIF manifest ({error}); give the address of a manifest") from None
    stem = _safe(PurePosixPath(PurePosixPath(urlsplit(name).path).stem or "manifest"))
    digits = max(3, len(str(len(urls))))
    for number in options.numbers(min(len(urls), MAX_PAGES)):
        url = urls[number - 1]
        where = stem.with_name(f"{stem.name}-{number:0{digits}}")
        page = PageReference(f"{name}#{number}", where, Source(url=url), number=number, count=len(urls), whole=stem)
        if not url:
            page = replace(page, kind="refused", problem="a canvas without an image")
        elif not url.startswith(("http://", "https://", "data:")):  # it must not refer to a file on this machine
            page = replace(page, source=Source(), kind="refused", problem=_NO_ADDRESS)
        yield page
    if len(urls) > MAX_PAGES and options.beyond(MAX_PAGES):
        yield replace(
            _refused(f"{name}#{MAX_PAGES + 1}", stem, _too_many(len(urls), MAX_PAGES)),
            number=MAX_PAGES + 1,
            count=len(urls),
        )


def iiif_images(manifest: Any) -> list[str]:
    """Address of the full image of each canvas, in order, "" for one without. Raises ValueError if it is no manifest.

    https://iiif.io/api/presentation/2.1 and 3.0: if a canvas has an image service, the address requests its full size;
    otherwise it is the image's own address.
    """
    if not isinstance(manifest, dict):
        raise ValueError("it is not an object")
    if manifest.get("type") == "Collection" or manifest.get("@type") == "sc:Collection":
        raise ValueError("it is a collection of manifests; give one of them")
    sequences = manifest.get("sequences")
    parts = _listed(sequences) if sequences is not None else [manifest]
    canvases = [
        canvas
        for part in parts
        if isinstance(part, dict)
        for canvas in _listed(part.get("canvases", part.get("items")))
    ]
    urls = [_iiif_image(canvas) for canvas in canvases]
    if not any(urls):
        raise ValueError("no canvas of it has an image")
    return urls


def _iiif_image(canvas: Any) -> str:
    """The address of the full image of a canvas, or ""."""
    try:
        body = canvas["images"][0]["resource"] if "images" in canvas else canvas["items"][0]["items"][0]["body"]
        body = body[0] if isinstance(body, list) else body
        services = body.get("service") or []
        service = services if isinstance(services, dict) else services[0] if services else None
        if service and (base := service.get("@id") or service.get("id")):
            full = "max" if "3" in str(service.get("type", service.get("@context", ""))) else "full"
            return f"{str(base).rstrip('/')}/full/{full}/0/default.jpg"
        return str(body.get("@id") or body["id"])
    except (KeyError, TypeError, IndexError, AttributeError):
        return ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refused(name: str, stem: PurePosixPath, problem: str) -> PageReference:
    return PageReference(name, stem, Source(), "refused", problem=problem)


def _safe(path: PurePosixPath) -> PurePosixPath:
    """A relative path that stays below the folder it is put into, whatever an archive or an address contains."""
    parts = [part for part in path.parts if part not in ("/", "..", ".", "")]
    cleaned = [_short("".join("_" if c in '<>:"|?*' or ord(c) < 32 else c for c in part)) for part in parts]
    # Keep only the last of deeply nested folders; `_unique` separates pages that then have the same name.
    cleaned = cleaned[-MAX_FOLDERS:]
    return PurePosixPath(*cleaned) if cleaned else PurePosixPath("page")


def _short(name: str) -> str:
    """A name that leaves room for a suffix within the 255 bytes of file systems."""
    encoded = name.encode(errors="replace")
    return name if len(encoded) <= 200 else encoded[:200].decode(errors="ignore")


def _unique(page: PageReference, used: dict[str, int]) -> PageReference:
    """`a.jpg` beside `a.png` would both be written to `a.txt`: the second one is `a-2`."""
    stem, first = page.stem, _key(page.stem)
    while (key := _key(stem)) in used:
        used[first] = used.get(first, 1) + 1
        stem = page.stem.with_name(f"{page.stem.name}-{used[first]}")
    used[key] = used.get(key, 1)
    return page if stem == page.stem else replace(page, stem=stem)


def _key(path: PurePosixPath) -> str:
    """Equal for names that some file systems treat as the same: A and a, and accents encoded in two ways."""
    return unicodedata.normalize("NFC", str(path).casefold())
