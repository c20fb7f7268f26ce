"""A page of a PDF that takes too long to draw is refused before it is drawn."""

import io
import time
import zlib

import pikepdf
import pytest
from reportlab.pdfgen import canvas

from text_recognizer.documents import find_pages
from text_recognizer.errors import ImageRejected


def made(change):
    """A PDF of two pages with a typed line, the first of which `change` makes worse."""
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=(200, 100))
    for number in (1, 2):
        page.drawString(20, 50, f"page {number}")
        page.showPage()
    page.save()
    changed = io.BytesIO()
    with pikepdf.open(out) as pdf:
        change(pdf, pdf.pages[0].obj)
        pdf.save(changed)
    return changed.getvalue()


def packed(pdf, data, times=1):
    """A stream of `times` × `data`, packed."""
    pack = zlib.compressobj(9)
    stream = pikepdf.Stream(pdf, b"".join(pack.compress(data) for _ in range(times)) + pack.flush())
    stream.Filter = pikepdf.Name.FlateDecode
    return stream


def long_drawing(pdf, page):
    page.Contents = packed(pdf, b"0 0 m\n" * 175_000, 200)


def picture(pdf, side):
    image = packed(pdf, bytes(side), side // 8)
    image.Type, image.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
    image.Width = image.Height = side
    image.ColorSpace, image.BitsPerComponent = pikepdf.Name.DeviceGray, 1
    return pdf.make_indirect(image)


def picture_drawn_often(pdf, page):
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=picture(pdf, 8000)))
    page.Contents = packed(pdf, b"/I Do\n" * 1000)


def forms_in_forms(pdf, page):
    """Each draws the next one ten times: ten to the power of twelve."""
    inner = None
    for _ in range(12):
        form = packed(pdf, b"/F Do\n" * 10)
        form.Type, form.Subtype, form.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 200, 100]
        if inner is not None:
            form.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=inner))
        inner = pdf.make_indirect(form)
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=inner))
    page.Contents = packed(pdf, b"/F Do\n")


def itself(pdf, page):
    form = pdf.make_indirect(packed(pdf, b"/F Do\n" * 10))
    form.Type, form.Subtype, form.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 200, 100]
    form.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=form))
    page.Resources = form.Resources
    page.Contents = packed(pdf, b"/F Do\n")


def tiles(step, box):
    def change(pdf, page):
        pattern = packed(pdf, b"0 0 1 1 re f")
        pattern.Type, pattern.PatternType, pattern.PaintType, pattern.TilingType = pikepdf.Name.Pattern, 1, 1, 1
        pattern.BBox, pattern.XStep, pattern.YStep = [0, 0, box, box], step, step
        page.Resources = pikepdf.Dictionary(Pattern=pikepdf.Dictionary(P=pdf.make_indirect(pattern)))
        page.Contents = packed(pdf, b"/Pattern cs /P scn 0 0 200 100 re f")

    return change


