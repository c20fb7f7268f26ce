"""The page as a tool to correct with, in Chromium and Firefox: nothing is lost, and a keyboard is enough."""

import http.server
import json
import threading

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

FIELD = "document.activeElement.getAttribute('aria-label')"
SELECTED = "(({ value, selectionStart: a, selectionEnd: b }) => value.slice(a, b))(document.activeElement)"
TEXTS = "[...document.querySelectorAll('#tr-lines textarea')].map((field) => field.value)"
SIZE = "(({ naturalWidth: w, naturalHeight: h }) => [w, h])(document.querySelector('#tr-image'))"
ALL_READ = "document.querySelectorAll('#tr-work .pages [data-status=read]').length === {}"


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)


def test_page_of_sixty_lines_is_corrected_by_keyboard_alone(service, browse_each):
    tab = browse_each(service.url, reduced_motion="reduce")
    texts = [f"line {row} of this paage" for row in range(60)]
    for row in (7, 31, 58):
        texts[row] = f"line {row} is dutbful?"
    tab.answers(texts)
    tab.locator("#tr-examples button").first.focus()
    press(tab, "Enter")
    tab.wait_until_read()
    for row in (7, 31, 58):  # from one doubt to the next
        press(tab, "F8")
        assert tab.evaluate(SELECTED) == "dutbful?" and tab.evaluate(FIELD) == f"Line {row + 1}"
        tab.wait_until_in_view()
        tab.keyboard.type("doubtful")
        texts[row] = f"line {row} is doubtful"
    press(tab, "Control+f")  # the same mistake everywhere
    tab.keyboard.type("paage")
    press(tab, "Tab")
    tab.keyboard.type("page")
    press(tab, "Enter", "Enter")  # one, and the next
    assert tab.texts()[:2] == ["line 0 of this page", "line 1 of this paage"]
    while tab.evaluate("document.activeElement.id") != "tr-replace-all":
        press(tab, "Tab")
    press(tab, "Enter", "Escape")
    texts = [text.replace("paage", "page") for text in texts]
    assert tab.texts() == texts
    assert tab.evaluate(FIELD).startswith("Line ")
    press(tab, "Alt+Enter")  # a line that was not found, and its place
    tab.keyboard.type("one more")
    at = int(tab.evaluate(FIELD).split()[1]) - 1
    texts.insert(at, "one more")
    press(tab, "Alt+p", "ArrowRight", "Shift+ArrowDown", "Enter")
    assert tab.texts() == texts and tab.evaluate(FIELD) == f"Line {at + 1}"
    press(tab, "Alt+Shift+ArrowDown")
    texts[at], texts[at + 1] = texts[at + 1], texts[at]
    press(tab, "Alt+Shift+ArrowUp", "Alt+Delete")
    texts.remove("one more")
    assert tab.texts() == texts
    press(tab, "Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "Control+Enter")
    assert len(tab.texts()) == 61
    press(tab, "Backspace")
    assert tab.texts() == texts
    tab.until(f"{SIZE}[0] === 1000")
    press(tab, "Alt+r")
    tab.until(f"{SIZE}[1] === 1000")
    press(tab, "Control+z", "Control+Shift+z", "Control+z")
    tab.until(f"{SIZE}[0] === 1000")
    width = "document.querySelector('#tr-paper').clientWidth"
    before = tab.evaluate(width)
    press(tab, "Alt+=")
    assert tab.evaluate(width) > before
    press(tab, "Alt+9")
    assert tab.evaluate(width) < before
    assert tab.texts() == texts
    tab.locator("#tr-download").focus()
    assert tab.saved(lambda: press(tab, "Enter"))[1].splitlines() == texts
    assert not tab.errors


def test_undo_and_redo_survive_a_reload_with_the_way_the_picture_lies(each_tab, picture):
    tab = each_tab
    tab.read(picture)
    one, two, three = tab.texts()
    tab.locator("#tr-lines textarea").nth(0).fill("corrected")
    tab.click("#tr-rotate")
    tab.until(f"String({SIZE}) === '240,480'")
    places = tab.eval_on_selector_all(
        "#tr-outlines polygon", "all => all.map((one) => one.getBBox()).map((box) => box.x)"
    )
    assert places == sorted(places, reverse=True)  # the first line is on the right now
    tab.click("#tr-crop")
    press(tab, *["Shift+ArrowLeft"] * 100, *["ArrowLeft"] * 25, "Enter")  # a narrow box at the left: the last line
    tab.until("document.querySelectorAll('#tr-lines li').length === 1")
    assert tab.texts() == [three]
    tab.wait_until_stored()
    tab.reload()
    tab.wait_for_selector("#tr-lines textarea")
    assert tab.texts() == [three]
    tab.click("#tr-undo")
    assert tab.texts() == ["corrected", two, three]
    tab.click("#tr-undo")
    tab.until(f"String({SIZE}) === '480,240'")
    tab.click("#tr-undo")
    assert tab.texts() == [one, two, three] and not tab.locator("#tr-undo").is_enabled()
    for _ in range(3):
        tab.click("#tr-redo")
    assert tab.texts() == [three] and not tab.locator("#tr-redo").is_enabled()
    tab.until(f"{SIZE}[1] === 384 && {SIZE}[0] < 120")
    with tab.expect_response(lambda answer: "/v1/read" in answer.url):
        tab.get_by_role("button", name="Read again").click()
    # Letters on their side: nothing is read, or nonsense.
    tab.until(f"JSON.stringify({TEXTS}) !== {json.dumps(json.dumps([three], separators=(',', ':')))}")
    tab.click("#tr-undo")
    assert tab.texts() == [three]
    assert not tab.errors


def test_document_is_read_page_by_page_and_leafed_through(each_tab, pdf):
    tab = each_tab
    tab.answers(["as it was read"])
    tab.give(pdf, "letters.pdf", "application/pdf")
    tab.until(ALL_READ.format(3))
    assert tab.locator("#tr-leaf").inner_text() == "Page 1 of 3" and not tab.locator("#tr-before").is_enabled()
    press(tab, "Alt+PageDown")
    tab.until("document.querySelector('#tr-leaf').textContent === 'Page 2 of 3'")
    tab.locator("#tr-lines textarea").first.fill("on the second page")
    tab.click("#tr-after")
    tab.until("document.querySelector('#tr-lines textarea').value === 'as it was read'")
    assert tab.saved(lambda: tab.click("#tr-download")) == ["letters-3.txt", "as it was read\n"]
    tab.reload()
    tab.wait_for_selector("#tr-lines textarea")
    assert tab.locator("#tr-leaf").inner_text() == "Page 3 of 3"
    tab.get_by_role("button", name="letters.pdf, page 2,").click()
    tab.until("document.querySelector('#tr-lines textarea').value === 'on the second page'")
    tab.until(f"String({SIZE}) === '556,278'")
    tab.click("#tr-work [data-forget-all]")
    assert not tab.errors


def test_bad_page_of_a_document_is_reported_and_the_others_are_read(each_tab, damaged):
    tab = each_tab
    tab.answers(["as it was read"])
    tab.give(damaged, "scan.tif", "image/tiff")
    tab.until(ALL_READ.format(2))
    assert "1 of 3 pages of scan.tif" in tab.get_by_role("alert").first.inner_text()


def test_blocks_are_begun_joined_named_moved_and_deleted(each_tab):
    tab = each_tab
    rows = [{"kind": "row", "start": 3, "stop": 5}, {"kind": "row", "start": 5, "stop": 7}]
    first = [
        {"kind": "heading", "start": 0, "stop": 1},
        {"kind": "paragraph", "start": 1, "stop": 3},
        {"kind": "table", "start": 3, "stop": 7, "blocks": rows},
    ]
    tab.read(tab.answers(["Title", "one", "two", "a", "b", "c", "d"], blocks=first))

    def saved(name):
        tab.select_option("#tr-format", name)
        text = tab.saved(lambda: tab.click("#tr-download"))[1]
        return json.loads(text)["blocks"] if name == "json" else text

    def labels():
        return [text for text in tab.locator("#tr-lines .kind").all_inner_texts() if text]

    assert labels() == ["Heading", "Table", "Row"]
    assert tab.locator("#tr-outlines .block").count() == 4
    assert saved("json") == first
    assert saved("text") == "Title\none\ntwo\na\tb\nc\td\n"
    tab.locator("#tr-lines textarea").nth(2).click()
    press(tab, "Alt+b", "Alt+k")
    assert tab.evaluate("document.activeElement.id") == "tr-kind"
    tab.select_option("#tr-kind", "margin")
    assert labels() == ["Heading", "Note beside", "Table", "Row"]
    press(tab, "Escape")
    tab.locator("#tr-lines textarea").nth(2).click()
    press(tab, "Alt+Shift+PageUp", "Alt+Shift+PageUp")
    assert tab.texts() == ["two", "Title", "one", "a", "b", "c", "d"]
    assert [(one["kind"], one["start"], one["stop"]) for one in saved("json")] == [
        ("margin", 0, 1), ("heading", 1, 2), ("paragraph", 2, 3), ("table", 3, 7),
    ]  # fmt: skip
    tab.locator("#tr-lines textarea").nth(1).click()
    press(tab, "Alt+j", "Alt+Enter")
    tab.keyboard.type("added")
    assert [(one["kind"], one["start"], one["stop"]) for one in saved("json")] == [
        ("margin", 0, 1), ("heading", 1, 4), ("table", 4, 8),
    ]  # fmt: skip
    tab.locator("#tr-lines textarea").nth(5).click()
    press(tab, "Alt+Shift+Delete")
    assert tab.texts() == ["two", "Title", "added", "one", "c", "d"]
    while tab.locator("#tr-undo").is_enabled():
        tab.click("#tr-undo")
    assert saved("json") == first
    assert not tab.errors


def test_tools_for_a_block_open_and_close_by_keyboard(each_tab):
    tab = each_tab
    tab.read(tab.answers(["one", "two", "three"]))
    focused = "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    assert not tab.locator("#tr-block").is_enabled()
    tab.locator("#tr-lines textarea").nth(1).click()
    tab.locator("#tr-lines textarea").nth(1).press("Home")
    press(tab, "ArrowRight", "Alt+k")
    assert tab.evaluate(focused) == "tr-kind" and tab.locator("#tr-block").get_attribute("aria-expanded") == "true"
    press(tab, "Escape")  # back to where it was
    assert tab.evaluate(focused) == "Line 2" and tab.evaluate("document.activeElement.selectionStart") == 1
    assert not tab.locator("#tr-block-menu").is_visible()
    tab.locator("#tr-block").focus()
    press(tab, "Enter")
    reached = []
    for _ in range(7):
        reached.append(tab.evaluate(focused))
        press(tab, "Tab")
    assert reached == ["tr-kind", *(f"tr-block-{name}" for name in ("add", "begin", "join", "up", "down", "delete"))]
    assert not tab.locator("#tr-block-menu").is_visible()  # who goes on closes them
    tab.locator("#tr-lines textarea").nth(1).click()
    tab.click("#tr-block")
    tab.click("#tr-block-begin")
    assert tab.evaluate(focused) == "Line 2" and not tab.locator("#tr-block-menu").is_visible()
    tab.select_option("#tr-format", "json")
    found = json.loads(tab.saved(lambda: tab.click("#tr-download"))[1])["blocks"]
    assert [(one["start"], one["stop"]) for one in found] == [(0, 1), (1, 3)]
    tab.locator("#tr-lines textarea").nth(0).click()
    tab.click("#tr-block")
    tab.click("#tr-tab-whole")
    assert not tab.locator("#tr-block-menu").is_visible()
    assert not tab.errors


def test_each_page_is_shown_from_its_top(service, browse_each):
    tab = browse_each(service.url, reduced_motion="reduce")
    given = tab.answers([f"line {row}" for row in range(60)])
    tab.read(given, name="first.png")
    tab.read(given, name="second.png")
    tab.locator("#tr-lines textarea").nth(0).click()
    for _ in range(59):
        press(tab, "Enter")
    tops = "[...document.querySelectorAll('#tr-view, .side')].map((one) => one.scrollTop)"
    tab.until(f"{tops}.every((top) => top > 300)")
    tab.wait_until_in_view()
    press(tab, "Alt+PageUp")
    tab.until("document.querySelector('#tr-name').textContent === 'first.png'")
    tab.until(f"{tops}.every((top) => top === 0)")


def test_table_is_made_of_lines_and_its_rows_and_cells_are_corrected_by_keyboard(each_tab):
    tab = each_tab
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)]  # column and row: two columns, one after the other
    tab.read(tab.answers(["Ann", "Bea", "3 d", "5 d", "Cy"], places=[(100 + 300 * x, 50 * y) for x, y in places]))

    def saved(name):
        tab.select_option("#tr-format", name)
        return tab.saved(lambda: tab.click("#tr-download"))[1]

    def named(kind):
        press(tab, "Alt+k")
        tab.select_option("#tr-kind", kind)

    tab.locator("#tr-lines textarea").nth(1).click()
    named("table")
    assert tab.texts() == ["Ann", "3 d", "Bea", "5 d", "Cy"] and tab.evaluate("document.activeElement.id") == "tr-kind"
    assert tab.locator("#tr-kind").input_value() == "table"
    press(tab, "Escape")
    assert saved("tables") == "Ann,3 d\nBea,5 d\nCy,\n"
    tab.locator("#tr-lines textarea").nth(4).click()
    press(tab, "Alt+Enter")  # the cell that is missing
    tab.keyboard.type("7 d")
    press(tab, "Alt+Shift+Enter")  # one more row
    tab.keyboard.type("Dan")
    press(tab, "Alt+Enter")
    tab.keyboard.type("9 d")
    assert saved("tables") == "Ann,3 d\nBea,5 d\nCy,7 d\nDan,9 d\n"
    assert saved("text") == "Ann\t3 d\nBea\t5 d\nCy\t7 d\nDan\t9 d\n"
    assert saved("md").splitlines()[-1] == "| Dan | 9 d |"
    tab.locator("#tr-lines textarea").nth(2).click()
    press(tab, "Alt+Shift+PageUp", "Alt+j")  # the row of Bea before that of Ann, and both as one
    assert saved("tables").splitlines()[0] == "Bea,5 d,Ann,3 d"
    tab.locator("#tr-lines textarea").nth(2).click()
    press(tab, "Alt+b")
    assert saved("tables") == "Bea,5 d\nAnn,3 d\nCy,7 d\nDan,9 d\n"
    named("heading")  # out of the table
    press(tab, "Escape")
    assert saved("tables") == "Bea,5 d\n\nCy,7 d\nDan,9 d\n"
    named("table")  # and behind the first row again
    press(tab, "Escape")
    assert saved("tables").startswith("Bea,5 d\nAnn,3 d\n")
    while tab.locator("#tr-undo").is_enabled():
        tab.click("#tr-undo")
    assert tab.texts() == ["Ann", "Bea", "3 d", "5 d", "Cy"] and saved("tables") == ""
    assert not tab.errors


