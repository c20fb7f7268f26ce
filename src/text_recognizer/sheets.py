"""Prepare recognised pages for output: metadata of the document, and the picture of each page."""

from __future__ import annotations

from collections.abc import Iterable

from text_recognizer import formats
from text_recognizer.documents import PageReference
from text_recognizer.formats import About, Sheet
from text_recognizer.formats.shapes import file_name
from text_recognizer.images import LoadedImage
from text_recognizer.page import Page, Picture
from text_recognizer.pdf_process import Pdfs, shared


def about_document(
    first: PageReference,
    *,
    keep_pdf: bool,
    pdf_a: bool = False,
    languages: Iterable[str] = (),
    pdfs: Pdfs | None = None,
) -> About:
    """Metadata of a document; `first` is any of its pages.

    Args:
        keep_pdf: whether a PDF is written and may be a copy of the source PDF with the text added. If the source is
            damaged, unpacks to more than fits into memory, or is not PDF/A although `pdf_a` requires it, the PDF is
            made of pictures of its pages instead.
        languages: of the model; the document states its language if there is only one.
        pdfs: opens PDFs, as for `PageReference.load`.
    """
    known = [language for language in languages if language]
    original = None
    if keep_pdf and first.kind == "pdf":
        from text_recognizer.formats.pdf_layer import takes_text  # late: images need none of it

        opened = first.source.opened
        safe = (pdfs or shared()).can_copy(opened, first.password)
        original = opened if safe and takes_text(opened, first.password, first.count, pdf_a) else None
    return About(
        title=file_name(first.name.partition("#")[0]),
        language=known[0] if len(known) == 1 else "",
        original=original,
        password=first.password,
    )


def make_sheet(
    reference: PageReference,
    image: LoadedImage | None,
    page: Page,
    names: Iterable[str],
    about: About,
    picture: Picture | None = None,
    pdfs: Pdfs | None = None,
) -> Sheet:
    """The page for writers of the formats `names`, with its picture if one of them shows it.

    `image`: the result of `reference.load`; without it the picture is loaded again, unless `picture` is passed.
    `pdfs`: opens PDFs, as for `PageReference.load`. Raises `ImageRejected`.
    """
    shown = any(formats.get_format(name).needs_picture for name in names)
    kept = shown and about.original is not None
    return Sheet(
        page=page,
        source=reference.name,
        picture=(picture or reference.picture(image, pdfs=pdfs)) if shown and not kept else None,
        number=reference.number,
        printed=reference.printed_text(page.width, page.height, pdfs=pdfs) if kept else (),
    )
