"""What people say of a reading, from a real browser into a real store."""

import html
import io
import re
import sqlite3
import zipfile

import pypdfium2
import pytest
from PIL import Image

from text_recognizer.feedback.store import Store

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="module")
def keeping(mounted, tmp_path_factory):
    """A service with the page that keeps feedback, and its store."""
    folder = tmp_path_factory.mktemp("kept") / "feedback"
    with mounted(feedback=str(folder)) as service:
        service.folder, service.store = folder, Store.open(folder)
        yield service


@pytest.fixture
def tab(keeping, browse):
    return browse(keeping.url)


def records(keeping):
    return list(keeping.store.records())


def send(tab, wait_for):
    tab.get_by_role("button", name="Send", exact=True).click()
    tab.until(f"document.querySelector('#tr-said').textContent.includes({wait_for!r})")
    return tab.locator("#tr-said").inner_text()


def test_corrections_flag_and_comment_are_stored_with_the_picture(tab, keeping, picture):
    before = len(records(keeping))
    fields = tab.read(picture)
    assert len(records(keeping)) == before  # nothing is stored of a page that nobody says anything of
    fields.nth(0).fill("the quick straße ψ")
    tab.get_by_label("incorrect").check()
    tab.get_by_label("Comment").fill("<b>first</b> line <script>window.hit=1</script>")
    tab.get_by_label("I checked all lines").check()
    told = send(tab, "Stored")
    assert "the picture" in told and "“incorrect”" in told and "does not know ψ" in told
    [record] = records(keeping)[before:]
    said = record.correction
    assert said.lines == tuple(tab.texts()) and said.checked and said.flag == "incorrect"
    assert said.comment == "<b>first</b> line <script>window.hit=1</script>"
    assert Image.open(io.BytesIO(keeping.store.image(record.reading))).size == (480, 240)
    assert tab.evaluate("window.hit") is None


def test_only_changes_are_sent_and_nothing_where_there_is_no_feedback(tab, keeping, picture):
    tab.read(picture)
    before = len(records(keeping))
    assert "nothing to send" in send(tab, "nothing to send")
    assert len(records(keeping)) == before
    tab.get_by_label("offensive").check()
    send(tab, "Stored")
    [record] = records(keeping)[before:]
    assert record.flags == ("offensive",) and record.correction is None
    send(tab, "Stored")
    assert len(records(keeping)[-1].feedback) == 1  # the same words are kept once


def test_whole_text_is_sent_where_it_does_not_go_by_the_lines(tab, keeping, picture):
    tab.read(picture)
    tab.get_by_role("tab", name="Whole text").click()
    tab.locator("#tr-whole").fill("all in one line")
    assert "the whole text" in send(tab, "Stored")
    assert (records(keeping)[-1].correction.text, records(keeping)[-1].correction.lines) == ("all in one line", None)


def words_of(content):
    """The words of a file that was downloaded, in their order."""
    if content.startswith(b"%PDF"):
        return pypdfium2.PdfDocument(content)[0].get_textpage().get_text_bounded().split()
    if content.startswith(b"PK"):
        content = zipfile.ZipFile(io.BytesIO(content)).read("word/document.xml")
    text = re.sub(r"<[^<>]*CONTENT=\"([^\"]*)\"[^<>]*>", r" \1 ", content.decode())  # ALTO's words are attributes
    return re.findall(r"\b(?:kept|gone|emptied|added)[a-z]*", html.unescape(re.sub("<[^<>]*>", " ", text)))


def unique(words):
    return list(dict.fromkeys(words))  # some formats have each word again, in its line or its alternatives


@pytest.mark.parametrize("added", [False, True])
def test_lines_that_were_deleted_are_neither_in_feedback_nor_in_any_file(tab, keeping, added):
    rows = [{"kind": "row", "start": n, "stop": n + 2} for n in (1, 3)]
    blocks = [
        {"kind": "heading", "start": 0, "stop": 1},
        {"kind": "table", "start": 1, "stop": 5, "blocks": rows},
        {"kind": "paragraph", "start": 5, "stop": 7},
    ]
    texts = ["keptone", "gonetwo", "keptthree", "keptfour", "emptiedfive", "gonesix", "keptseven"]
    places = [(100, 0), (100, 50), (400, 50), (100, 100), (400, 100), (100, 150), (100, 200)]
    tab.read(tab.answers(texts, blocks=blocks, places=places))
    for row in (5, 1):
        tab.locator("#tr-lines textarea").nth(row).press("Alt+Delete")
    tab.locator("#tr-lines textarea").nth(3).fill("")
    wanted = ["keptone", "keptthree", "keptfour", "keptseven"]
    if added:
        tab.locator("#tr-lines textarea").nth(0).press("Alt+Enter")
        tab.keyboard.type("addedeight")
        wanted.insert(1, "addedeight")
    for name in tab.eval_on_selector_all("#tr-format option", "all => all.map((one) => one.value)"):
        tab.select_option("#tr-format", name)
        found = unique(words_of(tab.saved_bytes(lambda: tab.click("#tr-download"))[1]))
        assert found == [word for word in wanted if name != "tables" or word in ("keptthree", "keptfour")], name
    tab.get_by_label("I checked all lines").check()
    send(tab, "Stored")
    correction = records(keeping)[-1].correction
    if added:
        assert (correction.lines, unique(correction.text.split())) == (None, wanted)
    else:
        assert correction.lines == tuple(text if text in wanted else "" for text in texts)


