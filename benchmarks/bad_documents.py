"""What documents that are made to harm cost: each is read in a process of its own, in the fast mode.

    python benchmarks/bad_documents.py [WORD …]

With words, only the documents whose names have one of them.
"""

import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pikepdf
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import pdf_bombs


def drawn(pages: int = 1, **options: object) -> bytes:
    """A PDF of pages with one typed line."""
    out = io.BytesIO()
    made = canvas.Canvas(out, **options)
    for number in range(pages):
        made.drawString(100, 700, f"page {number + 1}")
        made.showPage()
    made.save()
    return out.getvalue()


def with_script() -> bytes:
    """A PDF whose JavaScript runs for ever when it is opened by a program that obeys it."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(drawn())) as pdf:
        script = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("while (true) app.alert('x');"))
        pdf.Root.OpenAction = script
        pdf.save(out)
    return out.getvalue()


def content_bomb(size: int) -> bytes:
    """A PDF whose page is `size` bytes of drawing, in a thousandth of that."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(drawn())) as pdf:
        packed, piece = bytearray(), zlib.compressobj()
        for _ in range(size >> 20):
            packed += piece.compress(b"0 0 m\n" * (2**20 // 6))
        packed += piece.flush()
        stream = pikepdf.Stream(pdf, bytes(packed))
        stream.Filter = pikepdf.Name.FlateDecode
        pdf.pages[0].obj.Contents = stream
        pdf.save(out)
    return out.getvalue()


def image_bomb(side: int) -> bytes:
    """A PDF whose page shows a picture of `side` × `side` pixels of one colour."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(drawn())) as pdf:
        packed, piece = bytearray(), zlib.compressobj()
        for _ in range(side):
            packed += piece.compress(bytes(side))
        packed += piece.flush()
        image = pikepdf.Stream(pdf, bytes(packed))
        image.Type, image.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
        image.Width = image.Height = side
        image.ColorSpace, image.BitsPerComponent = pikepdf.Name.DeviceGray, 8
        image.Filter = pikepdf.Name.FlateDecode
        pdf.pages[0].obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=pdf.make_indirect(image)))
        pdf.pages[0].obj.Contents = pikepdf.Stream(pdf, b"500 0 0 700 50 50 cm /I Do")
        pdf.save(out)
    return out.getvalue()


def forms(deep: int) -> bytes:
    """A PDF whose page draws a form, which draws another ten times, which does the same, `deep` of them."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(drawn())) as pdf:
        inner = None
        for _ in range(deep):
            form = pikepdf.Stream(pdf, b"/F Do\n" * 10)
            form.Type, form.Subtype, form.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 600, 800]
            if inner is not None:
                form.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=inner))
            inner = pdf.make_indirect(form)
        pdf.pages[0].obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(F=inner))
        pdf.pages[0].obj.Contents = pikepdf.Stream(pdf, b"/F Do")
        pdf.save(out)
    return out.getvalue()


