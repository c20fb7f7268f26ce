"""The web page as people have it: real servers on loopback, a real browser."""

import base64
import contextlib
import io
import json
import shutil
import time
from functools import partial
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from text_recognizer.app import forward
from text_recognizer.app.mounted import create_app
from text_recognizer.service.settings import Settings

PATIENCE = 120  # seconds that a wait may take: on busy cores a page of forty lines takes its time
# Of the page that is shown: none, right after another was given.
READ = "document.querySelector('#tr-work .pages [aria-current]')?.dataset.status === 'read'"
# The active line, in its field and on the picture.
IN_VIEW = """(() => {
  const inside = (one, frame) => {
    const [a, b] = [one, frame].map((each) => each.getBoundingClientRect());
    return a.top >= b.top - 1 && a.bottom <= b.bottom + 1 && a.top >= 0 && a.bottom <= innerHeight;
  };
  return inside(document.activeElement, document.querySelector('.side'))
    && inside(document.querySelector('.outline.active'), document.querySelector('#tr-view'));
})()"""
# Whether the browser's database holds the shown page, as it is shown, and nothing of pages that are forgotten.
STORED = """new Promise((resolve) => {
  const request = indexedDB.open('text-recognizer');
  request.onsuccess = () => {
    const transaction = request.result.transaction(['pages', 'documents']);
    const document_ = transaction.objectStore('documents').get(location.hash.replace('#page-', ''));
    const count = transaction.objectStore('pages').count();
    transaction.oncomplete = () => {
      request.result.close();
      const texts = (lines) => JSON.stringify(lines.map(({ text, value }) => text ?? value));
      const shown = location.hash ? [...document.querySelectorAll('#tr-lines textarea')] : [];
      resolve(count.result === document.querySelectorAll('#tr-work .pages li').length
        && texts(shown) === texts(document_.result?.state.lines ?? []));
    };
  };
})"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

FIREFOX_SETTINGS = {"media.navigator.streams.fake": True, "media.navigator.permission.disabled": True}  # a camera


@pytest.fixture(scope="session")
def mounted(serving, wait_until):
    """Context manager: the service with the page, by these settings."""

    @contextlib.contextmanager
    def run(**settings):
        app = create_app(Settings(**{"threads": 2, "feedback": "off", **settings}))
        with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
            wait_until(lambda: http.get("/readyz").status_code == 200)
            yield SimpleNamespace(url=url, http=http, app=app)

    return run


@pytest.fixture(scope="session")
def alone(serving):
    """Context manager: the page alone, in front of the service at an address."""

    @contextlib.contextmanager
    def run(address, key=None):
        with serving(forward.create_app(address, key)) as url, httpx.Client(base_url=url, timeout=60) as http:
            yield SimpleNamespace(url=url, http=http)

    return run


@pytest.fixture(scope="session")
def service(mounted):
    """One service with the page for all tests that only ask."""
    with mounted() as served:
        yield served


# Of each module anew: while it is open, playwright's event loop runs in this thread, where other tests start their own.
@pytest.fixture(scope="module")
def playwright():
    api = pytest.importorskip("playwright.sync_api")
    api.expect.set_options(timeout=1000 * PATIENCE)
    with api.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(playwright):
    if not CHROMIUM:
        pytest.skip("no Chromium here: the page is not tried in it")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def firefox(playwright):
    """A Firefox as systems have it, driven by WebDriver BiDi; it can be given no colour scheme."""
    if not FIREFOX:
        pytest.skip("no Firefox here: the page is not tried in it")
    refused = pytest.importorskip("playwright.sync_api").Error
    try:
        browser = playwright.firefox.launch(
            channel="moz-firefox", executable_path=FIREFOX, firefox_user_prefs=FIREFOX_SETTINGS
        )
    except refused as error:
        if "unknown command" not in str(error):
            raise
        pytest.skip("this Firefox is too old for this Playwright: the page is not tried in it")
    yield browser
    browser.close()


@pytest.fixture
def browse(chromium):
    """`browse(url)` opens the page in a window of its own; `.asked` and `.errors` hold its requests and complaints."""
    yield from _browsing(chromium)


@pytest.fixture(params=["chromium", "firefox"])
def each_browser(request):
    """One browser after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def browse_each(each_browser):
    """`browse` in one browser after the other."""
    yield from _browsing(each_browser)


@pytest.fixture
def tab(service, browse):
    """The page of the service that is shared."""
    return browse(service.url)


@pytest.fixture
def each_tab(service, browse_each):
    """`tab` in one browser after the other."""
    return browse_each(service.url)


