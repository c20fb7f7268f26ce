"""Every image that people and strangers may give is read rightly or refused with one line."""

import base64
import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from text_recognizer.errors import ImageRejected
from text_recognizer.images import LoadedImage, load_image
from text_recognizer.tone import is_light_on_dark


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refusal(source, **caps) -> str:
    with pytest.raises(ImageRejected) as caught:
        load_image(source, **caps)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def page(drawn) -> Image.Image:
    return Image.fromarray(drawn)


# What is read


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"])
def test_usual_formats_give_the_page(kind, page, drawn):
    loaded = load_image(encoded(page, kind))
    assert loaded.rgb.shape == (240, 480, 3)
    assert loaded.gray.dtype == np.uint8
    assert not loaded.inverted
    assert np.abs(loaded.gray.astype(int) - drawn).mean() < 4


def test_path_string_bytes_file_pil_and_array_are_the_same_door(tmp_path, page, drawn):
    data = encoded(page, "PNG")
    path = tmp_path / "page.png"
    path.write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    sources = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), url, page, drawn]
    for source in sources:
        assert np.array_equal(load_image(source).gray, drawn)


def test_image_loaded_already_is_given_back(drawn):
    loaded = load_image(drawn)
    assert load_image(loaded) is loaded


def test_16_bit_grey_keeps_its_shades(tmp_path, drawn):
    deep = drawn.astype(np.uint16) * 257
    for name in ("page.png", "page.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        assert np.abs(load_image(tmp_path / name).gray.astype(int) - drawn).max() <= 1


def test_12_bits_in_16_are_not_taken_for_a_dark_page(drawn):
    twelve = drawn.astype(np.uint16) * 16
    assert np.abs(load_image(twelve).gray.astype(int) - drawn).max() <= 1


def test_cmyk_jpeg_and_tiff_look_like_the_page(page, drawn):
    for kind in ("JPEG", "TIFF"):
        loaded = load_image(encoded(page.convert("RGB").convert("CMYK"), kind))
        assert np.abs(loaded.gray.astype(int) - drawn).mean() < 4


def test_1_bit_page_is_black_and_white(page):
    loaded = load_image(encoded(page.convert("1", dither=Image.Dither.NONE), "PNG"))
    assert set(np.unique(loaded.gray)) == {0, 255}
    assert not loaded.inverted


def test_transparent_paper_is_white(drawn):
    rgba = np.zeros((240, 480, 4), np.uint8)  # black ink on nothing
    rgba[..., 3] = 255 - drawn
    rgba[drawn == 235, 3] = 0
    loaded = load_image(encoded(Image.fromarray(rgba), "PNG"))
    assert loaded.gray[0, 0] == 255
    assert loaded.gray.min() < 80
    assert not loaded.inverted


def test_white_ink_on_nothing_is_not_lost(drawn):
    rgba = np.full((240, 480, 4), 255, np.uint8)
    rgba[..., 3] = np.where(drawn < 128, 255, 0)
    loaded = load_image(encoded(Image.fromarray(rgba), "PNG"))
    assert loaded.gray.min() < 30
    assert np.median(loaded.gray) == 255


def test_palette_with_a_transparent_colour_lies_on_white(drawn):
    palette = Image.fromarray((drawn < 128).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 20, 20, 120])  # colour 0, the paper, is black, and transparent
    for kind in ("PNG", "GIF"):
        loaded = load_image(encoded(palette, kind, transparency=0))
        assert tuple(loaded.rgb[0, 0]) == (255, 255, 255)
        assert not loaded.inverted
        assert loaded.gray.min() < 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation, drawn):
    upright = Image.fromarray(drawn)
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(load_image(encoded(stored, kind, exif=exif)).gray, drawn)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_does_not_cost_the_page(page, drawn):
    data = encoded(page, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
    assert np.abs(load_image(data).gray.astype(int) - drawn).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame(kind, page, drawn):
    options = {"lossless": True} if kind == "WEBP" else {}
    blank = Image.new("L", page.size, 0)
    data = encoded(page, kind, save_all=True, append_images=[blank, blank], duration=100, **options)
    assert np.abs(load_image(data).gray.astype(int) - drawn).mean() < 4


def test_thumbnail_in_a_tiff_is_not_a_second_page(page, drawn):
    small = page.resize((48, 24))
    small.encoderinfo = {}
    stream = io.BytesIO()
    from PIL import TiffImagePlugin

    with TiffImagePlugin.AppendingTiffWriter(stream, new=True) as tiff:
        page.save(tiff, "TIFF")
        tiff.newFrame()
        small.save(tiff, "TIFF", tiffinfo={254: 1})
        tiff.newFrame()
    assert np.array_equal(load_image(stream.getvalue()).gray, drawn)


def test_floats_bools_and_extra_axes_are_arrays_too(drawn):
    assert np.array_equal(load_image(drawn[..., None]).gray, drawn)
    assert np.abs(load_image(drawn / 255.0).gray.astype(int) - drawn).max() <= 1
    assert set(np.unique(load_image(drawn > 128).gray)) == {0, 255}
    assert load_image(np.dstack([drawn] * 3)).rgb.shape == (240, 480, 3)


# Blank pages stay paper


@pytest.mark.parametrize("shade", [255, 0])
def test_all_white_and_all_black_are_white_paper(shade):
    assert load_image(np.full((300, 200), shade, np.uint8)).gray.min() == 255


# What is refused


def test_truncated_file_is_refused_in_every_format(page):
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"):
        data = encoded(page, kind)
        message = refusal(data[: len(data) * 2 // 3])
        assert "truncated" in message or "damaged" in message


def test_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    for source in (path, b"", io.BytesIO()):
        assert "empty" in refusal(source)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"Dear Sir, this is no image at all.", "not an image"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\n<!doctype html><html></html>", "web page"),
        (b"PK\x03\x04\x14\0", "archive"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),  # Ghostscript must never run
    ],
)
def test_what_is_not_an_image_is_named(data, hint):
    assert hint in refusal(data)


def test_missing_file_folder_and_odd_paths_are_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.png")
    assert "folder" in refusal(tmp_path)
    refusal("a\0b.png")
    refusal("x" * 5000)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9_000, 9_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_by_its_header_before_decoding(size, monkeypatch):
    def decode(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    assert "million pixels" in refusal(png_that_claims(*size))


def test_pixel_cap_holds_for_pil_images_and_arrays_too(drawn):
    assert "million pixels" in refusal(drawn, max_pixels=1000)
    assert "million pixels" in refusal(Image.fromarray(drawn), max_pixels=1000)


def test_byte_cap_holds_for_files_streams_and_bytes(tmp_path, page):
    data = encoded(page, "BMP")
    path = tmp_path / "page.bmp"
    path.write_bytes(data)
    for source in (path, data, io.BytesIO(data)):
        assert "larger than" in refusal(source, max_bytes=1000)


def test_endless_device_is_cut_off():
    assert "larger than" in refusal(Path("/dev/zero"), max_bytes=100_000)


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1), (7, 300)])
def test_image_of_a_few_pixels_is_refused(size):
    assert "too small" in refusal(encoded(Image.new("L", size, 255), "PNG"))


