"""Whom the page is for: phones, keyboards, screen readers, dark rooms, weak eyes."""

import re
from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def test_phone_shows_all_without_scrolling_sideways(service, browse):
    tab = browse(service.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    fits = "document.documentElement.scrollWidth <= 390"
    assert tab.evaluate(fits)
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    assert tab.evaluate(fits)
    tab.get_by_role("tab", name="Whole text").click()
    assert tab.evaluate(fits)
    tab.get_by_role("tab", name="Line by line").click()
    assert tab.locator("#tr-lines textarea").first.bounding_box()["width"] > 200
    expect(tab.locator("#tr-lines .strip").first).to_be_visible()
    tab.until("[...document.querySelectorAll('#tr-lines .strip')].every(({ width }) => width > 20 && width !== 300)")


ROWS = """new Set([...document.querySelectorAll('#reader .tools button')].filter((one) => one.checkVisibility())
  .map((one) => Math.round((one.getBoundingClientRect().top + one.getBoundingClientRect().bottom) / 20))).size"""


@pytest.mark.parametrize(
    ("width", "words", "rows"), [(1280, 1, 1), (1280, 15, 2), (1000, 15, 2), (390, 15, 2), (360, 15, 2)]
)
def test_tools_take_one_row_or_two(service, browse, width, words, rows):
    phone = {"has_touch": True, "is_mobile": True} if width < 500 else {}
    tab = browse(service.url, viewport={"width": width, "height": 800}, **phone)
    tab.read(tab.answers(["word? " * words] * 9))
    assert tab.locator("#tr-doubt").inner_text() == f"Next doubt ({9 * words})"
    assert tab.evaluate(ROWS) <= rows
    tab.locator("#tr-lines textarea").first.click()
    tab.click("#tr-block")
    box = tab.locator("#tr-block-menu").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert tab.locator("#tr-keys").is_visible() == (not phone)


def test_tools_of_a_phone_stay_in_view(service, browse):
    tab = browse(service.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.read(tab.answers([f"line {row}" for row in range(60)]))
    for row in (40, 12):  # down, and up again below the tools
        tab.evaluate(f"document.querySelectorAll('#tr-lines textarea')[{row}].focus()")
        tab.locator("#tr-lines textarea").nth(row).press("Enter")
        tab.until("document.querySelector('#reader .tools').getBoundingClientRect().top >= 0")
        tab.until(
            "document.querySelector('#reader .tools').getBoundingClientRect().bottom"
            " <= document.activeElement.getBoundingClientRect().top"
        )
    assert tab.locator("#tr-undo").bounding_box()["y"] < 844
    tab.locator("#tr-find").tap()
    for field in ("#tr-query", "#tr-replacement"):
        assert tab.locator(field).bounding_box()["width"] > 120
    tab.locator("#tr-query").fill("line")
    assert tab.evaluate("document.documentElement.scrollWidth <= 390")


def test_box_is_drawn_by_a_finger_without_a_word_of_keys(service, browse, picture):
    tab = browse(service.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.read(picture)
    size = "String(document.querySelector('#tr-outlines').viewBox.baseVal.width)"
    before = tab.evaluate(size)
    tab.click("#tr-crop")
    told = tab.locator("#tr-status").inner_text()
    assert "touch the button again" in told and "Enter" not in told
    box = tab.locator("#tr-image").bounding_box()
    tab.touchscreen.tap(box["x"] + 50, box["y"] + 50)  # no box: nothing happens yet
    assert tab.locator("#tr-outlines .box").count() == 1
    tab.click("#tr-crop")
    assert tab.locator("#tr-outlines .box").count() == 0 and tab.evaluate(size) == before
    tab.click("#tr-crop")
    tab.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=4)
    tab.mouse.up()
    tab.until(f"{size} !== {before!r}")


def test_screen_readers_get_the_name_of_everything(tab, picture):
    tab.read(picture)
    told = tab.locator("#reader").aria_snapshot()
    for part in (
        'heading "Text Recognizer" [level=1]', 'radio "Accurate" [checked]', 'button "New picture"', 'status:',
        'img "The page that is read"', 'textbox "Line 1"', 'tab "Line by line" [selected]', 'button "Copy text"',
        'combobox "Format of the file"', 'heading "Picture" [level=2]', 'button "Larger"',
    ):  # fmt: skip
        assert part in told, told
    assert re.search(r'button "Line 2, (sure|some doubt|much doubt), \d+ %: ', told)
    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.title() == "Text Recognizer"
    nameless = tab.evaluate(
        "[...document.querySelectorAll('#reader :is(button, input, textarea, select)')].filter((one) =>"
        " !one.labels?.length && !one.getAttribute('aria-label') && !one.textContent.trim()"
        " && one.getAttribute('aria-hidden') !== 'true').map((one) => one.outerHTML)"
    )
    assert not nameless


CONTRAST = """() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * (top[3] ?? 1) + under[i] * (1 - (top[3] ?? 1)));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(parse(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const element of document.querySelectorAll('#reader *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own && !element.matches('textarea, select')) continue;
    if (!element.checkVisibility() || element.closest('.mirror, .sr, :disabled:not(.primary)')) continue;
    const under = ground(element);
    const both = [light(over(parse(getComputedStyle(element).color), under)), light(under)].sort((x, y) => y - x);
    const ratio = (both[0] + 0.05) / (both[1] + 0.05);
    if (ratio < 4.5) poor.push([element.outerHTML.slice(0, 90), ratio.toFixed(2)]);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa(service, browse, scheme):
    tab = browse(service.url, color_scheme=scheme, reduced_motion="reduce")  # no colour between two others
    tab.wait_for_selector("#tr-examples button")
    assert tab.evaluate(CONTRAST) == []
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    tab.locator("#tr-lines textarea").nth(0).fill("corrected")
    tab.locator("#tr-lines .other:visible").first.click()
    tab.evaluate("document.querySelector('#tr-download').disabled = true")
    assert tab.evaluate(CONTRAST) == []
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
    tab.on("dialog", lambda dialog: dialog.accept())  # corrections will be lost
    tab.give(b"nonsense")
    tab.wait_for_selector("#tr-alert:visible")
    assert tab.evaluate(CONTRAST) == []


AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def _axe(tab):
    """A function that asserts that axe finds nothing in the present state, which it names."""
    tab.evaluate(AXE.read_text(encoding="utf-8"))

    def check(state):
        found = tab.evaluate("axe.run('#reader').then(({ violations }) => violations)")
        assert not found, (state, [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found])

    return check


needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe is not installed: run make scripts")


@needs_axe
@pytest.mark.parametrize(
    ("browse_each", "scheme"),
    [("chromium", "light"), ("chromium", "dark"), ("firefox", "light")],
    indirect=["browse_each"],
)
def test_axe_finds_nothing_in_any_state(service, browse_each, blank, scheme):
    tab = browse_each(service.url, color_scheme=scheme, reduced_motion="reduce")
    tab.wait_for_selector("#tr-examples button")
    check = _axe(tab)
    check("start")
    tab.evaluate("document.querySelector('#tr-key-box').hidden = false")
    check("a key is asked for")
    tab.evaluate("document.querySelector('#tr-camera').showModal()")
    check("camera")
    tab.click("#tr-camera-close")
    tab.click("#tr-examples button >> nth=0")
    tab.wait_for_selector("#tr-progress:visible")
    check("while it is read")
    tab.wait_until_read()
    check("read")
    tab.locator("#tr-lines .other:visible").first.click()
    tab.click("#tr-find")
    check("search")
    tab.click("#tr-crop")
    check("crop")
    tab.keyboard.press("Escape")
    tab.get_by_role("tab", name="Whole text").click()
    check("whole text")
    tab.click("#tr-keys")
    check("keys")
    tab.click("#tr-help-close")
    tab.give(blank)
    tab.wait_for_selector("#tr-nothing:visible")
    check("blank page, one of several")
    tab.set_viewport_size({"width": 390, "height": 844})
    check("phone")
    tab.give(b"nonsense")
    tab.wait_for_selector("#tr-alert:visible")
    check("error")


@needs_axe
@pytest.mark.parametrize(
    ("browse_each", "scheme"), [("chromium", "light"), ("chromium", "dark")], indirect=["browse_each"]
)
def test_axe_finds_nothing_in_tables_and_where_pages_were_forgotten(mounted, browse_each, scheme, tmp_path):
    with mounted(feedback=str(tmp_path)) as service:
        tab = browse_each(service.url, color_scheme=scheme, reduced_motion="reduce")
        check = _axe(tab)
        rows = [{"kind": "row", "start": n, "stop": n + 2} for n in (1, 3)]
        blocks = [
            {"kind": "heading", "start": 0, "stop": 1},
            {"kind": "table", "start": 1, "stop": 5, "blocks": rows},
        ]
        places = [(100, 0), (100, 50), (400, 50), (100, 100), (400, 100)]
        tab.read(tab.answers(["Wages", "Ann", "3 d?", "Bea", "5 d"], blocks=blocks, places=places))
        check("table")
        tab.locator("#tr-lines textarea").nth(2).click()
        tab.keyboard.press("Alt+k")
        check("tools for a block")
        tab.keyboard.press("Escape")
        tab.get_by_role("tab", name="Whole text").click()
        check("table as text")
        tab.get_by_role("tab", name="Line by line").click()
        tab.locator("#tr-lines textarea").nth(2).fill("3 s")
        tab.set_viewport_size({"width": 390, "height": 844})
        check("table on a phone")
        tab.set_viewport_size({"width": 1280, "height": 900})
        tab.route("**/v1/feedback/*", lambda route: route.fulfill(status=204))
        tab.click("#tr-forget")
        tab.until("document.querySelector('#tr-said').className === 'done'")
        tab.until("!document.querySelector('#tr-forget').disabled")
        check("deleted at the service")
        tab.click("#tr-new")
        tab.click("#tr-start [data-forget-all]")
        tab.wait_for_selector("#tr-alert:visible")
        check("forgotten")
        tab.get_by_role("button", name="Undo", exact=True).first.click()
        tab.wait_for_selector("#tr-lines textarea")
        check("no longer forgotten")
        assert not tab.errors


def test_cells_of_a_row_stand_side_by_side(service, browse):
    tab = browse(service.url)
    rows = [{"kind": "row", "start": n, "stop": n + 3} for n in (1, 4)]
    blocks = [{"kind": "paragraph", "start": 0, "stop": 1}, {"kind": "table", "start": 1, "stop": 7, "blocks": rows}]
    tab.read(tab.answers(["Wages", "Ann", "3 d?", "May", "Bea", "5 d", "June"], blocks=blocks))
    fields = tab.locator("#tr-lines textarea")

    def places(axis):
        return [round(fields.nth(n).bounding_box()[axis]) for n in range(7)]

    tops, lefts = places("y"), places("x")
    assert tops[1] == tops[2] == tops[3] < tops[4] == tops[5] == tops[6] and tops[0] < tops[1]
    assert lefts[1:4] == lefts[4:] == sorted(set(lefts[1:4]))
    focused = "document.activeElement.getAttribute('aria-label')"
    fields.nth(2).click()
    for key, line in (("ArrowDown", 6), ("ArrowUp", 3), ("ArrowUp", 1), ("ArrowDown", 2), ("Enter", 3), ("Enter", 4)):
        tab.keyboard.press(key)
        assert tab.evaluate(focused) == f"Line {line}"
    tab.set_viewport_size({"width": 390, "height": 844})
    tops, lefts = places("y"), places("x")
    assert tops[0] < tops[1] == tops[2] == tops[3] < tops[4] == tops[5] == tops[6]
    assert lefts[1:4] == lefts[4:] == sorted(set(lefts[1:4]))


def test_four_cells_of_a_row_are_two_by_two_on_a_phone(service, browse):
    tab = browse(service.url, viewport={"width": 390, "height": 844})
    rows = [{"kind": "row", "start": 0, "stop": 4}]
    tab.read(
        tab.answers(["Ann", "3 d", "May", "paid"], blocks=[{"kind": "table", "start": 0, "stop": 4, "blocks": rows}])
    )
    fields = tab.locator("#tr-lines textarea")
    boxes = [fields.nth(n).bounding_box() for n in range(4)]
    tops, lefts = ([round(box[axis]) for box in boxes] for axis in ("y", "x"))
    assert tops[0] == tops[1] < tops[2] == tops[3]
    assert lefts[0] == lefts[2] < lefts[1] == lefts[3]


def test_text_runs_the_way_of_its_script(tab):
    tab.read(tab.answers(["one", "two"]))
    tab.locator("#tr-lines textarea").nth(0).fill("שלום, 12 עולם.")
    ways = "[...document.querySelectorAll('#tr-lines :is(textarea, .mirror)')].map((one) => one.matches(':dir(rtl)'))"
    assert tab.evaluate(ways) == [True, True, False, False]
    tab.get_by_role("tab", name="Whole text").click()
    assert tab.evaluate("getComputedStyle(document.querySelector('#tr-whole')).unicodeBidi") == "plaintext"


def test_reduced_motion_is_respected(service, browse, picture):
    tab = browse(service.url, reduced_motion="reduce")
    tab.read(picture)
    moving = tab.evaluate(
        "[...document.querySelectorAll('#reader *')].filter((one) =>"
        " parseFloat(getComputedStyle(one).transitionDuration) > 0).length"
    )
    assert moving == 0