def changed(change: Callable[[pikepdf.Pdf, pikepdf.Dictionary], None]) -> bytes:
    """A PDF of one page with what `change` does to it."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(drawn())) as pdf:
        change(pdf, pdf.pages[0].obj)
        pdf.save(out)
    return out.getvalue()


def form(pdf: pikepdf.Pdf, content: bytes) -> pikepdf.Stream:
    """A form as large as the page."""
    made = pikepdf.Stream(pdf, content)
    made.Type, made.Subtype, made.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, [0, 0, 600, 800]
    return made


def tiny_tiles(pdf: pikepdf.Pdf, page: pikepdf.Dictionary) -> None:
    """A pattern of tiles of a hundred-thousandth of a point."""
    tile = pikepdf.Stream(pdf, b"0 0 1 1 re f")
    tile.Type, tile.PatternType, tile.PaintType, tile.TilingType = pikepdf.Name.Pattern, 1, 1, 1
    tile.BBox, tile.XStep, tile.YStep, tile.Resources = [0, 0, 1, 1], 1e-5, 1e-5, pikepdf.Dictionary()
    page.Resources = pikepdf.Dictionary(Pattern=pikepdf.Dictionary(P=pdf.make_indirect(tile)))
    page.Contents = pikepdf.Stream(pdf, b"/Pattern cs /P scn 0 0 600 800 re f")


def stamps(pdf: pikepdf.Pdf, page: pikepdf.Dictionary) -> None:
    """20,000 annotations that show one drawing of 20,000 lines."""
    drawing = pdf.make_indirect(form(pdf, b"0 0 m 100 100 l S\n" * 20_000))
    stamp = pikepdf.Dictionary(
        Type=pikepdf.Name.Annot,
        Subtype=pikepdf.Name.Stamp,
        Rect=[0, 0, 600, 800],
        F=4,
        AP=pikepdf.Dictionary(N=drawing),
    )
    page.Annots = pikepdf.Array([pdf.make_indirect(stamp)] * 20_000)


def masked_masks(pdf: pikepdf.Pdf, page: pikepdf.Dictionary) -> None:
    """A mask whose drawing is masked, and so on, 60 of them, 50 times."""
    state = pikepdf.Dictionary()
    for _ in range(60):
        drawing = form(pdf, b"/G gs 0 0 600 800 re f")
        drawing.Group = pikepdf.Dictionary(S=pikepdf.Name.Transparency, CS=pikepdf.Name.DeviceGray)
        drawing.Resources = pikepdf.Dictionary(ExtGState=pikepdf.Dictionary(G=state))
        state = pikepdf.Dictionary(SMask=pikepdf.Dictionary(S=pikepdf.Name.Luminosity, G=pdf.make_indirect(drawing)))
    page.Resources = pikepdf.Dictionary(ExtGState=pikepdf.Dictionary(G=state))
    page.Contents = pikepdf.Stream(pdf, b"/G gs 0 0 600 800 re f\n" * 50)


def font_bomb(pdf: pikepdf.Pdf, page: pikepdf.Dictionary) -> None:
    """A font whose file unpacks to 1 GiB."""
    packed, piece = bytearray(), zlib.compressobj(9)
    for _ in range(1024):
        packed += piece.compress(bytes(2**20))
    file = pikepdf.Stream(pdf, bytes(packed + piece.flush()))
    file.Filter = pikepdf.Name.FlateDecode
    described = pikepdf.Dictionary(
        Type=pikepdf.Name.FontDescriptor, FontName=pikepdf.Name.Abc, Flags=4, FontBBox=[0, 0, 1, 1], ItalicAngle=0,
        Ascent=1, Descent=0, CapHeight=1, StemV=1, FontFile2=pdf.make_indirect(file),
    )  # fmt: skip
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.TrueType, BaseFont=pikepdf.Name.Abc, FontDescriptor=described
    )
    page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F=font))
    page.Contents = pikepdf.Stream(pdf, b"BT /F 50 Tf 50 500 Td (aaa) Tj ET")


def endless_pages(pdf: pikepdf.Pdf, page: pikepdf.Dictionary) -> None:
    """A tree of pages that holds itself, and says that they are a thousand million."""
    pdf.Root.Pages.Kids = pikepdf.Array([pdf.Root.Pages] * 2)
    pdf.Root.Pages.Count = 10**9


def directories(many: int) -> bytes:
    """A TIFF of `many` directories of ten entries each."""
    size = 2 + 12 * 10 + 4
    entry = struct.pack("<HHI4s", 65000, 1, 1, bytes(4))
    places = [8 + size * (number + 1) for number in range(many - 1)] + [0]
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + b"".join(struct.pack("<H", 10) + entry * 10 + struct.pack("<I", place) for place in places)
    )


def archive(members: dict[str, bytes]) -> bytes:
    """A ZIP."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def main() -> None:
    image = io.BytesIO()
    Image.new("L", (300, 200), 255).save(image, "PNG")
    blank, inner = image.getvalue(), archive({"a.png": image.getvalue()})
    cases = {
        "encrypted PDF": ("a.pdf", drawn(encrypt=StandardEncryption("secret"))),
        "truncated PDF": ("a.pdf", drawn(3)[:900]),
        "empty file": ("a.pdf", b""),
        "PDF of 10,000 pages, the last one": ("a.pdf", drawn(10_000), "--pages", "10000"),
        "PDF with JavaScript": ("a.pdf", with_script()),
        "PDF of 256 MiB of drawing": ("a.pdf", content_bomb(256 * 2**20)),
        "PDF of forms in forms, 10 to the power of 12": ("a.pdf", forms(12)),
        "PDF with a picture of 30,000 × 30,000": ("a.pdf", image_bomb(30_000)),
        "PDF with a pattern of tiles of 0.00001 points": ("a.pdf", changed(tiny_tiles)),
        "PDF with 20,000 annotations of 20,000 lines": ("a.pdf", changed(stamps)),
        "PDF with masks of masks": ("a.pdf", changed(masked_masks)),
        "PDF with a font of 1 GiB": ("a.pdf", changed(font_bomb)),
        "PDF with a picture of 30,000 × 30,000 within its drawing": ("a.pdf", pdf_bombs.picture_in_the_drawing()),
        "PDF with a stream of objects of 1 GiB": ("a.pdf", pdf_bombs.packed_page()),
        "PDF whose index unpacks to 1 GiB": ("a.pdf", pdf_bombs.index_of_150_million()),
        "PDF with a profile of colours of 1 GiB": ("a.pdf", pdf_bombs.profile_of_colours()),
        "PDF whose tree of pages holds itself": ("a.pdf", changed(endless_pages)),
        "TIFF of 150,000 directories": ("a.tif", directories(150_000)),
        "ZIP in a ZIP": ("a.zip", archive({"b.zip": inner, "c.png": blank})),
        "ZIP with paths out of it": ("a.zip", archive({"../../up.png": blank, "/etc/root.png": blank})),
        "ZIP with names of 600 bytes, and 3,000 folders in each other": (
            "a.zip",
            archive({"字" * 200 + ".png": blank, "a/" * 3000 + "b.png": blank, "c.png": blank}),
        ),
        "ZIP of nothing": ("a.zip", archive({})),
        "ZIP with a member of 1 GiB": ("a.zip", archive({"big.png": bytes(2**30), "c.png": blank})),
    }
    print("| document | size, MB | seconds | peak MB of a process | status | message |\n|---|---|---|---|---|---|")
    words = sys.argv[1:]
    chosen = {case: made for case, made in cases.items() if not words or any(word in case for word in words)}
    for case, (name, data, *options) in chosen.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in" / name
            source.parent.mkdir()
            source.write_bytes(data)
            command = [sys.executable, "-m", "text_recognizer", "read", str(source), "--mode", "fast", *options]
            begin = time.monotonic()
            process = subprocess.Popen(
                [*command, "--output", f"{folder}/out/"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
            )
            message = process.stderr.read().strip().splitlines()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
            outside = [
                p
                for p in Path(folder).rglob("*")
                if p.is_file() and p.parts[len(Path(folder).parts)] not in ("in", "out")
            ]
            assert not outside, outside
            said = message[0].rpartition(f"{name}")[2].lstrip(":,/ ") if message else ""
            print(
                f"| {case} | {len(data) / 1e6:.1f} | {seconds:.1f} | {usage.ru_maxrss / 1024:.0f} | "
                f"{os.waitstatus_to_exitcode(status)} | {said} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
