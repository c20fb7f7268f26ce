"""Text that a PDF holds already is taken where there is enough of it, in its place, and marked as such."""

import io
import json

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from text_recognizer import cli, read_pages
from text_recognizer.documents import find_pages

PROSE = (
    "We left the harbour early in the morning, before",
    "anybody was awake, and sailed north for nine days",
    "until the ice began to close around the two ships.",
)


def made(draw, size=(400, 300), turn=0):
    """A PDF of a page of `size` points, drawn by `draw`."""
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=size)
    page.setPageRotation(turn)
    draw(page)
    page.showPage()
    page.save()
    return out.getvalue()


def typed(page, lines=PROSE, left=40, top=250, mode=0):
    text = page.beginText(left, top)
    text.setFont("Helvetica", 12)
    text.setTextRenderMode(mode)
    for line in lines:
        text.textLine(line)
    page.drawText(text)


def scanned(page):
    page.drawImage(ImageReader(Image.new("L", (40, 30), 200)), 0, 0, 400, 300)


def embedded(document):
    (page,) = find_pages(document, dpi=144)
    return page, page.embedded_page()


def test_typed_page_has_its_lines_and_words_where_they_are_shown():
    reference, page = embedded(made(typed))
    height, width = reference.load().gray.shape
    assert (page.width, page.height, page.dpi, page.embedded) == (width, height, 144, True)
    assert [line.text for line in page.lines] == list(PROSE)
    assert [word.text for word in page.lines[0].words] == PROSE[0].split()
    assert {word.confidence for line in page.lines for word in line.words} == {1.0}
    (left, top), (right, _), (_, bottom), _ = page.lines[0].polygon
    assert left == pytest.approx(80, abs=3)
    assert top < 100 < bottom < top + 40
    assert page.lines[0].baseline[0] == pytest.approx((80, 100), abs=2)
    assert page.lines[0].baseline[1] == pytest.approx((right, 100), abs=3)


def test_page_that_is_shown_turned_has_its_text_turned_too():
    reference, page = embedded(made(typed, turn=90))
    assert (page.width, page.height) == reference.load().gray.shape[::-1] == (800, 600)
    (x0, y0), (x1, y1) = page.lines[0].baseline
    assert x0 == pytest.approx(x1, abs=2)
    assert y1 > y0 + 100
    assert page.orientation == 270


@pytest.mark.parametrize(
    ("draw", "taken"),
    [
        (typed, True),
        (lambda page: typed(page, ["page 7"]), False),
        (lambda page: (scanned(page), typed(page, mode=3)), True),  # a scan that was recognised before
        (lambda page: (scanned(page), typed(page)), False),  # a stamp on a scan, or a form
        (scanned, False),
    ],
)
def test_a_stamp_is_not_the_text_of_a_page(draw, taken):
    assert (embedded(made(draw))[1] is not None) == taken


def test_symbols_without_a_meaning_are_not_text():
    private = made(lambda page: typed(page, ["\x01\x02\x03\x04\x05\x06\x07\x08" * 10]))
    assert embedded(private)[1] is None


def test_words_far_apart_are_lines_of_their_own_and_columns_are_read_one_after_the_other():
    def draw(page):
        for number in range(8):
            page.drawString(20, 250 - 20 * number, f"on the left we sailed north {number}")
            page.drawString(220, 250 - 20 * number, f"on the right it was dark {number}")

    (page,) = read_pages(made(draw), embedded_text=True)
    assert page.embedded
    assert page.text.splitlines() == [
        *(f"on the left we sailed north {n}" for n in range(8)),
        *(f"on the right it was dark {n}" for n in range(8)),
    ]


def test_only_pages_with_enough_text_are_not_read(tmp_path, capsys):
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=(400, 300))
    typed(page)
    page.showPage()
    page.setFont("Helvetica", 24)
    page.drawString(60, 150, "letter")
    page.showPage()
    page.save()
    (tmp_path / "a.pdf").write_bytes(out.getvalue())
    command = ["read", str(tmp_path / "a.pdf"), "--mode", "fast", "--format", "json", "--embedded-text"]
    assert cli.main(command) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["embedded"], first["model"], first["text"]) == (True, "", "\n".join(PROSE))
    assert (second["embedded"], second["text"]) == (False, "letter")
    assert [page.embedded for page in read_pages(tmp_path / "a.pdf", "fast")] == [False, False]

    out = tmp_path / "out"
    batch = ["batch", str(tmp_path / "a.pdf"), "--output", str(out), "--mode", "fast", "--format", "json,pdf"]
    assert cli.main([*batch, "--jobs", "1", "--embedded-text"]) == 0
    pages = [json.loads(line) for line in (out / "a.jsonl").read_text().splitlines()]
    assert [page["embedded"] for page in pages] == [True, False]
    assert "letter" in find_text(out / "a.pdf")


def find_text(path):
    import pypdfium2

    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(path))


def test_very_many_lines_keep_the_order_of_the_file(monkeypatch):
    """To find the order of thousands of lines would take minutes."""
    document = made(typed)
    monkeypatch.setattr("text_recognizer.reader.MOST_ARRANGED", 2)
    (page,) = read_pages(document, "fast", embedded_text=True)
    assert [line.text for line in page.lines] == list(PROSE)
    assert not page.blocks
    monkeypatch.setattr("text_recognizer.reader.MOST_ARRANGED", 3)
    (page,) = read_pages(document, "fast", embedded_text=True)
    assert page.blocks
