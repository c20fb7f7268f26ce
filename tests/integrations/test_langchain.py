"""LangChain's pipelines get a document for each page, with where it comes from."""

import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.errors import ImageRejected
from text_recognizer.integrations.langchain import PageLoader
from text_recognizer.reader import Reader


def word(text):
    image = Image.new("L", (360, 160), 255)
    if text:
        ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
    return image


@pytest.fixture(scope="module")
def reader():
    return Reader(threads=1)


def test_pages_become_documents_one_at_a_time(tmp_path, reader):
    pages = [word("letter"), word("")]
    pages[0].save(tmp_path / "notes.pdf", save_all=True, append_images=pages[1:], resolution=200)
    documents = PageLoader(tmp_path / "notes.pdf", "fast", reader=reader).lazy_load()
    first, blank = next(documents), next(documents)
    assert next(documents, None) is None
    assert first.page_content == "letter"
    assert 0 < first.metadata.pop("confidence") <= 1
    assert first.metadata.pop("language") == reader.read(pages[0], "fast").language
    source = str(tmp_path / "notes.pdf")
    assert first.metadata == {"source": source, "page": 0, "total_pages": 2, "model": reader.model}
    assert (blank.page_content, blank.metadata["page"], blank.metadata["confidence"]) == ("", 1, None)


def test_page_that_cannot_be_read_ends_loading_unless_someone_hears_of_it(tmp_path, reader):
    word("letter").save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"rubbish")
    with pytest.raises(ImageRejected, match=r"a\.png, page 1: not an image"):
        PageLoader(tmp_path, "fast", reader=reader).load()
    failed = []
    loader = PageLoader(tmp_path, "fast", reader=reader, on_error=lambda page, error: failed.append(page.stem.name))
    assert [document.page_content for document in loader.load()] == ["letter"]
    assert failed == ["a"]
