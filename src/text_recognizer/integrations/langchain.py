"""A document loader for LangChain: `PageLoader("scans/").lazy_load()` yields a `Document` for each page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from text_recognizer.documents import DocumentSource, PageReference, find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.page import Mode
from text_recognizer.reader import Reader


class PageLoader(BaseLoader):
    """Reads the pages of images, PDFs, TIFFs, archives, folders or manifests, one at a time.

    Args:
        source: anything that `documents.find_pages` takes.
        mode, language: as for `Reader.read`.
        embedded_text: as for `Reader.read_reference`.
        pages, password: as for `find_pages`.
        reader: default: one for the shipped model.
        on_error: receives each page that cannot be read, and the others are still read; without it, the first such page
            raises `ImageRejected`.

    A document's `page_content` is the text of its page. Its `metadata`: `source`, `page` (from 0, as LangChain's PDF
    loaders count), `total_pages`, `model`, `language`, and `confidence`, the mean over the lines, None for a blank
    page.
    """

    def __init__(
        self,
        source: DocumentSource,
        mode: Mode = "accurate",
        *,
        pages: str | None = None,
        password: str | None = None,
        language: str | None = None,
        embedded_text: bool = False,
        reader: Reader | None = None,
        on_error: Callable[[PageReference, ImageRejected], None] | None = None,
    ) -> None:
        self.source, self.mode, self.pages, self.password = source, mode, pages, password
        self.language, self.embedded_text = language, embedded_text
        self.reader, self.on_error = reader or Reader(), on_error

    def lazy_load(self) -> Iterator[Document]:
        """Yield the pages in order as they are read, with only one page in memory."""
        references = find_pages(self.source, pages=self.pages, password=self.password)
        read = self.reader.read_references(
            references, self.mode, language=self.language, embedded_text=self.embedded_text, on_error=self.on_error
        )
        for reference, page in read:
            confidences = [line.confidence for line in page.lines]
            yield Document(
                page_content=page.text,
                metadata={
                    "source": reference.name,
                    "page": reference.number - 1,
                    "total_pages": reference.count,
                    "model": page.model,
                    "language": page.language,
                    "confidence": sum(confidences) / len(confidences) if confidences else None,
                },
            )
