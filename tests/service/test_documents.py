"""Documents of several pages: read page by page, answered as lines of JSON or as one document."""

import asyncio
import contextlib
import io
import json
import time
import zipfile

import pikepdf
import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from text_recognizer import pdf_pages
from text_recognizer.client import Client
from text_recognizer.errors import ImageRejected
from text_recognizer.service import documents, turns
from text_recognizer.service.app import create_app
from text_recognizer.service.settings import Settings

PDF = {"Content-Type": "application/pdf"}


def word(text):
    image = Image.new("L", (360, 160), 255)
    ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
    return image


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def several(kind, *texts):
    first, *others = map(word, texts)
    options = {"resolution": 200.0, "title": "Parish register"} if kind == "PDF" else {}
    return encoded(first, kind, save_all=True, append_images=others, **options)


def archive(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("_", "."), data)
    return out.getvalue()


@pytest.fixture(scope="module")
def service(running):
    with running(max_pages=3, threads=2, max_bytes=2**20) as found:
        yield found


@pytest.fixture(scope="module")
def http(service):
    return service.http


def read(http, data, **params):
    return http.post("/v1/read", params={"mode": "fast", **params}, files={"image": ("box.pdf", data)})


def lines(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_document_is_a_line_of_json_for_each_page(http, kind):
    found = lines(read(http, several(kind, "letter", "paper")))
    assert [(page["page"], page["count"], page["source"]) for page in found] == [(1, 2, "box.pdf"), (2, 2, "box.pdf")]
    if kind == "TIFF":
        assert [page["text"] for page in found] == ["letter", "paper"]
    assert len({page["request_id"] for page in found}) == 2
    assert found[0]["timings"]["total"] > 0
    assert "picture" not in found[0]


def test_pages_are_chosen_and_come_with_their_pictures(http):
    (page,) = lines(read(http, several("PDF", "letter", "paper", "page", "word"), pages="2", pictures="true"))
    assert page["page"] == 2
    assert page["picture"].startswith("data:image/jpeg;base64,")


def test_page_that_cannot_be_read_stands_as_its_problem_among_the_others(http):
    box = archive(a_png=encoded(word("letter")), b_png=b"rubbish", c_zip=archive(x_png=b""))
    good, bad, nested = lines(read(http, box))
    assert good["text"] == "letter"
    assert good["source"] == "box.pdf/a.png"
    assert (bad["problem"]["code"], bad["problem"]["status"]) == ("image-rejected", 422)
    assert "inside an archive" in nested["problem"]["detail"]
    answer = read(http, box, format="text")
    assert (answer.text, answer.headers["x-failed-pages"]) == ("letter\n", "1,1")


def test_image_in_one_page_is_answered_as_before(http):
    answer = read(http, encoded(word("letter"), "TIFF"))
    assert answer.json()["text"] == "letter"


@pytest.mark.parametrize(
    ("data", "params", "status", "words"),
    [
        (several("PDF", "a", "b", "c", "d"), {}, 422, "more than 3 pages"),
        (several("PDF", "a", "b"), {"pages": "0"}, 400, "1-3,7,10-"),
        (several("PDF", "a", "b"), {"pages": "7"}, 422, "choose others"),
        (several("PDF", "a", "b"), {"stream": "true"}, 400, "leave it out"),
        (b"%PDF-1.7 rubbish", {}, 422, "damaged PDF"),
        (archive(a_png=bytes(2**21)), {}, 422, "when unpacked"),
    ],
    ids=["long", "malformed", "missing", "stream", "damaged", "bomb"],
)
def test_document_that_is_not_read_is_a_problem(http, data, params, status, words):
    answer = read(http, data, **params)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_more_documents_than_are_read_at_once_are_refused_at_once(running, figure, wait_until):
    data = several("PDF", *["letter"] * 20)
    with running(documents=1, threads=1) as service:
        with service.http.stream("POST", "/v1/read?mode=fast", content=data, headers=PDF) as first:
            assert first.status_code == 200
            for query in ("mode=fast", "mode=fast&format=text"):
                begin = time.monotonic()
                answer = service.http.post(f"/v1/read?{query}", content=data, headers=PDF)
                assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1
                assert time.monotonic() - begin < 10  # not after the deadline
            assert read(service.http, encoded(word("letter"))).json()["text"] == "letter"  # a page has its turn
        wait_until(lambda: figure(service.http, "buffered_bytes") == 0)
        assert read(service.http, several("PDF", "letter", "paper")).status_code == 200


def test_client_that_leaves_before_the_first_byte_leaves_nothing_behind():
    """As a server says it: sending fails, and the body of the answer is never begun."""
    app = create_app(Settings(documents=1, feedback="off"))
    data = several("PDF", "letter", "paper")
    head = [(b"content-type", b"application/pdf")]
    asked = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "POST"}
    asked |= {"path": "/v1/read", "raw_path": b"/v1/read", "query_string": b"", "headers": head, "client": None}

    async def ask():
        body = [{"type": "http.request", "body": data}]
        statuses = []

        async def receive():
            return body.pop() if body else await asyncio.Future()

        async def send(message):
            statuses.append(message["status"])
            raise OSError("the client has gone")

        with contextlib.suppress(RuntimeError):  # Starlette: the answer has begun
            await app({**asked, "state": {}}, receive, send)
        return statuses

    assert [asyncio.run(ask()) for _ in range(3)] == [[200]] * 3
    assert app.state.context.metrics.buffered.collect()[0].samples[0].value == 0