@pytest.fixture(scope="module")
def elsewhere(picture):
    """Another server, with a picture and a page of HTML."""

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture if self.path.endswith(".png") else b"<html>secret</html>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


DROP = """([kind, text]) => { const data = new DataTransfer(); data.setData(kind, text);
  document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })); }"""


def test_dropped_link_is_fetched_by_the_service(mounted, alone, browse_each, elsewhere):
    allowed = {"private_hosts": ("127.0.0.1",), "image_url_http": True, "image_url_ports": (elsewhere,)}
    with mounted(**allowed) as service, alone(service.url) as before:
        for server in (service, before):
            tab = browse_each(server.url)
            tab.evaluate(DROP, ["text/uri-list", f"# a comment\r\nhttp://127.0.0.1:{elsewhere}/box/a%20letter.png"])
            tab.wait_until_read()
            assert len(tab.texts()) == 3 and tab.locator("#tr-name").inner_text() == "a letter.png"
            assert all(url.startswith((server.url, "blob:", "data:")) for url in tab.asked)
            tab.evaluate(DROP, ["text/uri-list", f"http://127.0.0.1:{elsewhere}/index.html"])
            alert = tab.get_by_role("alert").first
            alert.wait_for()
            assert "neither an image nor a PDF" in alert.inner_text()
            tab.evaluate(DROP, ["text/plain", "no link"])
            tab.until("document.querySelector('#tr-alert p').textContent.startsWith('Only files and links')")


