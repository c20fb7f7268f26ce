"""Many pages in one PDF: made of pictures, or a PDF that is there already with its text added."""

import ctypes
import io
import shutil
import subprocess
import tracemalloc
import zlib

import pdf_oxide
import pikepdf
import pypdfium2 as pdfium
import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from text_recognizer.formats import About, Sheet
from text_recognizer.formats.document import open_document
from text_recognizer.formats.pdf_layer import MOST_METADATA, takes_text
from text_recognizer.images import to_picture
from text_recognizer.page import Line, Page, Word

WIDTH, HEIGHT = 600, 400  # pixels of each page read; the sheets of the originals have 300 × 200 points


def read_page(*texts):
    """A page of one word a line, each 60 pixels further down."""
    lines = []
    for number, text in enumerate(texts):
        top = 40 + 60 * number
        box = ((100.0, top), (300.0, top), (300.0, top + 40.0), (100.0, top + 40.0))
        word = Word(text=text, polygon=box, confidence=0.9)
        baseline = ((100.0, top + 32.0), (300.0, top + 32.0))
        lines.append(Line(text=text, polygon=box, baseline=baseline, confidence=0.9, words=(word,)))
    return Page(width=WIDTH, height=HEIGHT, lines=tuple(lines), model="pen@0.1")


def picture(kind="JPEG", shade=255):
    out = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT), shade).save(out, kind)
    return to_picture(out.getvalue())


def written(sheets, about=About()):  # noqa: B008, frozen
    out = io.BytesIO()
    writer = open_document("pdf", out, about)
    for sheet in sheets:
        writer.add(sheet)
    writer.close()
    return out.getvalue()


def original(rotations=(0,), text="", unseen="", **options):
    """A PDF of 300 × 200 points a page as it is shown, with a bookmark a page, a title, and a line drawn on each."""
    out = io.BytesIO()
    made = canvas.Canvas(out, **options)
    made.setTitle("Parish register")
    made.setAuthor("A clerk")
    for number, rotation in enumerate(rotations, 1):
        made.setPageSize((300, 200) if rotation in (0, 180) else (200, 300))
        made.setPageRotation(rotation)
        made.bookmarkPage(str(number))
        made.addOutlineEntry(f"Chapter {number}", str(number))
        made.line(10, 10, 150, 150)
        if text:
            made.drawString(50, 150, text)
        if unseen:
            hidden = made.beginText(50, 100)
            hidden.setTextRenderMode(3)
            hidden.textLine(unseen)
            made.drawText(hidden)
        made.showPage()
    made.save()
    return out.getvalue()


def texts(document, password=None):
    found = pdfium.PdfDocument(document, password=password)
    return [page.get_textpage().get_text_range().replace("\r\n", "\n").strip() for page in found]


