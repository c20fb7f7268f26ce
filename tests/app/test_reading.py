"""A picture goes in, lines come out: in a real browser, and what people see when something goes wrong."""

import itertools
import threading
import time

import pytest

from text_recognizer.recognition.recognizer import Recognizer

expect = pytest.importorskip("playwright.sync_api").expect


def test_picture_is_read_as_soon_as_it_is_given(tab, service, picture):
    tab.read(picture)
    answer = service.http.post("/v1/read", files={"image": picture}).json()
    assert tab.texts() == [line["text"] for line in answer["lines"]]
    assert tab.locator("#tr-outlines .outline").count() == 3
    assert tab.locator("#tr-tags .tag").count() == 3
    assert not tab.errors


def test_nothing_is_asked_for_elsewhere(tab, service, letter, picture):
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    tab.click("#tr-new")
    tab.read(picture)
    tab.wait_for_load_state("networkidle")
    outside = [url for url in tab.asked if not url.startswith((service.url, "blob:", "data:"))]
    assert tab.asked and not outside


def test_example_is_read_and_the_fast_mode_can_be_chosen(tab):
    tab.get_by_label("Fast").check()
    with tab.expect_request(lambda request: "/v1/read" in request.url) as asked:
        tab.click("#tr-examples button >> nth=0")
    assert "mode=fast" in asked.value.url
    tab.wait_until_read()
    assert "washing" in tab.texts()[0].lower()
    tab.get_by_label("Accurate").check()
    with tab.expect_request(lambda request: "/v1/read" in request.url) as asked:
        tab.get_by_role("button", name="Read again").click()
    assert "mode=accurate" in asked.value.url


@pytest.fixture
def held(monkeypatch):
    """Holds up reading after the first batches of lines, of two threads, until it is set."""
    released, calls, read = threading.Event(), itertools.count(), Recognizer.read_lines

    def read_lines(self, *args, **options):
        if next(calls) > 1:
            released.wait(60)
        return read(self, *args, **options)

    monkeypatch.setattr(Recognizer, "read_lines", read_lines)
    yield released
    released.set()


def test_lines_come_one_after_the_other_and_reading_can_be_stopped(tab, service, large, held):
    hint = "document.querySelector('#tr-lines-hint').textContent"
    told = tab.evaluate_handle(
        "() => { const told = [], status = document.querySelector('#tr-status');"
        "new MutationObserver(() => told.push(status.textContent)).observe(status, { childList: true }); return told; }"
    )
    tab.give(large)
    tab.until(f"{hint} === 'The lines appear here as they are read.'")
    tab.until("/Line [1-9]\\d* of 40/.test(document.querySelector('#tr-status').textContent)")
    tab.get_by_role("button", name="Stop").click()
    tab.until("document.querySelector('#tr-status').textContent === 'Stopped'")
    assert 0 < len(tab.texts()) < 40
    waiting = tab.locator("#tr-outlines .outline.waiting").count()
    assert 0 < waiting < 40  # those that are read have their colour already
    assert "Finding the lines…" in told.json_value()
    held.set()
    tab.get_by_label("Fast").check()
    tab.get_by_role("button", name="Read", exact=True).click()
    tab.wait_until_read()
    assert len(tab.texts()) >= 35 and tab.evaluate(hint).startswith("Correct what is wrong.")


