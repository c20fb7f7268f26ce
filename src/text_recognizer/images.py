"""The only entry point for pixels: convert a path, URL, bytes, file object, PIL image or array to one kind of image.

Input is not trusted. Only the formats below are tried; the size in the header is checked before decoding; any error
that a decoder raises on damaged bytes becomes an `ImageRejected` with a message of one line.
"""

import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from text_recognizer.errors import ImageRejected
from text_recognizer.page import Picture
from text_recognizer.tone import Contrast, dark_on_light, sampling_step

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF", "HEIF")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000  # A3 at 500 dpi, a 50-megapixel phone; at most 12 bytes a pixel while decoding
MAX_MOVING_PIXELS = 16_000_000  # of an animation: its decoders keep up to three pictures beside the frame
MAX_SIDE = 32_000  # OpenCV's warps address pixels with 16 bits
MAX_SCANS = 50  # of a progressive JPEG; encoders write about ten, and each scan takes time for all pixels
MAX_FRAMES = 4  # directories of a TIFF that are read: a page, its thumbnail, its mask
MAX_ENTRIES, MAX_NUMBERS = 1024, 400_000  # of a directory, and numbers in one entry
MIN_SIDE = 8  # smaller writing is unreadable

_KINDS = "PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000, AVIF or HEIC"
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_AT_ONCE = 2**20  # pixels, or numbers, that are converted at once
_LARGE = 8_000_000  # pixels above which colours are not kept unless they are needed
_JPEG2000_BYTES = 320 * 10**6  # most memory that a JPEG 2000 decoder may take for a tile: four bytes per number
_UNITS = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # bytes
_SUBFILE_TYPE = 254
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]+")
# Files that people mistake for images, by their first bytes (offset, bytes, message).
_NOT_IMAGES = (
    (0, b"%PDF", "a PDF, which holds pages; read it with `text-recognizer read` or `read_pages`"),
    (0, b"<svg", "an SVG drawing; export it as PNG"),
    (0, b"<?xml", "an XML file, not an image"),
    (0, b"<!DOCTYPE", "a web page, not an image; give the address of the image itself"),
    (0, b"<html", "a web page, not an image; give the address of the image itself"),
    (0, b"PK\x03\x04", "an archive; unpack it and give the images in it"),
)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """Pixels of one page, upright.

    `rgb` is the image as a person sees it, uint8 (H, W, 3). `gray` is uint8 (H, W), always with dark ink on light paper
    (see `tone.py`). `inverted`: whether the page was light on dark. `dpi`: pixels per inch of paper, None if the file
    states no plausible value.
    """

    rgb: NDArray[np.uint8]
    gray: NDArray[np.uint8]
    inverted: bool
    dpi: float | None = None

    def without_colour(self) -> "LoadedImage":
        """The image in grey: `rgb` is a view of `gray` and takes no memory of its own."""
        return replace(self, rgb=np.broadcast_to(self.gray[..., None], (*self.gray.shape, 3)))


ImageSource = str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any] | LoadedImage


def load_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, colour: bool = True
) -> LoadedImage:
    """Load an image from any source and normalise it for reading.

    `source`: a path, a `data:`, `http:` or `https:` URL, bytes, a binary file object, a PIL image, or an array
    (H, W), (H, W, 1), (H, W, 3) in the order R, G, B, or (H, W, 4) with alpha; of bool, uint8, uint16, or floats
    in 0…1 or 0…255. A `LoadedImage` is returned unchanged.

    EXIF rotation is applied, transparency becomes white paper, 16 bits become 8, CMYK and palettes become RGB. The
    first frame of an animation is used. A TIFF of several pages is refused, because the other pages would be lost.
    `colour`: whether `rgb` is needed. If not, it is a view of `gray`, and decoding a large image takes less memory.
    Raises `ImageRejected`: more than `max_bytes` or `max_pixels`, a side over 32,000 or under 8 pixels, truncated,
    empty, not an image.
    """
    if isinstance(source, LoadedImage):
        return source
    rgb, dpi = _pixels(source, max_pixels, max_bytes, colour)
    gray, inverted = dark_on_light(rgb)
    loaded = LoadedImage(rgb, gray, inverted, dpi)
    return loaded if colour else loaded.without_colour()


def _pixels(
    source: ImageSource, max_pixels: int, max_bytes: int, colour: bool
) -> tuple[NDArray[np.uint8], float | None]:
    """Decode a source: rgb uint8 (H, W, 3), and pixels per inch."""
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels), None
    if isinstance(source, Image.Image):
        _check_size(source.width, source.height, max_pixels)
        with _refusing_damage():
            return _to_rgb(source, colour), _dpi(source)
    assert not isinstance(source, LoadedImage)
    data = read_bytes(source, max_bytes)
    with decoding(data, max_pixels) as image:
        return _decoded(image, data, colour), _dpi(image)


