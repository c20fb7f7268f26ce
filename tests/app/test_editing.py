"""Lines are corrected in a real browser, by pointer and by keyboard, and taken along."""

import json
from pathlib import Path

import pytest


def test_outline_and_text_lead_to_each_other(tab, picture):
    fields = tab.read(picture)
    outlines = tab.locator("#tr-outlines .outline")
    fields.nth(1).click()
    assert "active" in outlines.nth(1).get_attribute("class")
    outlines.nth(2).hover()
    assert tab.locator("#tr-bubble").inner_text() == tab.texts()[2]
    outlines.nth(2).click()
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Line 3"
    outlines.nth(0).focus()
    assert tab.locator("#tr-lines li").nth(0).evaluate("row => row.classList.contains('active')")


def test_page_is_corrected_by_keyboard_alone(tab, picture):
    tab.read(picture)
    before = tab.texts()
    tab.locator("#tr-outlines .outline").nth(0).focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")  # to the text of line 2
    tab.keyboard.press("Control+A")
    tab.keyboard.type("jumps over the crazy")
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Line 1"
    tab.keyboard.type("!")
    assert tab.texts() == [before[0] + "!", "jumps over the crazy", before[2]]
    assert tab.locator("#tr-lines li").nth(1).get_attribute("data-kind") == "edited"
    assert "corrected" in tab.locator("#tr-outlines .outline").nth(1).get_attribute("aria-label")
    tab.keyboard.press("Alt+ArrowDown")  # other readings; what was read is one of them
    tab.keyboard.press("Enter")
    assert tab.texts()[0] == before[0]


def test_all_can_be_reached_by_tab_in_the_order_that_is_seen(tab, picture):
    tab.read(picture)
    tab.get_by_role("button", name="New picture").focus()
    reached = []
    for _ in range(40):
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
        tab.keyboard.press("Tab")
    wanted = ["tr-new", "tr-read", "tr-fit", "tr-tab-lines", "Line 1", "Line 2", "Line 3", "tr-copy", "tr-download"]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted


def test_both_views_edit_the_same_lines_and_nothing_is_lost_in_a_file(each_tab, picture):
    tab = each_tab
    tab.read(picture)
    before = tab.texts()
    tab.get_by_role("tab", name="Whole text").click()
    whole = tab.locator("#tr-whole")
    assert whole.input_value() == "\n".join(before)
    words = before[2].split(" ", 1)
    wanted = [before[0], "one more line", before[1] + "!", *words]
    whole.fill("\n".join(wanted))
    tab.get_by_role("tab", name="Line by line").click()
    assert tab.texts() == wanted
    tab.locator("#tr-lines textarea").nth(0).fill("first")
    wanted[0] = "first"
    assert whole.input_value() == "\n".join(wanted)
    for name in ("text", "json"):
        tab.select_option("#tr-format", name)
        content = tab.saved(lambda: tab.click("#tr-download"))[1]
        assert (json.loads(content)["text"] if name == "json" else content.rstrip("\n")).split("\n") == wanted
    page = json.loads(content)
    assert all(len(line["polygon"]) > 2 and line["words"] for line in page["lines"])
    while tab.locator("#tr-undo").is_enabled():
        tab.click("#tr-undo")
    assert tab.texts() == before
    while tab.locator("#tr-redo").is_enabled():
        tab.click("#tr-redo")
    assert tab.texts() == wanted