def place(document, number, word):
    """Left, top, right, bottom of a word on the page as it is shown, in pixels of the page that was read."""
    page = pdfium.PdfDocument(document)[number]
    text = page.get_textpage()
    start = text.get_text_range().index(word)
    points = []
    for index in range(start, start + len(word)):
        left, bottom, right, top = text.get_charbox(index)
        for x, y in ((left, bottom), (right, top)):
            across, down = ctypes.c_int(), ctypes.c_int()
            pdfium.raw.FPDF_PageToDevice(page, 0, 0, WIDTH, HEIGHT, 0, x, y, across, down)
            points.append((across.value, down.value))
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def check(document, tmp_path):
    """What qpdf finds wrong with the document."""
    if shutil.which("qpdf") is None:
        pytest.skip("qpdf is not on this system")
    (tmp_path / "checked.pdf").write_bytes(document)
    done = subprocess.run(["qpdf", "--check", tmp_path / "checked.pdf"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_pictures_become_one_document_whose_text_comes_out_page_by_page(tmp_path):
    pages = [read_page(f"page{number}", "second") for number in (1, 2, 3)]
    document = written(Sheet(page=page, picture=picture()) for page in pages)
    assert texts(document) == [page.text for page in pages]
    assert not check(document, tmp_path)
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", tmp_path / "checked.pdf", "-"], capture_output=True, text=True, check=True)
        assert [page.split() for page in done.stdout.split("\f")[:3]] == [page.text.split() for page in pages]
        assert not done.stderr


def test_document_of_pictures_has_what_pdf_a_asks_for():
    document = written(
        [Sheet(page=read_page("word"), picture=picture(kind)) for kind in ("JPEG", "PNG")],
        About(title="Letters & <drafts>", language="en"),
    )
    with pikepdf.open(io.BytesIO(document)) as pdf:
        assert pdf.Root.Lang == "en"
        assert pdf.Root.OutputIntents[0].S == "/GTS_PDFA1"
        assert pdf.Root.OutputIntents[0].DestOutputProfile.read_bytes()[16:20] == b"RGB "
        assert pikepdf.Name.Filter not in pdf.Root.Metadata  # XMP is plain
        assert not pdf.is_encrypted
        assert len(pdf.trailer.ID) == 2
        with pdf.open_metadata() as metadata:
            assert metadata.pdfa_status == "2B"
            assert metadata["dc:title"] == pdf.docinfo.Title == "Letters & <drafts>"
            assert metadata["xmp:CreatorTool"] == pdf.docinfo.Creator
            assert metadata["pdf:Producer"] == pdf.docinfo.Producer
        fonts = {str(font.BaseFont): font for page in pdf.pages for font in page.resources.Font.values()}
        (font,) = fonts.values()
        assert font.DescendantFonts[0].FontDescriptor.FontFile2.read_bytes()


def test_memory_of_a_long_document_is_that_of_its_places(tmp_path):
    """Only the places of objects are kept, some hundred bytes a page; the pictures have 300 kB each."""
    out = io.BytesIO()
    Image.effect_noise((WIDTH, HEIGHT), 90).save(out, "PNG")
    noise = to_picture(out.getvalue())
    assert len(noise.data) > 200_000
    peaks = []
    for count in (2, 60):
        with (tmp_path / "long.pdf").open("wb") as stream:
            writer = open_document("pdf", stream, About())
            tracemalloc.start()
            for _ in range(count):
                writer.add(Sheet(page=read_page("word"), picture=noise))
            writer.close()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_text_lies_on_the_original_where_it_is_seen_however_the_page_is_turned(rotation, tmp_path):
    document = written([Sheet(page=read_page("first", "second"), number=2)], About(original=original((0, rotation))))
    assert texts(document) == ["", "first\nsecond"]
    assert place(document, 1, "second") == pytest.approx((100, 100, 300, 140), abs=3)
    assert not check(document, tmp_path)


def test_text_lies_right_where_a_page_is_cropped():
    with pikepdf.open(io.BytesIO(original())) as pdf:
        page = pdf.pages[0]
        page.mediabox = [-50, -20, 400, 300]
        page.cropbox = [20, 30, 320, 230]
        cropped = io.BytesIO()
        pdf.save(cropped)
    document = written([Sheet(page=read_page("first"))], About(original=cropped.getvalue()))
    assert place(document, 0, "first") == pytest.approx((100, 40, 300, 80), abs=3)


def test_bookmarks_metadata_and_pages_of_the_original_stay(tmp_path):
    (tmp_path / "original.pdf").write_bytes(original((0, 90)))
    about = About(original=tmp_path / "original.pdf", language="fr")
    document = written([Sheet(page=read_page("word"), number=number) for number in (1, 2)], about)
    with pikepdf.open(io.BytesIO(document)) as pdf:
        with pdf.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Chapter 1", "Chapter 2"]
        assert pdf.docinfo.Title == "Parish register"
        assert pdf.docinfo.Author == "A clerk"
        assert pdf.Root.Lang == "fr"
        with pdf.open_metadata() as metadata:
            assert metadata["dc:title"] == "Parish register"
    before, after = pdfium.PdfDocument(tmp_path / "original.pdf"), pdfium.PdfDocument(document)
    for page, same in zip(before, after, strict=True):
        assert page.render(scale=1).to_pil().tobytes() == same.render(scale=1).to_pil().tobytes()


def test_page_that_was_scanned_on_its_side_is_shown_upright():
    side = Line(text="side", polygon=((100, 50), (140, 50), (140, 250), (100, 250)), baseline=((132, 250), (132, 50)),
                confidence=0.9, words=())  # fmt: skip
    page = Page(width=WIDTH, height=HEIGHT, lines=(side,))
    document = written([Sheet(page=page)], About(original=original((180,))))
    assert pdfium.PdfDocument(document)[0].get_rotation() == (180 + 90) % 360
    assert texts(document) == ["side"]


def test_unseen_text_of_an_earlier_program_is_replaced():
    document = written([Sheet(page=read_page("mine"))], About(original=original(text="seen", unseen="earlier")))
    assert sorted(texts(document)[0].split()) == ["mine", "seen"]


def test_unseen_text_in_a_form_is_replaced_too():
    with pikepdf.open(io.BytesIO(original(unseen="earlier"))) as pdf:
        page = pdf.pages[0]
        form = pdf.make_stream(
            page.obj.Contents.read_bytes(), Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Form, BBox=[0, 0, 300, 200],
            Resources=page.obj.Resources,
        )  # fmt: skip
        page.obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Whole=pdf.make_indirect(form)))
        page.obj.Contents = pdf.make_stream(b"/Whole Do")
        made = io.BytesIO()
        pdf.save(made)
    assert texts(made.getvalue()) == ["earlier"]
    assert texts(written([Sheet(page=read_page("mine"))], About(original=made.getvalue()))) == ["mine"]