PUT = """([row, text]) => { const field = document.querySelectorAll('#tr-lines textarea')[row];
  field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }"""


def test_two_tabs_that_edit_at_the_same_time_lose_nothing(each_tab):
    tab = each_tab
    tab.read(tab.answers(["one", "two", "three", "four"]))
    tab.wait_until_stored()
    other = tab.another()
    other.wait_for_selector("#tr-lines textarea")
    tab.evaluate(PUT, [0, "first tab"])
    other.evaluate(PUT, [1, "other tab"])
    tab.locator("#tr-lines textarea").nth(3).press("Alt+Delete")
    other.locator("#tr-lines textarea").nth(1).press("Alt+Enter")
    other.evaluate(PUT, [2, "added there"])
    for each in (tab, other):
        each.until(
            "[...document.querySelectorAll('#tr-lines textarea')].map((one) => one.value).join()"
            " === 'first tab,other tab,added there,three'"
        )
    tab.wait_until_stored()
    tab.reload()
    tab.wait_for_selector("#tr-lines textarea")
    assert tab.texts() == other.texts() == ["first tab", "other tab", "added there", "three"]
    assert not tab.errors and not other.errors


MERGED = """([base, mine, theirs]) => import('./page/browser/merging.js').then(({ merged }) => {
  const read = (text) => ({ text, confidence: 1, polygon: [], baseline: [], alternatives: [], words: [] });
  const state = (lines) => ({ reading: { request_id: 'r' }, sheet: null, asRead: null, width: 1, height: 1,
    lines: lines.map(([id, text]) => ({ id, text, read: read('read'), origin: null })) });
  const { lines } = merged(...[base, mine, theirs].map(state));
  return lines.map(({ id, text, read: { alternatives } }) => [id, text, ...alternatives]);
})"""