def test_lines_are_added_split_joined_moved_and_deleted_by_keyboard(tab, picture):
    fields = tab.read(picture)
    one, two, three = tab.texts()
    fields.nth(0).click()
    tab.keyboard.press("Home")
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Control+Enter")
    assert tab.texts() == [one[:3].rstrip(), one[3:].lstrip(), two, three]
    tab.keyboard.press("Backspace")
    assert tab.texts() == [f"{one[:3].rstrip()} {one[3:].lstrip()}", two, three]
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+z")
    assert tab.texts() == [one, two, three]
    fields.nth(1).click()
    tab.keyboard.press("Alt+Enter")
    tab.keyboard.type("between")
    assert tab.texts() == [one, two, "between", three]
    assert tab.locator("#tr-outlines .outline").count() == 4
    tab.keyboard.press("Alt+Shift+ArrowUp")
    assert tab.texts() == [one, "between", two, three]
    tab.keyboard.press("Alt+Delete")
    assert tab.texts() == [one, two, three]
    tab.keyboard.press("Control+f")
    tab.keyboard.type("o")
    tab.fill("#tr-replacement", "0")
    tab.get_by_role("button", name="Replace all").click()
    assert tab.texts() == [text.replace("o", "0").replace("O", "0") for text in (one, two, three)]
    tab.keyboard.press("Escape")
    tab.click("#tr-undo")
    assert tab.texts() == [one, two, three]


def test_line_whose_other_readings_are_looked_at_is_the_current_one(tab):
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    tab.locator("#tr-lines textarea").nth(5).click()
    tab.locator("#tr-lines .other:visible").first.click()
    assert tab.locator("#tr-lines li.active .others button").count() > 0
    tab.locator("#tr-outlines .outline.active").wait_for()


def test_what_is_said_of_a_change_goes_with_the_next_one(tab, picture):
    tab.read(picture)
    before = tab.locator("#tr-status").inner_text()
    assert "3 lines read" in before
    tab.click("#tr-rotate")
    assert tab.locator("#tr-status").inner_text().startswith("Rotated")
    tab.click("#tr-undo")
    assert tab.locator("#tr-status").inner_text() == before
    tab.locator("#tr-lines textarea").nth(0).click()
    tab.select_option("#tr-kind", "heading", force=True)
    assert "Heading" in tab.locator("#tr-status").inner_text()
    tab.keyboard.press("Control+z")
    assert tab.locator("#tr-status").inner_text() == before


def test_what_is_found_is_marked_while_the_cursor_stays_in_the_search(tab, picture, blank):
    tab.read(picture)
    before = tab.texts()
    tab.keyboard.press("Control+f")
    tab.keyboard.type("o")
    found = "[...document.querySelectorAll('#tr-lines .found')].map((one) => one.textContent)"
    assert tab.evaluate(found) == []
    places = set()
    for _ in range(2):
        tab.keyboard.press("Enter")
        assert tab.evaluate(found) == ["o"] and tab.evaluate("document.activeElement.id") == "tr-query"
        places.add(str(tab.locator("#tr-lines .found").bounding_box()))
        tab.until("document.querySelector('#tr-outlines .word').getAttribute('points')")
    assert len(places) == 2
    tab.keyboard.press("Escape")
    assert tab.evaluate(found) == [] and tab.texts() == before
    tab.keyboard.press("Control+f")
    assert tab.locator("#tr-matches").inner_text() == f"{''.join(before).count('o')} found"
    tab.give(blank)  # another page is shown
    tab.until("document.querySelector('#tr-matches').textContent === 'Not found'")


def test_next_doubt_selects_the_word(tab):
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    marked = tab.eval_on_selector_all("#tr-lines mark", "marks => marks.map((mark) => mark.textContent)")
    found = []
    for _ in marked:
        tab.keyboard.press("F8")
        selected = "(({ value, selectionStart: a, selectionEnd: b }) => value.slice(a, b))(document.activeElement)"
        found.append(tab.evaluate(selected))
    assert found == marked


def test_place_of_a_line_is_drawn_by_keyboard(tab, picture):
    tab.read(picture).nth(1).click()
    shape = "document.querySelectorAll('#tr-outlines .outline polygon')[1].getAttribute('points')"
    before = tab.evaluate(shape)
    tab.click("#tr-draw")
    for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
        tab.keyboard.press(key)
    assert tab.evaluate(shape) != before
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Line 2"