def test_forgotten_page_leaves_nothing(tab, keeping, picture):
    before = len(records(keeping))
    tab.read(picture).nth(1).fill("to be forgotten")
    send(tab, "Stored")
    assert len(records(keeping)) == before + 1
    tab.get_by_role("button", name="Delete what the service stored").click()
    tab.until("document.querySelector('#tr-said').textContent.includes('has forgotten')")
    assert len(records(keeping)) == before
    assert tab.texts()[1] == "to be forgotten"
    send(tab, "Stored")  # who changes his mind sends page and picture anew
    assert records(keeping)[-1].correction.lines[1] == "to be forgotten"


def test_store_that_fails_costs_nothing_that_was_typed(tab, keeping, picture):
    tab.read(picture)
    tab.get_by_label("other", exact=True).check()
    send(tab, "Stored")
    tab.locator("#tr-lines textarea").nth(0).fill("typed with care")
    tab.get_by_label("Comment").fill("and this")
    locked = sqlite3.connect(keeping.folder / "feedback.db", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    try:
        told = send(tab, "could not be stored")
    finally:
        locked.rollback()
        locked.close()
    assert "still here" in told
    assert tab.locator("#tr-said").get_attribute("role") == "alert"
    assert tab.texts()[0] == "typed with care" and tab.get_by_label("Comment").input_value() == "and this"
    send(tab, "Stored")
    assert records(keeping)[-1].correction.comment == "and this"


@pytest.mark.parametrize(
    ("text", "told"), [("x" * 1_000_000, "20,000"), ("", "Stored"), ("漢字 🙂 \u202e", "does not know")]
)
def test_odd_corrections_are_stored_or_refused_in_words(tab, keeping, picture, text, told):
    tab.read(picture)
    tab.locator("#tr-lines textarea").nth(0).evaluate(
        "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }", text
    )
    send(tab, told)
    assert tab.texts()[0] == text
    if len(text) < 100:
        assert records(keeping)[-1].correction.lines[0] == text


def test_service_that_has_forgotten_the_reading_gets_it_once_more(mounted, browse, picture, tmp_path):
    with mounted(feedback=str(tmp_path / "feedback"), remember_seconds=0) as service:
        tab = browse(service.url)
        tab.read(picture).nth(2).fill("said much later")
        send(tab, "Stored")
        [record] = list(Store.open(tmp_path / "feedback").records())
        assert record.correction.lines[2] == "said much later" and record.reading.image


def test_without_feedback_there_is_nothing_to_send_and_a_line_says_what_is_stored(service, browse, picture):
    tab = browse(service.url)
    tab.read(picture)
    expect(tab.locator(".side [data-stored]")).to_contain_text("not stored")
    assert not tab.locator("#tr-say").is_visible()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Nothing is stored unless you send feedback"),
        ({"log_readings": 1.0, "log_content": "images"}, "every reading for 30 days: the picture and its text"),
        ({"log_readings": 0.1}, "a sample of the readings (10 %) for 30 days: figures, without text or picture"),
    ],
)
def test_page_says_what_is_stored(mounted, browse, tmp_path, settings, words):
    with mounted(feedback=str(tmp_path / "feedback"), **settings) as service:
        tab = browse(service.url)
        tab.until("document.querySelector('[data-stored]').textContent")
        assert words in tab.locator("#tr-start [data-stored]").inner_text()


def test_page_alone_passes_feedback_on(keeping, alone, browse, picture):
    with alone(keeping.url) as before:
        tab = browse(before.url)
        tab.read(picture).nth(0).fill("from afar")
        send(tab, "Stored")
        assert records(keeping)[-1].correction.lines[0] == "from afar"
        tab.get_by_role("button", name="Delete what the service stored").click()
        tab.until("document.querySelector('#tr-said').textContent.includes('has forgotten')")


def test_two_people_who_correct_the_same_picture_do_not_see_each_other(keeping, browse, picture):
    before = len(records(keeping))
    one, other = browse(keeping.url), browse(keeping.url)
    one.read(picture).nth(0).fill("what the first one wrote")
    other.read(picture)
    assert "what the first one wrote" not in other.content() + "".join(other.texts())
    other.locator("#tr-lines textarea").nth(0).fill("what the other one wrote")
    send(one, "Stored")
    send(other, "Stored")
    written = [record.correction.lines[0] for record in records(keeping)[before:]]
    assert sorted(written) == ["what the first one wrote", "what the other one wrote"]
    one.get_by_role("button", name="Delete what the service stored").click()
    one.until("document.querySelector('#tr-said').textContent.includes('has forgotten')")
    [left] = records(keeping)[before:]
    assert left.correction.lines[0] == "what the other one wrote"
    assert one.texts()[0] == "what the first one wrote" and other.texts()[0] == "what the other one wrote"