def notes(many):
    """Annotations, half of them tick boxes, that all show one drawing."""

    def change(pdf, page):
        drawing = packed(pdf, b"0 0 m 100 100 l S\n" * 5000)
        drawing.Type, drawing.Subtype, drawing.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 200, 100]
        drawing = pdf.make_indirect(drawing)
        common = {"Type": pikepdf.Name.Annot, "Subtype": pikepdf.Name.Stamp, "Rect": [0, 0, 200, 100], "F": 4}
        stamp = pikepdf.Dictionary(**common, AP=pikepdf.Dictionary(N=drawing))
        tick = pikepdf.Dictionary(**common, AS=pikepdf.Name.On, AP=pikepdf.Dictionary(N=pikepdf.Dictionary(On=drawing)))
        page.Annots = pikepdf.Array([pdf.make_indirect(stamp), pdf.make_indirect(tick), 7] * (many // 2))

    return change


def masks(deep, times):
    """Masks whose drawings are masked, and so on."""

    def change(pdf, page):
        state = pikepdf.Dictionary()
        for _ in range(deep):
            form = packed(pdf, b"/G gs 0 0 200 100 re f\n" * times)
            form.Type, form.Subtype, form.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 200, 100]
            form.Group = pikepdf.Dictionary(S=pikepdf.Name.Transparency, CS=pikepdf.Name.DeviceGray)
            form.Resources = pikepdf.Dictionary(ExtGState=pikepdf.Dictionary(G=state))
            mask = pikepdf.Dictionary(S=pikepdf.Name.Luminosity, G=pdf.make_indirect(form))
            state = pikepdf.Dictionary(SMask=mask)
        page.Resources = pikepdf.Dictionary(ExtGState=pikepdf.Dictionary(G=state))
        page.Contents = packed(pdf, b"/G gs 0 0 200 100 re f\n" * times)

    return change


def font(size, kind="TrueType"):
    def change(pdf, page):
        file = pdf.make_indirect(packed(pdf, bytes(2**20), size))
        described = pikepdf.Dictionary(
            Type=pikepdf.Name.FontDescriptor, FontName=pikepdf.Name.Abc, Flags=4, FontBBox=[0, 0, 1, 1], ItalicAngle=0,
            Ascent=1, Descent=0, CapHeight=1, StemV=1, FontFile2=file,
        )  # fmt: skip
        inner = pikepdf.Dictionary(
            Type=pikepdf.Name.Font,
            Subtype=pikepdf.Name("/" + kind),
            BaseFont=pikepdf.Name.Abc,
            FontDescriptor=described,
        )
        if kind == "CIDFontType2":
            inner = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type0, BaseFont=pikepdf.Name.Abc,
                Encoding=pikepdf.Name("/Identity-H"), DescendantFonts=[inner],
            )  # fmt: skip
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=inner, G=7))
        page.Contents = packed(pdf, b"BT /F 20 Tf 20 50 Td (aaa) Tj ET")

    return change


BOMBS = [
    long_drawing, picture_drawn_often, forms_in_forms, itself, tiles(1e-5, 1), tiles(0.2, 5000), notes(4000),
    masks(12, 10), masks(40, 1), font(200), font(200, "CIDFontType2"),
]  # fmt: skip


@pytest.mark.parametrize("change", BOMBS)
def test_bomb_is_refused_at_once_and_costs_no_other_page(change):
    bomb, other = find_pages(made(change))
    start = time.monotonic()
    with pytest.raises(ImageRejected, match="too long to draw"):
        bomb.load()
    with pytest.raises(ImageRejected, match="too long to draw"):
        bomb.embedded_page()
    assert time.monotonic() - start < 30
    assert other.load().gray.shape == (278, 556)


def a_large_picture(pdf, page):
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=picture(pdf, 16_000)))
    page.Contents = packed(pdf, b"/I Do\n")


def damaged(pdf, page):
    stream = pikepdf.Stream(pdf, packed(pdf, b"0 0 m\n" * 1000).read_raw_bytes()[:-9])
    stream.Filter = pikepdf.Name.FlateDecode
    page.Contents = stream


def of_two_kinds(pdf, page):
    stream = pikepdf.Stream(pdf, packed(pdf, b"0 0 m\n" * 1000).read_raw_bytes().hex().encode() + b">")
    stream.Filter = pikepdf.Array([pikepdf.Name.ASCIIHexDecode, pikepdf.Name.FlateDecode])
    page.Contents = pikepdf.Array([pdf.make_indirect(stream)])


def odd_annotations(pdf, page):
    page.Annots = 7


def odd_pattern(pdf, page):
    tiles(4, 4)(pdf, page)
    page.Resources.Pattern.P.XStep = 0
    del page.Resources.Pattern.P.BBox


USUAL = [
    a_large_picture, damaged, of_two_kinds, lambda pdf, page: None, tiles(1, 1), tiles(20, 5000), notes(20),
    masks(2, 10), odd_annotations, odd_pattern, font(20),
]  # fmt: skip


@pytest.mark.parametrize("change", USUAL)
def test_usual_and_odd_pages_are_drawn(change):
    assert [page.load().gray.shape for page in find_pages(made(change))] == [(278, 556)] * 2