def test_picture_can_be_pasted_and_dropped(tab, picture):
    put = """(kind) => (bytes) => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' }));
      document.dispatchEvent(kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
        : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""
    for kind in ("paste", "drop"):
        tab.evaluate(f"(bytes) => ({put})('{kind}')(bytes)", list(picture))
        tab.wait_until_read()
        assert len(tab.texts()) == 3
        tab.click("#tr-new")
        assert tab.locator("#tr-start").is_visible() and not tab.locator("#tr-status").inner_text()


def test_photo_is_taken_with_the_camera(each_tab):
    tab = each_tab
    tab.get_by_role("button", name="Take a photo").click()
    tab.until("document.querySelector('#tr-video').videoWidth > 0")
    tab.get_by_role("button", name="Take it").click()
    tab.wait_for_selector("#tr-work:visible")
    assert tab.locator("#tr-name").inner_text() == "photo.jpg"
    tab.until("document.querySelector('#tr-video').srcObject === null")


def test_picture_that_the_browser_cannot_show_is_shown_all_the_same(tab, tiff):
    tab.read(tiff, "page.tif", "image/tiff")
    tab.until("document.querySelector('#tr-image').naturalWidth === 480")
    assert len(tab.texts()) == 3


BAD = [
    (b"not an image at all", "page.png", "image/png", "cannot be read"),
    (b"", "page.png", "image/png", "empty"),
    (b"%PDF-1.7", "page.pdf", "application/pdf", "damaged PDF"),
    (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "page.png", "image/png", "cannot be read"),
]


def test_bad_input_is_reported_and_the_page_stays_usable(tab, picture, subtests):
    alert = tab.get_by_role("alert").first
    for content, name, kind, words in BAD:
        with subtests.test(words):
            tab.give(content, name, kind)
            expect(alert).to_contain_text(words)
            tab.click("#tr-dismiss")
    tab.give(*BAD[0][:3])
    alert.wait_for()
    tab.read(picture)
    assert len(tab.texts()) == 3 and not alert.is_visible()


def test_blank_page_is_not_an_error_and_a_line_can_be_written(tab, blank):
    tab.give(blank)
    tab.wait_for_selector("#tr-nothing:visible")
    assert "No writing was found" in tab.locator("#tr-nothing").inner_text()
    assert tab.locator("#tr-status").inner_text() == "No writing found"
    assert not tab.locator("#tr-alert").is_visible()
    tab.click("#tr-first")
    tab.keyboard.type("a faint line")
    assert tab.texts() == ["a faint line"]


def test_every_file_that_cannot_be_read_is_named(each_tab, picture):
    broken = {f"{name}.tif": b"II*\0" + name.encode() for name in ("first", "second")}
    files = [{"name": name, "mimeType": "image/tiff", "buffer": content} for name, content in broken.items()]
    files += [{"name": "empty.png", "mimeType": "image/png", "buffer": b""}]
    files += [{"name": "good.png", "mimeType": "image/png", "buffer": picture}]
    each_tab.set_input_files("#tr-file", files)
    each_tab.wait_until_read()
    told = each_tab.get_by_role("alert").first.inner_text()
    assert all(name in told for name in (*broken, "empty.png")) and "good.png" not in told


def test_several_pictures_are_all_read_and_survive_a_reload(tab, picture, blank):
    files = [{"name": f"{name}.png", "mimeType": "image/png", "buffer": picture} for name in ("one", "two")]
    tab.set_input_files("#tr-file", [*files, {"name": "empty.png", "mimeType": "image/png", "buffer": blank}])
    tab.until("document.querySelectorAll('#tr-work .pages [data-status=read]').length === 3")
    assert tab.locator("#tr-work .pages img").count() == 3
    tab.get_by_role("button", name="two.png,").click()
    tab.locator("#tr-lines textarea").nth(0).fill("typed before the reload")
    tab.wait_until_stored()
    tab.reload()
    tab.wait_for_selector("#tr-lines textarea")
    assert tab.locator("#tr-name").inner_text() == "two.png"
    assert tab.texts()[0] == "typed before the reload"
    tab.until("document.querySelector('#tr-image').naturalWidth === 480")
    tab.click("#tr-new")
    tab.go_back()
    tab.until("document.querySelector('#tr-lines textarea')?.value === 'typed before the reload'")
    tab.click("#tr-work [data-forget-all]")
    tab.wait_for_selector("#tr-start:visible")
    tab.until("document.querySelectorAll('#tr-start .pages li').length === 0")
    tab.get_by_role("button", name="Undo", exact=True).first.click()  # one click must not be the end of a day's work
    tab.until("document.querySelectorAll('#tr-work .pages li').length === 3")
    tab.wait_until_stored()
    tab.reload()
    tab.get_by_role("button", name="two.png,").click()
    tab.until("document.querySelector('#tr-lines textarea')?.value === 'typed before the reload'")
    tab.click("#tr-work [data-forget-all]")
    tab.wait_until_stored()
    tab.reload()
    tab.wait_for_selector("#tr-choose")
    tab.until("document.querySelectorAll('#tr-start .pages li').length === 0")


def test_two_tabs_show_the_same_page(tab, service, picture):
    tab.read(picture).nth(0).fill("typed in the first tab")
    tab.wait_until_stored()
    other = tab.context.new_page()
    other.goto(tab.url)
    other.wait_for_selector("#tr-lines textarea")
    assert other.locator("#tr-lines textarea").nth(0).input_value() == "typed in the first tab"
    other.locator("#tr-lines textarea").nth(1).fill("typed in the other")
    tab.until("document.querySelectorAll('#tr-lines textarea')[1].value === 'typed in the other'")
    assert tab.texts()[0] == "typed in the first tab"


def test_picture_is_zoomed_moved_and_rotated_and_read_as_shown(tab, picture):
    tab.read(picture)
    width = "document.querySelector('#tr-paper').clientWidth"
    before = tab.evaluate(width)
    tab.locator("#tr-view").hover()
    tab.mouse.wheel(0, -400)
    tab.until(f"{width} > {before}")
    start = tab.evaluate("document.querySelector('#tr-view').scrollLeft")
    tab.mouse.down()
    tab.mouse.move(200, 300, steps=3)
    tab.mouse.up()
    tab.until(f"document.querySelector('#tr-view').scrollLeft !== {start}")
    tab.get_by_role("button", name="Rotate clockwise").click()
    with tab.expect_request(lambda request: "/v1/read" in request.url):
        tab.get_by_role("button", name="Read again").click()
    tab.until("document.querySelector('#tr-image').naturalWidth === 240")


FORBIDDEN = """for (const name of ["indexedDB", "sessionStorage", "localStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}"""
FULL = """window.full = true;
const put = IDBObjectStore.prototype.put;
IDBObjectStore.prototype.put = function (value, key) {
  const request = put.call(this, ...[value, key].slice(0, arguments.length));
  if (window.full && value instanceof Blob) request.onsuccess = () => this.transaction.abort();
  return request;
};"""


def test_browser_that_forbids_to_store_anything_reads_all_the_same(service, browse_each, picture):
    tab = browse_each(service.url, script=FORBIDDEN)
    assert "stores no pages" in tab.locator(".stored").first.inner_text()
    tab.give(picture)
    tab.until("document.querySelectorAll('#tr-lines textarea').length === 3")
    tab.locator("#tr-lines textarea").first.fill("corrected")
    tab.give(picture, name="another.png")
    tab.until("document.querySelectorAll('#tr-work .pages li').length === 2")
    tab.locator("#tr-work .pages li > button:first-child").first.click()
    tab.until("document.querySelector('#tr-lines textarea')?.value === 'corrected'")
    assert not tab.errors


def test_page_for_which_there_is_no_room_is_stored_as_soon_as_there_is(service, browse, picture):
    tab = browse(service.url, script=FULL)
    fields = tab.read(picture)
    fields.first.fill("corrected")
    tab.wait_for_selector("#tr-alert:visible")
    time.sleep(0.5)  # what is stored without the picture must not count as stored
    assert "no room" in tab.get_by_role("alert").first.inner_text()
    tab.evaluate("window.full = false")
    fields.first.fill("corrected again")
    tab.wait_until_stored()
    tab.wait_for_selector("#tr-alert", state="hidden")
    tab.evaluate("window.full = true")
    tab.reload()
    tab.until("document.querySelector('#tr-lines textarea')?.value === 'corrected again'")