MERGES = [  # of one and the other: what both made of [1, "a"], [2, "b"], [3, "c"]
    ([[1, "A"], [2, "b"], [3, "c"]], [[1, "a"], [2, "B"], [3, "c"]], [[1, "A"], [2, "B"], [3, "c"]]),
    ([[1, "A"], [2, "b"], [3, "c"]], [[1, "X"], [2, "b"], [3, "c"]], [[1, "A", "X"], [2, "b"], [3, "c"]]),
    # One deletes a line, the other adds one; a line that was changed is not deleted.
    ([[1, "a"], [3, "c"]], [[1, "a"], [4, "d"], [2, "b"], [3, "c"]], [[1, "a"], [4, "d"], [3, "c"]]),
    ([[1, "a"], [3, "c"]], [[1, "a"], [2, "B"], [3, "c"]], [[1, "a"], [2, "B"], [3, "c"]]),
    ([[1, "a"], [2, "B"], [3, "c"]], [[1, "a"], [3, "c"]], [[1, "a"], [2, "B"], [3, "c"]]),
    # One moves lines, the other changes one and adds one behind it.
    (
        [[3, "c"], [1, "a"], [2, "b"]],
        [[1, "a"], [2, "B"], [4, "d"], [3, "c"]],
        [[3, "c"], [1, "a"], [2, "B"], [4, "d"]],
    ),
    (
        [[1, "a"], [2, "B"], [4, "d"], [3, "c"]],
        [[3, "c"], [1, "a"], [2, "b"]],
        [[3, "c"], [1, "a"], [2, "B"], [4, "d"]],
    ),
]


