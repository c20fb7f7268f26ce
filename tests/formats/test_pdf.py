"""A page as PDF: what a viewer shows, finds and copies."""

import io
import json
import re
import runpy
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from text_recognizer import formats
from text_recognizer.images import load_image, to_picture
from text_recognizer.page import Line, Page, Picture, Word

pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2, a viewer's library, is not installed; run: make install")


ROOT = Path(__file__).parent.parent.parent


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture_of(page):
    """Paper with a dark box where each word is."""
    image = Image.new("L", (page.width, page.height), 255)
    for line in page.lines:
        for word in line.words:
            ImageDraw.Draw(image).polygon(word.polygon, fill=0)
    return to_picture(encoded(image))


def write(page, picture=None, source="p.png"):
    return formats.get_format("pdf").write(page, source, picture or picture_of(page))


def opened(document):
    found = pdfium.PdfDocument(document)
    assert len(found) == 1
    return found[0]


def text_of(document):
    return opened(document).get_textpage().get_text_range().replace("\r\n", "\n")


def shown(document, width):
    page = opened(document)
    return page.render(scale=width / page.get_width()).to_pil().convert("L")


def test_jpeg_whose_head_only_decoders_understand_is_encoded_again():
    """They skip what lies between its parts."""
    whole = encoded(Image.new("L", (60, 40), 200), "JPEG")
    for between in (b"\0", b"\0\0\0", b"\xff" * 9):
        data = whole[:20] + between + whole[20:]
        height, width = load_image(data).gray.shape
        page = opened(write(Page(width=width, height=height, lines=()), to_picture(data)))
        assert np.asarray(page.render().to_pil()).mean() == pytest.approx(200, abs=3)


def test_text_comes_out_in_reading_order_in_all_characters_of_the_alphabet(bundle_dir):
    alphabet = json.loads((bundle_dir / "bundle.json").read_text(encoding="utf-8"))["alphabet"].replace(" ", "")
    rows = [alphabet[start : start + 12] for start in range(0, len(alphabet), 12)]
    lines = tuple(
        Line(
            text=row,
            polygon=((20, y), (300, y), (300, y + 20), (20, y + 20)),
            baseline=((20, y + 15), (300, y + 15)),
            confidence=1.0,
            words=(),
        )
        for y, row in zip(range(20, 20 + 40 * len(rows), 40), rows, strict=True)
    )
    assert {*"“”–—…€"} <= {*alphabet}
    # pdfium marks a hyphen at the end of a line as one that joins the two.
    text = text_of(write(Page(width=320, height=600, lines=lines))).replace("\ufffe", "-\n").replace("\x02", "-\n")
    assert "".join(text.split()) == "".join(rows)


def test_line_with_a_baseline_of_no_length_stands_on_its_polygon():
    line = Line(
        text="word",
        polygon=((20, 20), (120, 20), (120, 40), (20, 40)),
        baseline=((20, 35), (20 + 1e-9, 35)),
        confidence=1.0,
        words=(),
    )
    assert text_of(write(Page(width=320, height=60, lines=(line,)))).strip() == "word"


def test_slanted_lines_are_copied_as_they_are_read(slanted):
    assert text_of(write(slanted)) == slanted.text


def test_each_word_lies_where_it_was_written(slanted):
    page = opened(write(slanted))
    scale = slanted.width / page.get_width()
    text = page.get_textpage()
    everything = text.get_text_range()
    for line in slanted.lines:
        for word in line.words:
            if len(word.text) < 3:
                continue
            start = everything.index(word.text, everything.index(line.text[:8]))
            boxes = np.array([text.get_charbox(start + number) for number in range(len(word.text))]) * scale
            left, bottom, right, top = *boxes[:, :2].min(0), *boxes[:, 2:].max(0)
            xs, ys = zip(*word.polygon, strict=True)
            assert left == pytest.approx(min(xs), abs=8)
            assert right == pytest.approx(max(xs), abs=8)
            middle = slanted.height - (bottom + top) / 2
            assert min(ys) < middle < max(ys)