def to_picture(data: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False) -> Picture:
    """Convert an encoded image for documents: a JPEG is kept unchanged, other images become upright PNG or JPEG.

    `upright`: a JPEG with an EXIF rotation is rotated and encoded again, for programs that ignore EXIF.
    Lossy images become JPEG, the others PNG; a JPEG with a header that only decoders understand is encoded again. Use
    it for images that have been read: a JPEG is not decoded again, so damage in its pixels is not detected. Raises
    `ImageRejected` as `load_image` does.
    """
    with decoding(data, max_pixels) as image:
        dpi = _dpi(image)
        turn = _orientation(image)
        unchanged = Picture(data, turn, dpi)
        kept = unchanged.jpeg_size() == (*image.size, len(image.getbands())) and image.mode in ("L", "RGB")
        if kept and not (upright and turn != 1):
            return unchanged
        lossy = image.format in ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF")
        rgb = _decoded(image, data)
    del image  # its pixels take more memory than those in `rgb`
    picture = Image.fromarray(rgb[..., 0] if _is_grey(rgb) else rgb)
    del rgb
    out = BytesIO()
    if lossy:
        picture.save(out, "JPEG", quality=92)
    else:
        picture.save(out, "PNG", compress_level=1)
    return Picture(out.getvalue(), dpi=dpi)


