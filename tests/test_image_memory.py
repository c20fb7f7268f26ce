"""A large image of any kind is loaded in the memory that `images.MAX_PIXELS` names, and as it looks."""

import io
import struct
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

import small_process
from text_recognizer.documents import find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.images import load_image, to_picture

SIZE = 8000, 4000
MOST = (12 * SIZE[0] * SIZE[1] + 90 * 10**6) // 1024  # KiB: so many bytes a pixel, and the program
LOAD = "import sys; from text_recognizer.images import load_image; print(*load_image(sys.argv[1]).rgb.shape)"
WITHOUT_COLOUR = (
    "import sys; from text_recognizer.images import load_image\n"
    "image = load_image(sys.argv[1], colour=False); print(int(image.rgb.strides[2] == 0))"
)
PICTURE = (
    "import sys; from text_recognizer.documents import find_pages\n"
    "for page in find_pages(sys.argv[1]): print(len(page.picture().data) > 100)"
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in KiB on Linux")


@pytest.fixture(scope="module")
def sheet():
    """Stripes of ink, in colours that no codec may confuse."""
    array = np.full((SIZE[1], SIZE[0], 3), (250, 240, 220), np.uint8)
    array[::100, : SIZE[0] // 2] = (20, 40, 160)
    array[50:60] = (160, 30, 20)
    return Image.fromarray(array)


def see_through(sheet):
    rgba = sheet.convert("RGBA")
    rgba.putalpha(sheet.getchannel("R"))
    return rgba


def deep_png(path, sheet):
    array = np.asarray(see_through(sheet))[..., [2, 1, 0, 3]].astype(np.uint16) * 257
    cv2.imwrite(str(path), array, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def turned(path, sheet):
    sheet.save(path, quality=80, exif=rotated())


KINDS = {
    "turned.jpg": turned,
    "cmyk.jpg": lambda path, sheet: sheet.convert("CMYK").save(path, quality=80),
    "16-bit.png": deep_png,
    "a.tif": lambda path, sheet: sheet.save(path, compression="tiff_lzw"),
    "float.tif": lambda path, sheet: sheet.convert("F").save(path, compression="tiff_lzw"),
    "a.webp": lambda path, sheet: sheet.save(path, quality=40, method=0),
    "rgba.webp": lambda path, sheet: see_through(sheet).save(path, lossless=True, quality=0, method=0),
    "a.jp2": lambda path, sheet: sheet.save(path, quality_mode="rates", quality_layers=[40]),
    "a.avif": lambda path, sheet: sheet.save(path, quality=50, speed=10),
}


@linux
@pytest.mark.parametrize("name", KINDS)
def test_large_image_of_any_kind_takes_little_memory(name, sheet, tmp_path):
    KINDS[name](tmp_path / name, sheet)
    done, memory = small_process.run([sys.executable, "-c", LOAD, str(tmp_path / name)])
    across, down = SIZE[::-1] if name == "turned.jpg" else SIZE
    assert done.stdout.split() == [str(down), str(across), "3"], done.stderr
    assert memory < MOST


@linux
@pytest.mark.parametrize(("name", "most"), [("turned.jpg", 3), ("a.tif", 6)])
def test_large_image_without_its_colours_takes_less_memory(name, most, sheet, tmp_path):
    KINDS[name](tmp_path / name, sheet)
    done, memory = small_process.run([sys.executable, "-c", WITHOUT_COLOUR, str(tmp_path / name)])
    assert done.stdout.split() == ["1"], done.stderr
    assert memory < (most * SIZE[0] * SIZE[1] + 90 * 10**6) // 1024


def test_large_image_without_its_colours_is_as_grey_as_with_them(tmp_path):
    for across, down in ((4000, 2200), (2200, 4000)):
        # Red writing on green of the same brightness, as no single colour shows it, and blue on white.
        for ink, paper in (((200, 40, 40), (40, 118, 40)), ((20, 40, 160), (250, 240, 220))):
            array = np.full((down, across, 3), paper, np.uint8)
            for row in range(100, down - 100, 90):
                cv2.putText(array, "writing " * 12, (80, row), cv2.FONT_HERSHEY_SIMPLEX, 1.6, ink, 6)
            for name, options in (("a.jpg", {"quality": 92, "subsampling": 0, "exif": rotated()}), ("a.png", {})):
                Image.fromarray(array).save(tmp_path / name, **options)
                with_, without = (load_image(tmp_path / name, colour=colour) for colour in (True, False))
                assert without.rgb.strides[2] == 0 and without.gray.shape == with_.gray.shape
                assert np.abs(without.gray.astype(int) - with_.gray).mean() < 1.5, (name, ink)


@linux
@pytest.mark.parametrize("name", ["a.tif", "a.webp"])
def test_picture_of_a_large_image_takes_little_memory(name, sheet, tmp_path):
    KINDS[name](tmp_path / name, sheet)
    done, memory = small_process.run([sys.executable, "-c", PICTURE, str(tmp_path / name)])
    assert done.stdout.split() == ["True"], done.stderr
    assert memory < MOST


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_large_jpeg2000_is_as_large_as_it_says(sheet):
    """It is decoded at half its size."""
    page = load_image(encoded(sheet, "JPEG2000", quality_mode="rates", quality_layers=[20]))
    assert page.rgb.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(page.rgb[40:70:3, ::500].astype(int) - np.asarray(sheet)[40:70:3, ::500]).mean() < 12


def test_large_jpeg2000_in_small_tiles_keeps_its_pixels(sheet):
    tiled = encoded(sheet, "JPEG2000", quality_mode="rates", quality_layers=[9], tile_size=(1000, 1000))
    assert np.abs(load_image(tiled).rgb[::100, :50].astype(int) - np.asarray(sheet)[::100, :50]).max() < 20


def jpeg2000_that_claims(width, height):
    """In its box and in its pixels, as one tile without smaller sizes."""
    data = bytearray(encoded(Image.new("RGB", (100, 90), "white"), "JPEG2000", num_resolutions=1))
    struct.pack_into(">2I", data, data.index(b"ihdr") + 4, height, width)
    at = data.index(b"\xff\x4f\xff\x51")
    for place in (8, 24):
        struct.pack_into(">2I", data, at + place, width, height)
    return bytes(data)


def test_large_jpeg2000_that_holds_no_smaller_size_is_refused():
    data = jpeg2000_that_claims(8000, 8000)
    decoy = b"\xff\x4f\xff\x51" + struct.pack(">HH10I", 47, 0, *[1000] * 10)
    at = data.index(b"jp2c") - 4
    with_decoy = data[:at] + struct.pack(">I4s", 8 + len(decoy), b"free") + decoy + data[at:]
    for each in (data, data[at + 8 :], with_decoy):
        with pytest.raises(ImageRejected, match="64 million pixels that holds no smaller sizes; export it as PNG"):
            load_image(each)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_animation_that_is_very_large_is_refused(kind):
    frames = [Image.new("L", (4100, 4100), shade) for shade in (255, 0)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], quality=1, speed=10, method=0)
    with pytest.raises(ImageRejected, match="an animation of 4100 × 4100 pixels, more than the 16 million"):
        load_image(data)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_frames_of_a_large_animation_are_refused_and_its_first_one_is_read(kind):
    frames = [Image.new("L", (4100, 4100), shade) for shade in (255, 0)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert load_image(data).gray.shape == (4100, 4100)
    for page in find_pages(data, frames=True):
        with pytest.raises(ImageRejected, match="save its frames as pictures"):
            page.load()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_colours_are_turned_upright_as_pillow_turns_them(kind, orientation, mode):
    rng = np.random.default_rng(orientation)
    image = Image.fromarray(rng.integers(0, 256, (40, 30, len(mode)), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, kind, exif=exif, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as stored:
        upright = ImageOps.exif_transpose(stored)
    if mode == "RGBA":
        paper = Image.new("RGB", upright.size, "white")
        paper.paste(upright, mask=upright.getchannel("A"))
        upright = paper
    assert np.array_equal(load_image(data).rgb, np.asarray(upright))
    with Image.open(io.BytesIO(to_picture(data, upright=True).data)) as picture:
        assert picture.size == upright.size
