"""The picture beside the text: what is shown on it, and how its lines are found in it."""

import io

import numpy as np
import pytest
from PIL import Image

INSIDE = """[...document.querySelectorAll('#tr-tags .tag')].map((tag) => {
  const { left, right, top, bottom } = tag.getBoundingClientRect();
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  return [...document.querySelectorAll('#tr-outlines .outline')].filter((line) => {
    const place = line.getBoundingClientRect();
    return x > place.left && x < place.right && y > place.top && y < place.bottom;
  }).length;
})"""
WORD = "document.querySelector('#tr-outlines .word[points]:not([points=\"\"])')"
CURSOR = "[document.activeElement.getAttribute('aria-label'), document.activeElement.selectionStart]"


def test_numbers_stand_before_their_lines_however_the_picture_lies(tab):
    tab.read(tab.answers(["one", "two", "three", "four"]))
    for turns in range(4):
        tab.until(f"document.querySelector('#tr-image').naturalWidth === {(1000, 300)[turns % 2]}")
        assert tab.evaluate(INSIDE) == [0, 0, 0, 0], turns
        tab.click("#tr-rotate")


def _shades(tab, row):
    """What the strip of a line shows: mean darkness of its left and right half, 0 white … 255 black, and its shape."""
    return tab.evaluate(
        f"""(() => {{ const strip = document.querySelectorAll('#tr-lines .strip')[{row}];
        const half = (from) => {{
          const data = strip.getContext('2d').getImageData(from, 0, strip.width / 2, strip.height).data;
          let sum = 0;
          for (let at = 0; at < data.length; at += 4) sum += (255 - data[at]) * data[at + 3] / 255;
          return (4 * sum) / data.length;
        }};
        return [half(0), half(strip.width / 2), strip.width / strip.height]; }})()"""
    )


def test_strip_of_a_line_is_level_and_shows_its_neighbours_faintly(service, browse):
    tab = browse(service.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    # The first line has a loop that reaches into the second one, between 450 and 500.
    loop = [[50, 20], [900, 20], [900, 60], [500, 60], [500, 100], [450, 100], [450, 60], [50, 60]]
    tab.answers(["one", "two"], outlines=[loop])
    page = np.full((200, 1000), 255, np.uint8)
    page[20:60, 50:475] = 0  # the left half of the first line
    page[70:110, 50:900] = 0  # the second line
    stored = io.BytesIO()
    Image.fromarray(page).save(stored, "PNG")
    tab.read(stored.getvalue())
    tab.until("document.querySelector('#tr-lines .strip').width > 300")
    upright = _shades(tab, 0)
    assert 100 < upright[0] < 180 and 10 < upright[1] < 50 and upright[2] == pytest.approx(850 / 80, rel=0.1)
    for width in (200, 1000, 200):  # on its side, on its head, on its other side
        tab.click("#tr-rotate")
        tab.until(f"document.querySelector('#tr-image').naturalWidth === {width}")
        tab.until("(({ width, height }) => width / height)(document.querySelector('#tr-lines .strip')) > 8")
        assert _shades(tab, 0) == pytest.approx(upright, rel=0.1, abs=12)


def test_word_of_the_cursor_is_shown_on_the_picture_and_a_click_leads_to_it(tab, picture):
    field = tab.read(picture).nth(1)
    words = tab.texts()[1].split()
    field.click()
    points, places = "document.querySelector('#tr-outlines .word')?.getAttribute('points')", []
    field.press("Home")
    for number in range(len(words)):
        before = tab.evaluate(points) if number else ""
        at = len(" ".join(words[: number + 1]))
        field.evaluate(f"field => field.setSelectionRange({at}, {at})")
        tab.until(f"{points} && {points} !== {before!r}")
        place = tab.locator("#tr-outlines .word").bounding_box()
        places.append((place["x"] + place["width"] / 2, place["y"] + place["height"] / 2))
    assert places == sorted(places) and len(places) > 2
    tab.locator("#tr-lines textarea").nth(0).click()
    tab.mouse.click(*places[1])
    assert tab.evaluate(CURSOR) == ["Line 2", len(" ".join(words[:2]))]

    def show(key, number):
        field.press(key)
        x = places[number][0]
        tab.until(
            f"(({{ left, right }}) => left < {x} && right > {x})(({WORD} ?? document.head).getBoundingClientRect())"
        )

    field.fill(" ".join(["X", *words[1:]]))
    show("End", -1)
    show("Home", 0)  # a word that was corrected stands where it stood
    field.fill(" ".join(["X", "Y", *words[1:]]))
    show("End", -1)
    field.press("Home")
    tab.until(f"!{WORD}")  # a new word has no place
    tab.get_by_role("tab", name="Whole text").click()
    tab.mouse.click(*places[1])
    whole = "(({ id, value, selectionStart }) => [id, value.slice(0, selectionStart).split('\\n').at(-1)])"
    assert tab.evaluate(f"{whole}(document.activeElement)") == ["tr-whole", " ".join(["X", "Y", words[1]])]
    assert not tab.errors


def test_doubts_go_from_the_picture_when_a_line_is_corrected(tab):
    tab.click("#tr-examples button >> nth=0")
    tab.wait_until_read()
    number = tab.evaluate(
        "[...document.querySelectorAll('#tr-lines li')].findIndex((row) => row.querySelector('mark'))"
    )
    field = tab.locator("#tr-lines textarea").nth(number)
    field.click()
    assert tab.locator("#tr-outlines .doubted polygon").count() > 0
    field.fill("corrected")
    assert tab.locator("#tr-outlines .doubted polygon").count() == 0


def test_zoomed_picture_follows_the_cursor_along_the_line(service, browse, picture):
    tab = browse(service.url, reduced_motion="reduce")
    field = tab.read(picture).nth(0)
    for _ in range(6):
        tab.click("#tr-larger")
    field.click()
    places = f"[{WORD}, document.querySelector('#tr-view')].map((one) => one.getBoundingClientRect())"
    seen = f"(([word, view]) => word.left >= view.left && word.right <= view.right)({places})"
    for key in ("End", "Home", "End"):
        field.press(key)
        tab.until(f"{WORD} && {seen}")
    assert tab.evaluate("document.querySelector('#tr-view').scrollLeft") > 0


def test_crop_begins_with_the_whole_page_in_view(service, browse):
    tab = browse(service.url, viewport={"width": 1280, "height": 720})
    tab.read(tab.answers([f"line {row}" for row in range(60)]))
    width = tab.evaluate("document.querySelector('#tr-paper').clientWidth")
    tab.click("#tr-crop")
    box, view = (tab.locator(name).bounding_box() for name in ("#tr-outlines .box", "#tr-view"))
    assert box["y"] >= view["y"] and box["y"] + box["height"] <= view["y"] + view["height"]
    tab.keyboard.press("Escape")
    tab.until(f"document.querySelector('#tr-paper').clientWidth === {width}")


def test_strip_of_paper_is_shown_large_enough_to_read(tab):
    stored = io.BytesIO()
    Image.fromarray(np.full((60, 4000), 235, np.uint8)).save(stored, "PNG")
    tab.read(stored.getvalue())
    tab.until("document.querySelector('#tr-paper').clientHeight >= 60")
    tab.click("#tr-fit")
    tab.until("document.querySelector('#tr-paper').clientHeight < 30")