def test_client_that_takes_its_pages_slowly_makes_room_for_another(monkeypatch):
    monkeypatch.setattr(turns, "SLOW", 0.5)
    app = create_app(Settings(documents=1, feedback="off"))
    data = several("PDF", "letter", "paper")
    head = [(b"content-type", b"application/pdf")]
    asked = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "POST"}
    asked |= {"path": "/v1/read", "raw_path": b"/v1/read", "query_string": b"mode=fast", "headers": head}

    async def ask(stalls):
        body, statuses, parts = [{"type": "http.request", "body": data}], [], []

        async def receive():
            return body.pop() if body else await asyncio.Future()

        async def send(message):
            statuses.append(message.get("status"))
            if message.get("body"):
                parts.append(message["body"])
                if stalls:
                    await asyncio.Future()

        await app({**asked, "client": None, "state": {}}, receive, send)
        return statuses[0], len(parts)

    async def both():
        slow = asyncio.create_task(ask(True))
        await asyncio.sleep(0)
        while (status := (await ask(False))) == (429, 1):
            await asyncio.sleep(0.1)
        return status, await asyncio.wait_for(slow, 5)

    # The quick one gets both pages; of the slow one's answer nothing more is read.
    assert asyncio.run(both()) == ((200, 2), (200, 1))
    assert app.state.context.metrics.buffered.collect()[0].samples[0].value == 0


def test_page_that_draws_for_ever_costs_nobody_but_itself(http, monkeypatch):
    """It weighs some tens of KiB."""
    monkeypatch.setattr(documents, "PAGE_SECONDS", 1.0)
    pdf = pikepdf.open(io.BytesIO(several("PDF", "letter", "busy", "paper")))
    pdf.pages[1].Contents = pdf.make_stream(b"0 0 m 900 900 l S " * 2_000_000)
    out = io.BytesIO()
    pdf.save(out, compress_streams=True)
    first, busy, last = lines(read(http, out.getvalue()))
    assert first["lines"] and last["lines"]
    assert "too much time or memory" in busy["problem"]["detail"]


def test_huge_page_of_a_pdf_is_drawn_with_fewer_pixels(http):
    out = io.BytesIO()
    paper = canvas.Canvas(out, pagesize=(2000, 3000))
    paper.rect(20, 50, 30, 30)
    paper.save()
    (page,) = lines(read(http, out.getvalue()))
    assert 0.9 * documents.PAGE_PIXELS < page["width"] * page["height"] <= documents.PAGE_PIXELS
    assert page["dpi"] == pytest.approx(page["width"] / 2000 * 72, abs=0.1)