@pytest.mark.parametrize("width", [1280, 1000])
def test_current_line_and_its_place_are_both_in_view_on_a_long_page(service, browse, width):
    tab = browse(service.url, viewport={"width": width, "height": 720}, reduced_motion="reduce")
    tab.read(tab.answers([f"line {row}" for row in range(60)])).nth(0).click()
    for row in range(60):
        tab.wait_until_in_view()
        assert tab.evaluate("document.activeElement.value") == f"line {row}"
        tab.keyboard.press("Enter")


def test_doubt_is_reported_in_words_and_by_shape(tab):
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    dashes = tab.eval_on_selector_all(
        "#tr-outlines .outline > polygon", "shapes => shapes.map((shape) => getComputedStyle(shape).strokeDasharray)"
    )
    labels = tab.eval_on_selector_all(
        "#tr-outlines .outline", "all => all.map((one) => one.getAttribute('aria-label'))"
    )
    assert len(set(dashes)) > 1
    assert all(("sure" in label) == (dash == "none") for label, dash in zip(labels, dashes, strict=True))
    marked = tab.eval_on_selector_all("#tr-lines mark", "marks => marks.map((mark) => mark.textContent)")
    described = " ".join(tab.eval_on_selector_all("#tr-lines .doubts", "all => all.map((one) => one.textContent)"))
    assert marked and all(word in described for word in marked)


@pytest.mark.parametrize("half", [0, 1])  # Chromium asks before a page's eleventh download
def test_every_format_is_downloaded_with_the_corrections(tab, service, picture, half):
    tab.read(picture)
    tab.locator("#tr-lines textarea").nth(0).fill("zebra crossing")
    for name in service.http.get("/v1/models").json()["formats"][half::2]:
        tab.select_option("#tr-format", name)
        with tab.expect_download() as saved:
            tab.click("#tr-download")
        assert saved.value.suggested_filename.startswith("page.")
        content = Path(saved.value.path()).read_bytes()
        assert content or name == "tables"  # there is none
        if name in ("text", "json", "alto", "page", "hocr"):
            assert b"zebra" in content, name
        if name == "json":
            assert json.loads(content)["lines"][0]["text"] == "zebra crossing"


def test_text_is_copied(service, browse, picture):
    tab = browse(service.url, permissions=["clipboard-read", "clipboard-write"])
    tab.read(picture)
    tab.get_by_role("button", name="Copy text").click()
    tab.until("document.querySelector('#tr-status').textContent === 'Text copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == "\n".join(tab.texts())


def test_markup_in_texts_and_names_stays_text(tab, service, picture):
    evil = "<img src=x onerror=window.hit=1><script>window.hit=1</script>${window.hit=1}{{7*7}}"

    def answered(route):
        line = {
            "text": evil, "confidence": 0.5, "polygon": [[5, 5], [90, 5], [90, 30], [5, 30]], "baseline": [],
            "alternatives": [evil + "2"],
            "words": [{"text": evil, "confidence": 0.1, "polygon": [[5, 5], [9, 5], [9, 9]]}],
        }  # fmt: skip
        page = {"format": 1, "source": "", "model": evil, "width": 480, "height": 240, "text": evil, "lines": [line]}
        events = [
            ("layout", {"width": 480, "height": 240, "polygons": [line["polygon"]]}),
            ("line", line),
            ("page", {**page, "request_id": "r", "timings": {"total": 1}}),
        ]
        body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        route.fulfill(body=body, content_type="text/event-stream")

    tab.route("**/v1/read*", answered)
    tab.read(picture, name=f"{evil.replace('/', '')}.png")
    tab.locator("#tr-outlines .outline").hover()
    tab.locator("#tr-lines .other").click()
    tab.locator("#tr-lines .others button").first.click()
    assert tab.texts() == [evil + "2"]
    tab.get_by_role("tab", name="Whole text").click()
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.hit") is None
    assert tab.locator("#reader img[src=x]").count() == 0
