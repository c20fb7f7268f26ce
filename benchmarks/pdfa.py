"""Searchable PDFs of every kind, checked against PDF/A-2b by validators that are not ours.

    pip install pdf-oxide pdftools-sdk
    python benchmarks/pdfa.py

pdf_oxide (MIT or Apache-2.0) and the validator of the Pdftools SDK (proprietary; it validates without a licence). Each
also has to find the faults of documents that were broken on purpose, or its "valid" would say little.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pikepdf
from PIL import Image
from reportlab.pdfgen import canvas

from text_recognizer.documents import find_pages
from text_recognizer.formats import About, Sheet
from text_recognizer.formats.document import write_document
from text_recognizer.images import to_picture
from text_recognizer.page import Line, Page, Word
from text_recognizer.sheets import about_document, make_sheet

SIZE = (480, 320)
TEXT = "Grüße, œuvre ½ ☑ → Ω"


def page(text: str = TEXT, size: tuple[int, int] = SIZE) -> Page:
    """A page with one line."""
    words, left = [], 40.0
    for part in text.split():
        right = left + 14 * len(part)
        words.append(Word(text=part, polygon=((left, 60), (right, 60), (right, 90), (left, 90)), confidence=0.9))
        left = right + 14
    polygon = ((40.0, 60.0), (left, 60.0), (left, 90.0), (40.0, 90.0))
    line = Line(
        text=text, polygon=polygon, baseline=((40.0, 84.0), (left, 84.0)), confidence=0.9, words=tuple(words)
    )  # fmt: skip
    return Page(width=size[0], height=size[1], lines=(line,), language="de")


def encoded(mode: str, kind: str, **options: object) -> bytes:
    """An image of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 4), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise, "RGBA").convert(mode).save(out, kind, **options)
    return out.getvalue()


def typed(attach: bool = False) -> bytes:
    """A PDF that is no PDF/A: fonts that are not embedded, a link, JavaScript and an attached file."""
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(480, 320))
    for number in (1, 2):
        made.drawString(40, 250, f"page {number}")
        made.linkURL("https://example.org", (40, 240, 120, 262))
        made.bookmarkPage(str(number))
        made.addOutlineEntry(f"Page {number}", str(number))
        made.showPage()
    made.save()
    if not attach:
        return out.getvalue()
    with pikepdf.open(out) as pdf:
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("app.alert(1)"))
        pdf.attachments["a.txt"] = pikepdf.AttachedFileSpec(pdf, b"x")
        changed = io.BytesIO()
        pdf.save(changed)
    return changed.getvalue()


def of_pictures(*images: bytes) -> bytes:
    """Pages of pictures."""
    return written(
        [Sheet(page=page(), picture=to_picture(data)) for data in images], About(title="Letters", language="de")
    )


def of_pdf(document: bytes) -> bytes:
    """What `--pdfa` makes of a PDF."""
    found = list(find_pages(document, dpi=100))
    about = about_document(found[0], keep_pdf=True, pdf_a=True, languages=["de"])
    sheets = [make_sheet(one, None, page(size=one.load().gray.shape[::-1]), ("pdf",), about) for one in found]
    return written(sheets, about)


def written(sheets: list[Sheet], about: About) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "a.pdf")
        write_document(sheets, target, "pdf", about)
        return target.read_bytes()


def changed(document: bytes, change: Callable[[pikepdf.Pdf], None]) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(document)) as pdf:
        change(pdf)
        pdf.save(out)
    return out.getvalue()


def without_intent(pdf: pikepdf.Pdf) -> None:
    del pdf.Root["/OutputIntents"]


def without_metadata(pdf: pikepdf.Pdf) -> None:
    del pdf.Root["/Metadata"]


def with_script(pdf: pikepdf.Pdf) -> None:
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("1"))


def without_map(pdf: pikepdf.Pdf) -> None:
    for thing in pdf.objects:
        if isinstance(thing, pikepdf.Dictionary) and "/CIDToGIDMap" in thing:
            del thing["/CIDToGIDMap"]


def by_pdf_oxide(path: Path) -> bool:
    import pdf_oxide

    return bool(pdf_oxide.PdfDocument(str(path)).validate_pdf_a("2b")["valid"])


def by_pdftools(path: Path) -> bool:
    from pdftools_sdk.pdf import Conformance, Document
    from pdftools_sdk.pdf_a.validation import ValidationOptions, Validator

    options = ValidationOptions()
    options.conformance = Conformance.PDF_A2_B
    with path.open("rb") as stream, Document.open(stream, "") as document:
        return bool(Validator().validate(document, options).is_conforming)


def main() -> None:
    jpeg = encoded("RGB", "JPEG", dpi=(150, 150))
    good = of_pictures(jpeg)
    cases = {
        "JPEG, colour": good,
        "JPEG, grey": of_pictures(encoded("L", "JPEG")),
        "JPEG, CMYK": of_pictures(encoded("CMYK", "JPEG")),
        "PNG, colour": of_pictures(encoded("RGB", "PNG")),
        "PNG, transparent": of_pictures(encoded("RGBA", "PNG")),
        "PNG, black and white": of_pictures(encoded("1", "PNG")),
        "TIFF, grey": of_pictures(encoded("L", "TIFF")),
        "WebP": of_pictures(encoded("RGB", "WEBP")),
        "three pages of two kinds": of_pictures(jpeg, encoded("L", "PNG"), jpeg),
        "a PDF that is no PDF/A": of_pdf(typed()),
        "a PDF with script and attachment": of_pdf(typed(attach=True)),
        "a PDF/A, text replaced": of_pdf(good),
        "broken: no output intent": changed(good, without_intent),
        "broken: no metadata": changed(good, without_metadata),
        "broken: JavaScript": changed(good, with_script),
        "broken: font without a map": changed(good, without_map),
    }
    print("| document | pdf_oxide | Pdftools |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case, document in cases.items():
            path = Path(folder, "a.pdf")
            path.write_bytes(document)
            found = []
            for check in (by_pdf_oxide, by_pdftools):
                try:
                    found.append("valid" if check(path) else "refused")
                except ImportError:
                    found.append("not installed")
            print(f"| {case} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