def test_pdf_is_opened_in_a_process_of_its_own_alone(http, monkeypatch):
    def opened(*_):
        raise AssertionError("PDFium in the service")

    for name in ("count_pages", "draw", "embedded", "printed", "unpack"):
        monkeypatch.setattr(pdf_pages, name, opened)
    drawn = io.BytesIO()
    paper = canvas.Canvas(drawn, pagesize=(200, 100))
    paper.drawString(20, 50, "printed words")
    paper.save()
    answer = read(http, drawn.getvalue(), format="pdf")
    assert (answer.status_code, "X-Failed-Pages" in answer.headers) == (200, False)
    assert "printed words" in pdfium.PdfDocument(answer.content)[0].get_textpage().get_text_range()


def test_encrypted_pdf_is_read_with_its_password(http):
    out = io.BytesIO()
    made = canvas.Canvas(out, encrypt=StandardEncryption("secret"))
    made.showPage()
    made.save()
    assert "encrypted" in read(http, out.getvalue()).json()["detail"]
    answer = http.post(
        "/v1/read?mode=fast", content=out.getvalue(),
        headers={"Content-Type": "application/pdf", "X-Document-Password": "secret"},
    )  # fmt: skip
    assert [page["text"] for page in lines(answer)] == [""]


def test_document_comes_in_other_formats_too(http):
    data = several("PDF", "letter", "paper")
    answer = read(http, data, format="pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert [bool(page.get_textpage().get_text_range()) for page in pdfium.PdfDocument(answer.content)] == [True, True]
    assert pdfium.PdfDocument(answer.content).get_metadata_dict()["Title"] == "Parish register"
    archived = read(http, data, format="pdf", pdfa="true")
    with pikepdf.open(io.BytesIO(archived.content)) as pdf, pdf.open_metadata() as metadata:
        assert (len(pdf.pages), metadata.pdfa_status) == (2, "2B")
    assert read(http, data, format="text").text.count("\f") == 1
    alto = read(http, data, format="alto")
    assert alto.headers["content-type"] == "application/zip"
    names = zipfile.ZipFile(io.BytesIO(alto.content)).namelist()
    assert sorted(names) == ["mets-001.xml", "mets-002.xml", "mets.xml"]


def test_client_yields_the_pages_of_a_document(service):
    with Client(service.url, retries=0) as client:
        box = archive(a_tif=several("TIFF", "letter", "paper"), b_png=b"rubbish")
        first, second, third = client.read_pages(box, "fast")
        assert [first.answer.page.text, second.answer.page.text] == ["letter", "paper"]
        assert (second.number, second.count) == (2, 2)
        assert isinstance(third.error, ImageRejected)
        with pytest.raises(ImageRejected, match="more than 3"):
            list(client.read_pages(several("TIFF", *"abcd"), "fast"))
        assert [page.answer.page.text for page in client.read_pages(encoded(word("letter")), "fast")] == ["letter"]


def test_embedded_text_is_taken_where_it_is_asked_for(service):
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(400, 100))
    typed = "We left the harbour early and sailed north until the ice began to close."
    made.drawString(20, 50, typed)
    made.showPage()
    made.setFont("Helvetica", 30)
    made.drawString(60, 40, "letter")
    made.showPage()
    made.save()
    with Client(service.url) as client:
        pages = [found.answer.page for found in client.read_pages(out.getvalue(), "fast", embedded_text=True)]
    assert [page.embedded for page in pages] == [True, False]
    assert (pages[0].text, pages[1].text) == (typed, "letter")
    first = lines(read(service.http, out.getvalue(), embedded_text="true", pages="1", pictures="true"))[0]
    assert first["picture"].startswith("data:image/jpeg")
    assert first["timings"]["total"] == 0