def test_changes_of_two_tabs_are_merged_line_by_line(tab, subtests):
    for number, (mine, theirs, wanted) in enumerate(MERGES):
        with subtests.test(number=number):
            assert tab.evaluate(MERGED, [[[1, "a"], [2, "b"], [3, "c"]], mine, theirs]) == wanted


def test_service_that_is_away_is_waited_for_and_the_text_can_be_taken_along(service, browse_each, picture):
    tab = browse_each(service.url)
    tab.read(picture).nth(0).fill("mine")
    tab.wait_until_stored()
    for path in ("**/v1/**", "**/page/written/**", "**/page/pages"):
        tab.route(path, lambda route: route.abort())
    tab.give(picture, "second.png")
    alert = tab.get_by_role("alert").first
    alert.wait_for()
    assert "cannot be reached" in alert.inner_text()
    tab.reload()
    tab.get_by_role("button", name="page.png,").click()
    tab.until("document.querySelector('#tr-lines textarea')?.value === 'mine'")
    assert tab.saved(lambda: tab.click("#tr-download"))[1].startswith("mine\n")
    tab.unroute_all()
    tab.until(ALL_READ.format(2))  # by itself
    expect(alert).not_to_be_visible()


def test_wrong_key_is_not_no_key_and_the_alert_goes_when_it_is_right(mounted, browse_each, picture):
    with mounted(api_keys=("secret",)) as kept:
        tab = browse_each(kept.url)
        tab.get_by_label("API key").wait_for()
        alert = tab.get_by_role("alert").first
        tab.give(picture)
        alert.wait_for()
        assert "asks for an API key" in alert.inner_text()
        tab.get_by_label("API key").fill("wrong")
        tab.get_by_role("button", name="Read", exact=True).click()
        tab.until("document.querySelector('#tr-alert p').textContent.includes('does not accept')")
        tab.get_by_label("API key").press("Control+a")
        tab.keyboard.type("secret")
        press(tab, "Tab")
        tab.until("document.querySelector('#tr-alert').hidden")


