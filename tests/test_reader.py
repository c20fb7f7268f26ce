"""A page goes in, lines and words with their places come out."""

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from difflib import SequenceMatcher

import numpy as np
import pytest
from PIL import Image

import text_recognizer
from text_recognizer.page import Page
from text_recognizer.reader import Reader
from text_recognizer.recognition.recognizer import Recognizer


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir)


@pytest.fixture(scope="module")
def read(reader, letter) -> Page:
    return reader.read(letter, mode="fast")


def test_letter_gives_its_lines_from_top_to_bottom(read):
    assert (read.width, read.height) == (1280, 1629)
    assert 8 <= len(read.lines) <= 20  # thirteen are written
    heights = [np.mean([y for _, y in line.polygon]) for line in read.lines]
    assert np.corrcoef(heights, np.arange(len(heights)))[0, 1] > 0.95
    assert read.text == "\n".join(line.text for line in read.lines)


def test_every_line_has_text_a_place_on_the_page_and_a_confidence(read):
    for line in read.lines:
        assert line.text.strip() == line.text != ""
        assert 0 <= line.confidence <= 1
        for x, y in (*line.polygon, *line.baseline):
            assert -1 <= x <= read.width + 1
            assert -1 <= y <= read.height + 1
        assert line.baseline[0][0] < line.baseline[-1][0]


def test_words_make_up_their_line_and_stand_side_by_side_in_it(read):
    for line in read.lines:
        assert " ".join(word.text for word in line.words) == line.text
        middles = [np.mean([x for x, _ in word.polygon]) for word in line.words]
        assert middles == sorted(middles)
        low, high = min(x for x, _ in line.polygon), max(x for x, _ in line.polygon)
        for word in line.words:
            assert 0 <= word.confidence <= 1
            assert all(low - 1 <= x <= high + 1 for x, _ in word.polygon)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_page_on_its_side_or_head_reads_the_same_at_its_own_places(read, reader, letter, quarters):
    with Image.open(letter) as image:
        gray = np.asarray(image.convert("L"))
    page = reader.read(np.rot90(gray, quarters), mode="fast")
    assert (page.height, page.width) == np.rot90(gray, quarters).shape
    assert SequenceMatcher(None, page.text, read.text).ratio() > 0.8  # upside down it would be 0.2
    # A quarter turn counter-clockwise takes what stands at the top to the left, two take it to the bottom.
    x, y = np.mean(page.lines[0].polygon, axis=0) / (page.width, page.height)
    assert {1: x, 2: 1 - y, 3: 1 - x}[quarters] < 0.25
    along = np.subtract(page.lines[0].baseline[-1], page.lines[0].baseline[0])
    assert {1: -along[1], 2: -along[0], 3: along[1]}[quarters] > 0
    assert page.orientation == 90 * quarters
    found = reader.orientation(np.rot90(gray, quarters))  # without reading it
    assert found.degrees == page.orientation
    assert 0.05 < found.confidence < 1


def test_blank_page_has_no_orientation_to_speak_of(reader):
    found = reader.orientation(np.full((400, 300), 255, np.uint8))
    assert (found.degrees, found.confidence) == (0, 0)


def test_page_says_which_model_read_it(read, reader):
    assert read.model == f"{reader.bundle.name}@{reader.bundle.version}"


def test_light_on_dark_reads_the_same(read, reader, letter):
    with Image.open(letter) as image:
        gray = np.asarray(image.convert("L"))
    same = reader.read(gray, mode="fast")
    assert reader.read(255 - gray, mode="fast").text == same.text


def test_rotated_by_exif_reads_the_same(reader, letter):
    with Image.open(letter) as image:
        upright = np.asarray(image.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(stored, "PNG", exif=exif)
    assert reader.read(stored.getvalue(), mode="fast") == reader.read(upright, mode="fast")


def blank_pages():
    rng = np.random.default_rng(0)
    height, width = 700, 500
    shading = np.linspace(120, 250, width)[None].repeat(height, 0)
    ruled = np.full((height, width), 240.0)
    ruled[40::40] = 170
    return {
        "white": np.full((height, width), 255, np.uint8),
        "black": np.zeros((height, width), np.uint8),
        "grey": np.full((height, width), 127, np.uint8),
        "grain": rng.normal(215, 6, (height, width)).clip(0, 255).astype(np.uint8),
        "shaded": (shading + rng.normal(0, 2, shading.shape)).clip(0, 255).astype(np.uint8),
        "ruled": (ruled + rng.normal(0, 2, ruled.shape)).clip(0, 255).astype(np.uint8),
        "small": np.full((8, 8), 255, np.uint8),
    }


@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("kind", list(blank_pages()))
def test_blank_page_gives_empty_text(reader, kind, mode):
    page = reader.read(blank_pages()[kind], mode)
    assert page.text == ""
    assert page.lines == ()


@pytest.mark.parametrize("kind", ["white", "black", "grey"])
def test_blank_line_image_gives_empty_text(reader, kind):
    assert reader.read_line(blank_pages()[kind]).text == ""


@pytest.mark.parametrize("size", [(8, 3000), (3000, 8), (20, 20)])
def test_odd_shapes_do_not_trip_it(reader, size):
    rng = np.random.default_rng(1)
    reader.read(rng.integers(0, 256, size, np.uint8), mode="fast")
    reader.read_line(rng.integers(0, 256, size, np.uint8), mode="fast")


def test_lines_that_were_seen_to_lay_out_a_page_are_not_encoded_again(reader, letter, monkeypatch):
    encoded, encode = [], Recognizer.encode
    monkeypatch.setattr(Recognizer, "encode", lambda self, images: encoded.extend(images) or encode(self, images))
    layout = reader.lay_out(letter)
    assert 0 < len(encoded) < len(layout.crops) == 13
    reader.recognizer.read_lines(layout.crops, "fast", only_writing=True)
    assert len(encoded) == 13
    reader.recognizer.read_lines(layout.crops, "fast", only_writing=True)  # nothing is kept for longer
    assert len(encoded) == 26


def test_given_lines_are_read_without_looking_for_lines(read, reader, letter, monkeypatch):
    monkeypatch.setattr(Reader, "line_finder", None)
    chosen = read.lines[2:5]
    again = reader.read(letter, mode="fast", lines=[(line.polygon, line.baseline) for line in chosen])
    assert again.lines == chosen


def test_line_image_reads_as_one_line_with_its_words(reader, letter, read):
    line = max(read.lines, key=lambda line: len(line.text))
    xs, ys = zip(*line.polygon, strict=True)
    box = (int(min(xs)), int(min(ys)), int(max(xs)) + 1, int(max(ys)) + 1)
    with Image.open(letter) as image:
        found = reader.read_line(image.crop(box), mode="fast")
    assert found.text
    assert "\n" not in found.text
    assert len(found.words) == len(found.text.split())


def test_read_from_python_in_one_call(letter):
    page = text_recognizer.read(letter, mode="fast")
    assert isinstance(page, text_recognizer.Page)
    assert page.text


def test_pickled_reader_reads_the_same_in_another_process(read, reader, letter):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(reader.read, letter, "fast").result(timeout=120) == read