def test_words_are_unseen(slanted):
    paper = to_picture(encoded(Image.new("L", (slanted.width, slanted.height), 255)))
    assert shown(write(slanted, paper), 640).getextrema() == (255, 255)


def test_picture_is_shown_whole_and_sharp(slanted):
    seen = np.asarray(shown(write(slanted), slanted.width), float)
    expected = np.asarray(Image.open(io.BytesIO(picture_of(slanted).data)), float)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photograph_that_exif_turns_is_shown_upright(orientation):
    image = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(image).rectangle((0, 0, 60, 20), fill="red")
    ImageDraw.Draw(image).rectangle((100, 40, 119, 79), fill="blue")
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encoded(image, "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    height, width = load_image(data).gray.shape
    seen = (
        opened(write(Page(width=width, height=height, lines=()), to_picture(data)))
        .render(scale=1)
        .to_pil()
        .convert("RGB")
    )
    expected = upright.resize(seen.size)
    assert np.abs(np.asarray(seen, float) - np.asarray(expected, float)).mean() < 8


@pytest.mark.parametrize(("start", "end", "turned"), [((60, 20), (60, 180), 270), ((180, 60), (20, 60), 180)])
def test_page_on_a_side_or_its_head_is_shown_numbers(start, end, turned):
    xs, ys = sorted((start[0], end[0])), sorted((start[1], end[1]))
    box = ((xs[0] - 10, ys[0] - 10), (xs[1] + 10, ys[0] - 10), (xs[1] + 10, ys[1] + 10), (xs[0] - 10, ys[1] + 10))
    page = Page(
        width=200,
        height=300,
        lines=(Line(text="lies here", polygon=box, baseline=(start, end), confidence=1.0, words=()),),
    )
    found = opened(write(page))
    assert found.get_rotation() == turned
    sides = (found.get_width(), found.get_height())
    assert sides[0] / sides[1] == pytest.approx(200 / 300 if turned == 180 else 300 / 200, rel=0.01)
    assert found.get_textpage().get_text_range() == "lies here"


def test_jpeg_is_in_the_document_byte_by_byte(letter):
    data = letter.read_bytes()
    document = write(Page(width=1280, height=1629, lines=()), to_picture(data))
    assert data in document
    assert len(document) < len(data) + 30_000


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000"])
def test_other_kinds_of_images_are_shown_too(kind, drawn):
    data = encoded(Image.fromarray(drawn).convert("RGB"), kind)
    seen = np.asarray(shown(write(Page(width=480, height=240, lines=()), to_picture(data)), 480), float)
    assert np.abs(seen - drawn).mean() < 6


def test_paper_is_as_large_as_a_scanner_says_and_otherwise_as_a4():
    page = Page(width=600, height=300, lines=())
    scan = opened(write(page, to_picture(encoded(Image.new("L", (600, 300), 255), "JPEG", dpi=(300, 300)))))
    assert (scan.get_width(), scan.get_height()) == pytest.approx((144, 72))
    photo = opened(write(page, to_picture(encoded(Image.new("L", (600, 300), 255), "JPEG", dpi=(72, 72)))))
    assert photo.get_width() == pytest.approx(842, abs=1)


def test_what_a_pdf_cannot_tell_is_a_replacement_character():
    box = ((10, 10), (90, 10), (90, 40), (10, 40))
    document = write(
        Page(width=100, height=50, lines=(Line(text="a\x00b 😀", polygon=box, baseline=(), confidence=1.0, words=()),))
    )
    assert text_of(document) == "a�b �"


def test_document_names_the_image_and_the_model(slanted):
    told = pdfium.PdfDocument(write(slanted, source="scans/p é.png")).get_metadata_dict()
    assert told["Title"] == "p é.png"
    assert told["Creator"].endswith("model pen@0.1")
    assert told["Author"] == ""


def test_pdf_without_a_picture_is_refused(slanted):
    with pytest.raises(ValueError, match="to_picture"):
        formats.get_format("pdf").write(slanted)


def test_threads_write_at_the_same_time(slanted, page):
    pages = [slanted, page] * 8
    alone = {id(page): text_of(write(page)), id(slanted): text_of(write(slanted))}
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(write, pages))
    assert [text_of(document) for document in written] == [alone[id(page)] for page in pages]


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not on this system")
def test_poppler_finds_the_same_text(page, tmp_path):
    (tmp_path / "p.pdf").write_bytes(write(page))
    done = subprocess.run(["pdftotext", tmp_path / "p.pdf", "-"], capture_output=True, text=True, check=True)
    assert re.sub(r"\n+", "\n", done.stdout.strip()) == page.text
    assert not done.stderr