def test_formats_are_those_of_the_service_and_their_files_have_names_of_their_own(each_tab, service):
    tab = each_tab
    known = service.http.get("/v1/models").json()
    tab.route("**/v1/models", lambda route: route.fulfill(json={**known, "formats": [*known["formats"], "brand-new"]}))
    tab.reload()
    offered = [*known["formats"], "brand-new"]
    expect(tab.locator("#tr-format option")).to_have_count(len(offered))  # before the service answers there is the text
    assert tab.eval_on_selector_all("#tr-format option", "all => all.map((one) => one.value)") == offered
    tab.read(tab.answers(["one line"]))
    names = []
    for name in known["formats"]:
        tab.select_option("#tr-format", name)
        names.append(tab.saved(lambda: tab.click("#tr-download"))[0])
    assert len(set(names)) == len(names) and {"page.alto.xml", "page.page.xml"} <= set(names)


PINCH = """(apart) => { const view = document.querySelector('#tr-view');
  const touch = (type, id, x) => view.dispatchEvent(new PointerEvent(type, { pointerId: id, pointerType: 'touch',
    clientX: 300 + x, clientY: 300, bubbles: true, button: 0 }));
  touch('pointerdown', 1, -50); touch('pointerdown', 2, 50);
  touch('pointermove', 1, -apart); touch('pointermove', 2, apart);
  touch('pointerup', 1, -apart); touch('pointerup', 2, apart); }"""


def test_picture_is_zoomed_by_two_fingers(each_tab, picture):
    tab = each_tab
    tab.read(picture)
    width = "document.querySelector('#tr-paper').clientWidth"
    before = tab.evaluate(width)
    tab.evaluate(PINCH, 100)
    assert tab.evaluate(width) > 1.8 * before
    tab.evaluate(PINCH, 25)
    assert abs(tab.evaluate(width) - before) < 5


def test_low_window_shows_each_line_with_its_part_of_the_picture(service, browse, picture):
    tab = browse(service.url, viewport={"width": 1000, "height": 420})
    tab.read(picture)
    assert all(strip.is_visible() for strip in tab.locator("#tr-lines .strip").all())
    tab.get_by_role("tab", name="Whole text").click()
    tab.locator("#tr-whole").focus()
    tab.keyboard.press("ArrowDown")
    expect(tab.locator("#tr-strip")).to_be_visible()