def test_side_beyond_the_warps_is_refused():
    assert "longer than" in refusal(encoded(Image.new("1", (33_000, 10)), "PNG"))


def test_tiff_of_several_pages_is_refused_rather_than_cut(page):
    assert "TIFF of 3 pages" in refusal(encoded(page, "TIFF", save_all=True, append_images=[page, page]))


def directories(subfile_type, number):
    """A TIFF that is nothing but a chain of directories."""
    parts = [b"II*\0" + struct.pack("<I", 8)]
    parts += [struct.pack("<HHHIII", 1, 254, 4, 1, subfile_type, 8 + 18 * (n + 1)) for n in range(number)]
    return b"".join(parts)


def naming_all_bytes(size, entries):
    """A directory whose entries each name all bytes of the file."""
    data = bytearray(size)
    data[:10] = b"II*\0" + struct.pack("<IH", 8, entries)
    for n in range(entries):
        struct.pack_into("<HHII", data, 10 + 12 * n, 60_000 + n, 7, size - 100, 0)
    return bytes(data)


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


@pytest.mark.parametrize("kind", ["pages", "thumbnails", "entries", "exif", "exif in pieces", "multi-picture", "scans"])
def test_image_whose_cost_is_out_of_proportion_is_refused_at_once(kind):
    jpeg = encoded(Image.new("L", (4000, 4000), 200), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    data = {
        "pages": lambda: directories(0, 1_000_000),
        "thumbnails": lambda: directories(1, 1_000_000),
        "entries": lambda: naming_all_bytes(18 * 2**20, 1000),
        "exif": lambda: jpeg[:2] + segment(0xE1, b"Exif\0\0" + naming_all_bytes(65_000, 5000)) + jpeg[2:],
        "exif in pieces": lambda: jpeg[:2] + segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 300 + jpeg[2:],
        "multi-picture": lambda: jpeg[:2] + segment(0xE2, b"MPF\0" + naming_all_bytes(65_000, 5000)) + jpeg[2:],
        "scans": lambda: jpeg[:-2] + scan * 2000 + jpeg[-2:],
    }[kind]()
    begin = time.process_time()
    refusal(data)
    assert time.process_time() - begin < 0.5


def test_exif_of_a_png_whose_cost_is_out_of_proportion_is_ignored():
    image = encoded(Image.new("L", (40, 30), 200), "PNG", exif=b"Exif\0\0" + naming_all_bytes(2**20, 3000))
    begin = time.process_time()
    assert load_image(image).gray.shape == (30, 40)
    assert time.process_time() - begin < 0.5


def test_thumbnail_beside_a_page_is_not_a_second_page(page):
    tiff = encoded(page, "TIFF", save_all=True, append_images=[page.resize((60, 30))])
    assert "2 pages" in refusal(tiff)
    marked = io.BytesIO()
    with Image.open(io.BytesIO(tiff)) as image:
        image.seek(1)
        thumbnail = image.copy()
        thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(marked, "TIFF", save_all=True, append_images=[thumbnail])
    assert load_image(marked.getvalue()).gray.shape == (page.height, page.width)


def test_text_streams_and_odd_arrays_are_refused():
    assert "'rb'" in refusal(io.StringIO("text"))
    assert "shape" in refusal(np.zeros((3, 20, 20), np.uint8))
    assert "shape" in refusal(np.zeros((0, 4, 4, 4), np.uint8))
    refusal(np.zeros((0, 20), np.uint8))
    refusal(np.zeros((20, 20), "complex64"))
    refusal(42)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM"]))
    image = bytearray(encoded(Image.linear_gradient("L").resize((40, 30)), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    try:
        loaded = load_image(bytes(image), max_pixels=1_000_000)
    except ImageRejected as refused:
        assert "\n" not in str(refused)
    else:
        assert isinstance(loaded, LoadedImage)


# Light on dark


def placed(page: np.ndarray, ground: int, rng: np.random.Generator, grain: float = 10) -> np.ndarray:
    """`page` lying on a wide surface of a brightness, with grain."""
    height, width = page.shape
    noise = cv2.GaussianBlur(rng.normal(0, 3 * grain, (height * 2, width * 2)), (0, 0), 1.5)
    table = (ground + noise).clip(0, 255).astype(np.uint8)
    table[height // 2 : height // 2 + height, width // 3 : width // 3 + width] = page
    return table


def test_inverted_scan_becomes_dark_on_light(letter):
    gray = load_image(letter).gray
    loaded = load_image(255 - gray)
    assert loaded.inverted
    assert np.array_equal(loaded.gray, gray)


def test_letter_on_a_dark_table_is_not_inverted(letter):
    scene = placed(load_image(letter).gray, 40, np.random.default_rng(1))
    assert np.median(scene) < 100  # so the brightness alone would say: inverted
    assert not is_light_on_dark(scene)


def test_blackboard_on_a_bright_wall_is_inverted(letter):
    scene = placed(255 - load_image(letter).gray, 210, np.random.default_rng(2))
    assert is_light_on_dark(scene)


@pytest.mark.parametrize("gain", [0.2, 0.4])
def test_dim_photograph_of_a_letter_is_not_inverted(letter, gain):
    dim = (load_image(letter).gray * gain).astype(np.uint8)
    assert dim.max() < 128
    assert not is_light_on_dark(dim)
    assert is_light_on_dark(255 - dim)


def test_letter_half_in_shadow_is_not_inverted(letter):
    gray = load_image(letter).gray.astype(np.float32)
    gray[:, : gray.shape[1] // 2] *= 0.3
    shadowed = gray.astype(np.uint8)
    assert not is_light_on_dark(shadowed)
    assert is_light_on_dark(255 - shadowed)


def test_single_line_of_either_kind_is_told_apart(drawn):
    line = drawn[25:85]
    assert not is_light_on_dark(line)
    assert is_light_on_dark(255 - line)


def test_numbers_of_16_bits_take_little_more_memory_than_the_page():
    array = np.random.default_rng(0).integers(0, 4096, (3000, 3000)).astype(np.uint16)
    tracemalloc.start()
    image = load_image(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert image.rgb.shape == (3000, 3000, 3)
    assert peak < 90e6  # three bytes a pixel are the page