def climbing(degrees, arch=0.0):
    """Lines that rise to the right by `degrees`, their middle `arch` pixels higher."""
    rng, slope = np.random.default_rng(0), np.tan(np.radians(degrees))

    def numbers(points):
        return tuple((float(x), float(y)) for x, y in points)

    lines = []
    for top in range(300, 1000, 60):
        x, words, foot = 120.0, [], []
        for text in rng.choice(["the", "quick", "brown", "fox", "jumps", "over", "lazy"], rng.integers(4, 9)):
            ends = [(at, top - slope * (at - 120) - arch * np.sin(at / 286 - 0.4)) for at in (x, x + 14 * len(text))]
            head, low = ([(at, y + down) for at, y in ends] for down in (-35, 13))
            words.append(Word(text=str(text), polygon=numbers(head + low[::-1]), confidence=0.9))
            foot += ends
            x = ends[1][0] + rng.integers(8, 30)
        head, low = ([(at, y + down) for at, y in foot] for down in (-35, 13))
        text = " ".join(word.text for word in words)
        polygon = numbers(head + low[::-1])
        lines.append(Line(text=text, polygon=polygon, baseline=numbers(foot), confidence=0.9, words=tuple(words)))
    return Page(width=1240, height=1754, lines=tuple(lines))


@pytest.mark.parametrize(("degrees", "arch"), [(0, 40), (2, 40), (4, 0), (6, 0), (-5, 0)])
def test_climbing_lines_are_copied_in_order(degrees, arch, tmp_path):
    page = climbing(degrees, arch)
    document = write(page)
    assert text_of(document) == page.text
    if shutil.which("pdftotext"):
        (tmp_path / "p.pdf").write_bytes(document)
        done = subprocess.run(["pdftotext", tmp_path / "p.pdf", "-"], capture_output=True, text=True, check=True)
        assert done.stdout.split() == page.text.split()


def test_words_of_climbing_lines_stay_on_half_of_what_was_written():
    page = climbing(6)
    found = opened(write(page)).get_textpage()
    scale = opened(write(page)).get_height() / page.height
    characters = found.get_text_range()
    for line in page.lines:
        at = characters.index(line.text)
        for index in (at, at + len(line.text) - 1):
            _, low, _, high = (value / scale for value in found.get_charbox(index, loose=True))
            word = line.words[0] if index == at else line.words[-1]
            ys = [page.height - y for _, y in word.polygon]
            assert min(high, max(ys)) - max(low, min(ys)) > 0.4 * (high - low)


def test_read_letter_can_be_searched(letter):
    from text_recognizer import read

    page = read(letter, mode="fast")
    text = text_of(write(page, to_picture(letter.read_bytes()), "letter.jpg"))
    assert any(line.startswith("To Dr. David") for line in text.split("\n"))
    # PDFium marks a hyphen at the end of a line by U+FFFE and joins what follows.
    assert text.replace("\ufffe", "-\n").split() == page.text.split()


def test_picture_of_a_jpeg_is_the_jpeg_itself(letter):
    data = letter.read_bytes()
    assert to_picture(data) == Picture(data, 1, None)


def test_font_is_the_one_that_its_script_makes(tmp_path):
    pytest.importorskip("fontTools", reason="fontTools, of the extra `train`, is not installed")
    script = runpy.run_path(str(ROOT / "tools" / "unseen_font.py"))
    script["build"]().save(tmp_path / "unseen.ttf")
    assert (tmp_path / "unseen.ttf").read_bytes() == script["TARGET"].read_bytes()