def read_bytes(source: str | Path | bytes | bytearray | memoryview | BinaryIO, max_bytes: int = MAX_BYTES) -> bytes:
    """The encoded image of a path, a `data:`, `http:` or `https:` URL, bytes or a binary file object.

    Raises `ImageRejected` if it cannot be read, is empty, or is larger than `max_bytes`.
    """
    if isinstance(source, str) and source.startswith(("data:", "http://", "https://")):
        from text_recognizer.web import fetch  # late: only URLs need sockets and TLS

        data = fetch(source, max_bytes)
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | Path):
        data = _read_file(Path(source), max_bytes)
    elif hasattr(source, "read"):
        try:
            data = source.read(max_bytes + 1)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise ImageRejected(f"the file object cannot be read ({error}); open it again") from None
        if not isinstance(data, bytes):
            raise ImageRejected("the file object gives text, not bytes; open it with mode 'rb'")
    else:
        raise ImageRejected(
            f"cannot take an image from a {type(source).__name__}; give a path, a URL, bytes, "
            "a binary file object, a PIL image or an array"
        )
    if len(data) > max_bytes:
        raise ImageRejected(f"larger than {max_bytes / 2**20:.0f} MiB; save it as JPEG or PNG, or scale it down")
    if not data:
        raise ImageRejected("empty, 0 bytes; copy or download it again")
    return data


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return stream.read(max_bytes + 1)
            parts, size = [], 0  # a pipe may return less than was requested
            while size <= max_bytes and (part := stream.read(min(1 << 20, max_bytes + 1 - size))):
                parts.append(part)
                size += len(part)
            return b"".join(parts)
    except FileNotFoundError:
        raise ImageRejected("no such file; check the path") from None
    except IsADirectoryError:
        raise ImageRejected("a folder; name the images in it, for instance FOLDER/*.jpg") from None
    except PermissionError:
        raise ImageRejected("not allowed to read this file; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error  # without the file name, which precedes the message
        raise ImageRejected(f"cannot be opened ({reason}); check the path") from None


@contextmanager
def decoding(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image in `data`, opened but not decoded, after checks of its kind and size. Raises `ImageRejected`."""
    with _refusing_damage():
        _check_cost(data)
        try:
            if data[4:8] == b"ftyp":
                from pi_heif import register_heif_opener  # late: few images need it

                register_heif_opener(thumbnails=False)
            image = Image.open(
                BytesIO(data), formats=[kind for kind in FORMATS if kind != "HEIF" or kind in Image.OPEN]
            )
        except UnidentifiedImageError:
            raise ImageRejected(_what_it_is(data)) from None
        except Image.DecompressionBombError:
            raise ImageRejected(
                f"claims far more than {max_pixels / 1e6:.0f} million pixels; scale it down or cut it"
            ) from None
        with image:
            _check_size(image.width, image.height, max_pixels)
            if image.format in ("WEBP", "AVIF") and getattr(image, "is_animated", False):
                check_moving(image)
            yield image


def check_moving(image: Image.Image) -> None:
    """Raises `ImageRejected` for an animation that is too large to decode in limited memory."""
    if image.width * image.height > MAX_MOVING_PIXELS:
        raise ImageRejected(
            f"an animation of {image.width} × {image.height} pixels, more than the {MAX_MOVING_PIXELS / 1e6:.0f} "
            "million that are read of one; save its frames as pictures"
        )


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except ImageRejected:
        raise
    except Exception as error:  # on damaged bytes, decoders raise anything: OSError, SyntaxError, struct.error…
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageRejected(f"damaged or truncated ({reason}); copy, download or export it again") from error


def _what_it_is(data: bytes) -> str:
    start = data[:64].lstrip()
    for offset, mark, words in _NOT_IMAGES:
        if start[offset : offset + len(mark)].lower() == mark.lower():
            return f"this is {words}"
    if start and _TEXT.fullmatch(start[:60]):
        return "not an image but a text file; a list of files, one a line, is given as @FILE"
    return f"not an image, or its beginning is damaged; give a {_KINDS} file"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageRejected(
            f"{width} × {height} is {width * height / 1e6:.0f} million pixels, more than the "
            f"{max_pixels / 1e6:.0f} million that are read; scale it down or cut it"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageRejected(f"{width} × {height} pixels: a side is longer than {MAX_SIDE}; scale it down or cut it")
    if min(width, height) < MIN_SIDE:
        raise ImageRejected(
            f"{width} × {height} pixels is too small to hold writing; give at least {MIN_SIDE} pixels a side"
        )


_BEYOND = struct.error, OverflowError  # offsets outside the file; BigTIFF has some that no processor can address


def _check_cost(data: bytes) -> None:
    """Before decoding, refuse files that would take time or memory out of proportion to their size."""
    if data[:2] == b"\xff\xd8":
        if data.count(b"\xff\xda") > MAX_SCANS:  # compressed pixels never hold this marker
            raise ImageRejected(f"a JPEG of more than {MAX_SCANS} scans; export it again")
        for mark in (b"Exif\0\0", b"MPF\0"):
            if data.count(mark) > MAX_FRAMES or not is_bounded(data[data.find(mark) + len(mark) :][: 1 << 17]):
                raise ImageRejected("a JPEG whose metadata is damaged; export it again")
    elif data[:2] in _BYTE_ORDERS:
        if not is_bounded(data):
            raise ImageRejected("a TIFF whose directory is damaged; export it again")
        pages = sum(is_page for _, _, is_page in islice(walk_tiff(data), MAX_FRAMES))
        if pages > 1:
            raise ImageRejected(
                f"a TIFF of {pages} pages{' or more' * (pages == MAX_FRAMES)}; split it, for instance with "
                "`tiffsplit`, and give the pages one by one"
            )


def is_bounded(data: bytes, place: int | None = None) -> bool:
    """Whether a directory of a TIFF or EXIF, the first or the one at `place`, refers to few more bytes than exist.

    Each entry may refer to all bytes of the file, and Pillow copies them for each: 18 MiB would become a terabyte.
    """
    order, big = _BYTE_ORDERS.get(data[:2], ""), data[2:3] + data[3:4] in (b"\x2b\0", b"\0\x2b")
    if not order:
        return True  # no directory: decoders ignore it
    total = 0
    with suppress(*_BEYOND):
        if place is None:
            place = int(struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0])
        entries = struct.unpack_from(order + ("Q" if big else "H"), data, place)[0]
        if entries > MAX_ENTRIES:
            return False
        for index in range(entries):
            at = place + (8 + 20 * index if big else 2 + 12 * index)
            _, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
            total += count * _UNITS.get(kind, 1)
            if kind in (3, 4, 16) and count > MAX_NUMBERS:  # each becomes an object
                return False
    return total <= 2 * len(data) + (1 << 16)


def walk_tiff(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """The directories of a TIFF or BigTIFF along their chain: start, end, and whether it is a page.

    A thumbnail or a mask is not a page. The chain ends where it leaves the file; a circular one does not end, so the
    caller must bound the walk.
    """
    order, big = _BYTE_ORDERS[data[:2]], data[2:3] + data[3:4] in (b"\x2b\0", b"\0\x2b")
    number = order + ("Q" if big else "I")
    with suppress(*_BEYOND):
        at = 8 if big else 4
        while place := struct.unpack_from(number, data, at)[0]:
            entries = min(MAX_ENTRIES, struct.unpack_from(order + ("Q" if big else "H"), data, place)[0])
            first, step = place + (8 if big else 2), 20 if big else 12
            subfile_type = 0
            for at in range(first, first + step * entries, step):
                tag, kind, value = struct.unpack_from(order + ("HH8xI" if big else "HH4xI"), data, at)
                if tag == _SUBFILE_TYPE:
                    subfile_type = value >> 16 if (kind, order) == (3, ">") else value
            at = first + step * entries
            yield place, at, not subfile_type & 0b101  # bit 0: a thumbnail, bit 2: a mask


def _decoded(image: Image.Image, data: bytes, colour: bool = True) -> NDArray[np.uint8]:
    """`_to_rgb` for an image just opened from `data`, with less work for decoders that take much memory."""
    if image.format == "JPEG2000" and (halvings := _halvings(data, image.width * image.height)):
        size = image.size
        image.reduce = halvings  # type: ignore[method-assign, assignment]
        # Scale back, so that positions on the page do not change.
        return np.asarray(cv2.resize(_to_rgb(image, colour), size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.format == "WEBP" and not getattr(image, "is_animated", False):
        # Pillow decodes it as an animation, in four times the memory.
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is None:
            raise ImageRejected("damaged or truncated (its pixels end too early); copy, download or export it again")
        for part in _parts(*array.shape[:2]):
            array[part, :, :3] = array[part, :, 2::-1].copy()
        return _from_array(_turned(array, _orientation(image)), array.shape[0] * array.shape[1])
    if not colour and image.format in ("JPEG", "MPO") and image.mode == "RGB" and image.width * image.height > _LARGE:
        with Image.open(BytesIO(data), formats=["JPEG", "MPO"]) as preview:
            preview.draft("RGB", (image.width // 8, image.height // 8))
            step = sampling_step(preview.size)
            sample = np.asarray(preview)[::step, ::step]
        if Contrast.of(sample).axis is None:
            image.draft("L", image.size)  # a JPEG stores the brightness, which takes a quarter of the memory
    return _to_rgb(image, colour)


def _halvings(data: bytes, pixels: int) -> int:
    """How often to halve the sides of a JPEG 2000, so that decoding it takes little memory.

    Raises `ImageRejected` if the file does not contain that size, which only few encoders omit.
    """
    at = 0
    if data[:4] != b"\xff\x4f\xff\x51":  # boxes, one of which contains the pixels
        while data[at + 4 : at + 8] != b"jp2c":
            length = int(struct.unpack_from(">I", data, at)[0])
            at += int(struct.unpack_from(">Q", data, at + 8)[0]) if length == 1 else max(8, length)
        at += 16 if data[at : at + 4] == b"\0\0\0\1" else 8
    across, down = struct.unpack_from(">2I", data, at + 24)
    cost = 4 * min(across * down, pixels) * int(struct.unpack_from(">H", data, at + 40)[0])
    halvings = 0
    while cost > _JPEG2000_BYTES << (2 * halvings):
        halvings += 1
    style = data.find(b"\xff\x52", at)
    if halvings > (data[style + 9] if 0 <= style < len(data) - 9 else 0):
        raise ImageRejected(
            f"a JPEG 2000 of {pixels / 1e6:.0f} million pixels that holds no smaller sizes; export it as PNG or JPEG"
        )
    return halvings


def _to_rgb(image: Image.Image, colour: bool = True) -> NDArray[np.uint8]:
    """Any PIL image → rgb uint8 (H, W, 3), upright, transparency on paper.

    A grey image, and a large one without `colour`, is a view of a grey array, as from `_coloured`.
    """
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith(("I", "F")):
        deep = np.empty((image.height, image.width), np.asarray(image.crop((0, 0, 1, 1))).dtype)
        for part in _parts(*deep.shape):
            deep[part] = _band(image, part, image.mode)
        return _from_array(_turned(deep, orientation), max_pixels=deep.size)
    grey = image.mode in ("1", "L") and not image.has_transparency_data
    across, down = image.size if orientation < 5 else image.size[::-1]
    contrast = None
    if not colour and not grey and not image.has_transparency_data and across * down > _LARGE:
        step = sampling_step(image.size)
        sample = [_band(image, slice(row, row + 1), "RGB")[:, ::step] for row in range(0, image.height, step)]
        contrast = Contrast.of(np.concatenate(sample))
    out = np.empty((down, across) if grey or contrast else (down, across, 3), np.uint8)
    # Some rows at a time: a page may have 64 million pixels, and Pillow copies an image twice to return an array.
    stored = _turned(out, {6: 8, 8: 6}.get(orientation, orientation))
    if image.has_transparency_data:
        _put_on_paper(stored, lambda part: _band(image, part, "RGBA"))
        return out
    for part in _parts(image.height, image.width):
        band = _band(image, part, "L" if grey else "RGB")
        stored[part] = contrast.gray(band) if contrast else band
    return _coloured(out)


def _parts(height: int, width: int) -> Iterator[slice]:
    """Slices of the rows of an image, each of a bounded number of pixels."""
    rows = max(1, _AT_ONCE // max(1, width))
    return (slice(start, min(height, start + rows)) for start in range(0, height, rows))


def _band(image: Image.Image, part: slice, mode: str) -> NDArray[Any]:
    band = image.crop((0, part.start, image.width, part.stop))
    band = band if band.mode == mode else band.convert(mode)
    # Channel by channel: Pillow takes twice as long to pack three of four bytes per pixel.
    return np.asarray(cv2.merge([np.asarray(colour) for colour in band.split()]) if mode == "RGB" else band)


def _turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W, …) as stored → upright, by EXIF's orientation 1…8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    down = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    across = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return array[down, across]


def _coloured(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) or rgb (H, W, 3) → rgb (H, W, 3); for grey, the three channels share one array."""
    gray = np.ascontiguousarray(gray)
    return gray if gray.ndim == 3 else np.broadcast_to(gray[..., None], (*gray.shape, 3))


def _is_grey(rgb: NDArray[np.uint8]) -> bool:
    return rgb.strides[2] == 0 or all(bool((rgb[part] == rgb[part, :, :1]).all()) for part in _parts(*rgb.shape[:2]))


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1…8; 1 if EXIF is missing or damaged."""
    image.info.pop("Raw profile type exif", None)  # EXIF in a text chunk of PNG, whose size has no limit
    if not is_bounded((image.info.get("exif") or b"").removeprefix(b"Exif\0\0")):
        return 1
    with suppress(Exception):
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(value) if value in range(1, 9) else 1
    return 1


def _dpi(image: Image.Image) -> float | None:
    """Pixels per inch if the value is plausible: cameras and screens write 72 or 96, whatever the paper."""
    with suppress(Exception):
        across, down = (float(number) for number in image.info["dpi"])
        if 100 <= across <= 2400 and abs(across - down) < 0.01 * across:
            return across
    return None


def _put_on_paper(out: NDArray[np.uint8], rows: Callable[[slice], NDArray[np.uint8]]) -> None:
    """Fill `out`, rgb (H, W, 3), with RGBA over white, or over black if white would hide white strokes.

    `rows`: returns some rows of the RGBA, uint8 (h, W, 4).
    """
    darkest, least, most = 255, 255, 0
    for part in _parts(*out.shape[:2]):
        rgba = rows(part)
        paper = _over(rgba, "white")
        out[part] = np.asarray(paper)
        darkest = min(darkest, int(paper.convert("L").getextrema()[0]))  # type: ignore[arg-type]
        least, most = min(least, int(rgba[..., 3].min())), max(most, int(rgba[..., 3].max()))
    if darkest > 200 and (least, most) == (0, 255):
        for part in _parts(*out.shape[:2]):
            out[part] = np.asarray(_over(rows(part), "black"))


def _over(rgba: NDArray[np.uint8], colour: str) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(rgba))
    paper = Image.new("RGB", image.size, colour)
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale numbers of any kind to 0…255, some rows at a time, because floats take several times the memory."""
    parts = list(_parts(len(array), array[:1].size))

    def floats(part: slice) -> NDArray[np.float32]:
        return np.asarray(np.nan_to_num(array[part].astype(np.float32), nan=0.0, posinf=65535.0, neginf=0.0))

    # Scanners store 10, 12 or 14 bits in 16 without stating it: use the smallest range that holds the image.
    top = max((float(floats(part).max(initial=0.0)) for part in parts), default=0.0)
    ranges = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
    full = next((r for r in ranges if top <= r), top)
    out = np.empty(array.shape, np.uint8)
    for part in parts:
        out[part] = np.clip(floats(part) * (255.0 / full) + 0.5, 0, 255)
    return out


def _from_array(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    """Array of any known kind → rgb uint8 (H, W, 3). 16 bits and floats are scaled to 0…255."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageRejected(
            f"an array of shape {array.shape}; give (height, width), (height, width, 3) or (height, width, 4)"
        )
    _check_size(array.shape[1], array.shape[0], max_pixels)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind in "iuf" and array.dtype != np.uint8:
        array = _to_bytes(array)
    elif array.dtype != np.uint8:
        raise ImageRejected(f"an array of {array.dtype}; give bool, uint8, uint16 or float")
    if array.ndim == 3 and array.shape[2] == 4:
        out = np.empty((*array.shape[:2], 3), np.uint8)
        _put_on_paper(out, lambda part: array[part])
        return out
    return _coloured(array)