def _browsing(browser):
    contexts = []

    def opened(url, script="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.add_init_script(script)
        contexts.append(context)
        tab = _shown(context, url)
        tab.wait_for_selector("#tr-choose")
        return tab

    yield opened
    for context in contexts:
        context.close()


def _shown(context, url):
    tab = context.new_page()
    tab.set_default_timeout(1000 * PATIENCE)
    tab.asked, tab.errors = [], []
    context.on("request", lambda request: tab.asked.append(request.url))
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("console", lambda message: "Security Policy" in message.text and tab.errors.append(message.text))
    tab.until = partial(_until, tab)
    tab.give, tab.read = partial(_give, tab), partial(_read, tab)
    tab.wait_until_read = partial(tab.until, READ)
    tab.wait_until_in_view = partial(tab.until, IN_VIEW)
    tab.wait_until_stored = partial(tab.until, STORED)
    tab.texts = lambda: tab.eval_on_selector_all("#tr-lines textarea", "all => all.map((field) => field.value)")
    tab.another = lambda: _shown(context, tab.url)  # another tab of the same browser, at the same page
    tab.answers = partial(_answers, tab)
    tab.saved, tab.saved_bytes = partial(_saved, tab), partial(_saved_bytes, tab)
    tab.goto(url)
    return tab


SAVING = """() => { window.saved = {}; const made = URL.createObjectURL;
  URL.createObjectURL = (blob) => { blob.arrayBuffer().then((bytes) => {
    window.saved.bytes = btoa(Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join('')); });
    return made(blob); };
  HTMLAnchorElement.prototype.click = function () { window.saved.name = this.download; }; }"""


def _saved(tab, act):
    """Name and text of the file that `act` saves."""
    name, content = _saved_bytes(tab, act)
    return [name, content.decode(errors="replace")]


def _saved_bytes(tab, act):
    """Name and content of the file that `act` saves: Firefox does not tell playwright of it."""
    tab.evaluate(SAVING)
    act()
    tab.until("window.saved.name && window.saved.bytes !== undefined")
    name, content = tab.evaluate("[window.saved.name, window.saved.bytes]")
    return name, base64.b64decode(content)


def _answers(tab, texts, blocks=(), places=(), outlines=()):
    """Let the service answer a reading with these lines, one below the other; words with a ? are in doubt.

    `places`: of short lines, left and top. `outlines`: of the first lines.
    """
    lines = []
    for row, text in enumerate(texts):
        left, right, top, bottom = 50, 900, 50 * row + 20, 50 * row + 60
        if places:
            left, top = places[row]
            right, bottom = left + 150, top + 40
        line = {"text": text, "confidence": 0.95, "alternatives": [], "baseline": [[left, bottom], [right, bottom]]}
        line["polygon"] = [[left, top], [right, top], [right, bottom], [left, bottom]]
        if row < len(outlines):
            line["polygon"] = outlines[row]
        line["words"] = [
            {"text": word, "confidence": 0.4 if word.endswith("?") else 0.9, "polygon": []} for word in text.split()
        ]
        lines.append(line)
    width, height = 1000, 50 * len(texts) + 100
    page = {"format": 1, "source": "", "model": "m@1", "width": width, "height": height, "text": ""}
    answer = {**page, "lines": lines, "blocks": list(blocks), "request_id": "r", "timings": {"total": 1}}
    body = f"event: page\ndata: {json.dumps(answer)}\n\n"
    tab.route("**/v1/read*", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    return _stored(np.full((height, width), 255, np.uint8), "PNG")


def _until(tab, expression, seconds=PATIENCE):
    """Wait until the expression is true; playwright's own way needs `unsafe-eval`, which the page forbids."""
    end = time.monotonic() + seconds
    while not tab.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def _give(tab, content, name="page.png", kind="image/png"):
    tab.set_input_files("#tr-file", {"name": name, "mimeType": kind, "buffer": content})


def _read(tab, *given, **named):
    """Have a picture read; returns the fields of its lines."""
    before = tab.evaluate("location.hash")
    _give(tab, *given, **named)
    tab.until(f"location.hash !== {before!r}")
    tab.wait_until_read()
    return tab.locator("#tr-lines textarea")


@pytest.fixture(scope="session")
def picture(drawn):
    """A small page as PNG, with three lines."""
    return _stored(drawn, "PNG")


@pytest.fixture(scope="session")
def blank():
    return _stored(np.full((200, 300), 255, np.uint8), "PNG")


@pytest.fixture(scope="session")
def tiff(drawn):
    return _stored(drawn, "TIFF")


@pytest.fixture(scope="session")
def pdf(drawn):
    """Three pages of 200 by 100 points."""
    pages = [Image.fromarray(drawn).resize((400, 200)) for _ in range(3)]
    stored = io.BytesIO()
    pages[0].save(stored, "PDF", save_all=True, append_images=pages[1:], resolution=144)
    return stored.getvalue()


@pytest.fixture(scope="session")
def damaged(drawn):
    """A TIFF of three pages whose second one is damaged."""
    pages = [Image.fromarray(drawn) for _ in range(3)]
    stored = io.BytesIO()
    pages[0].save(stored, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    content = bytearray(stored.getvalue())
    with Image.open(io.BytesIO(content)) as image:
        image.seek(1)
        start, size = image.tag_v2[273][0], image.tag_v2[279][0]
    content[start : start + size] = b"\xff" * size
    return bytes(content)


@pytest.fixture(scope="session")
def large():
    """A page of 40 lines, so that reading takes a while."""
    page = np.full((3200, 1400), 235, np.uint8)
    for row in range(40):
        cv2.putText(
            page, "the quick brown fox jumps", (60, 100 + 76 * row), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.6, 40, 3
        )
    return _stored(page, "PNG")


def _stored(pixels, kind):
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, kind)
    return stored.getvalue()