def test_lines_that_repeat_what_the_page_shows_are_left_out():
    sheet = Sheet(page=read_page("printed", "written"), printed=((90, 30, 310, 90),))
    assert texts(written([sheet], About(original=original()))) == ["written"]


def test_pages_that_share_their_resources_get_the_font_each():
    with pikepdf.open(io.BytesIO(original((0, 0)))) as pdf:
        for page in pdf.pages:
            del page.obj["/Resources"]
        pdf.Root.Pages.Resources = pikepdf.Dictionary(ProcSet=pikepdf.Array([pikepdf.Name.PDF]))
        made = io.BytesIO()
        pdf.save(made)
    document = written([Sheet(page=read_page("one"), number=2)], About(original=made.getvalue()))
    assert texts(document) == ["", "one"]
    with pikepdf.open(io.BytesIO(document)) as pdf:
        assert "/Font" not in pdf.pages[0].resources


def test_metadata_that_unpack_without_end_are_not_opened():
    """A gigabyte of blanks takes a megabyte of the file, and nine of memory as XMP."""
    with pikepdf.open(io.BytesIO(original())) as pdf:
        bomb = pikepdf.Stream(pdf, zlib.compress(b" " * (MOST_METADATA + 1)))
        bomb.Filter = pikepdf.Name.FlateDecode
        pdf.Root.Metadata = pdf.make_indirect(bomb)
        made = io.BytesIO()
        pdf.save(made, fix_metadata_version=False)
    assert not takes_text(made.getvalue(), None, 1, pdf_a=False)
    assert not takes_text(made.getvalue(), None, 1, pdf_a=True)


def test_encrypted_original_stays_encrypted():
    data = original(encrypt=StandardEncryption("secret"))
    document = written([Sheet(page=read_page("word"))], About(original=data, password="secret"))
    assert texts(document, "secret") == ["word"]
    with pytest.raises(pdfium.PdfiumError):
        pdfium.PdfDocument(document)


def test_only_a_whole_pdf_takes_text_and_only_pdf_a_stays_pdf_a():
    assert takes_text(original(), None, 1, pdf_a=False)
    assert not takes_text(original(), None, 1, pdf_a=True)
    assert not takes_text(original(), None, 2, pdf_a=False)
    assert not takes_text(b"%PDF-1.4 nothing", None, 1, pdf_a=False)
    assert not takes_text(original(encrypt=StandardEncryption("secret")), "guess", 1, pdf_a=False)
    pictures = written([Sheet(page=read_page("word"), picture=picture())])
    assert takes_text(pictures, None, 1, pdf_a=True)
    kept = written([Sheet(page=read_page("again"))], About(original=pictures))
    assert texts(kept) == ["again"]
    with pikepdf.open(io.BytesIO(kept)) as pdf, pdf.open_metadata() as metadata:
        assert metadata.pdfa_status == "2B"


def pdf_a_faults(document, tmp_path):
    """What a validator that is not ours finds; `benchmarks/pdfa.py` asks a second one."""
    (tmp_path / "a.pdf").write_bytes(document)
    return pdf_oxide.PdfDocument(str(tmp_path / "a.pdf")).validate_pdf_a("2b")["errors"]


def test_documents_are_pdf_a_in_the_eyes_of_a_validator(tmp_path):
    pictures = written([Sheet(page=read_page("word"), picture=picture(kind)) for kind in ("JPEG", "PNG")])
    assert pdf_a_faults(pictures, tmp_path) == []
    kept = written([Sheet(page=read_page("again"))], About(original=pictures))
    assert pdf_a_faults(kept, tmp_path) == []
    assert pdf_a_faults(original(), tmp_path) != []


def test_text_without_a_structure_takes_level_a_from_a_document(tmp_path):
    pictures = written([Sheet(page=read_page("word"), picture=picture())])
    with pikepdf.open(io.BytesIO(pictures)) as pdf:
        with pdf.open_metadata() as metadata:
            metadata["pdfaid:conformance"] = "A"
        made = io.BytesIO()
        pdf.save(made)
    for pages, level in (([Sheet(page=read_page("again"))], "2B"), ([], "2A")):
        document = written(pages, About(original=made.getvalue()))
        with pikepdf.open(io.BytesIO(document)) as pdf, pdf.open_metadata() as metadata:
            assert metadata.pdfa_status == level
