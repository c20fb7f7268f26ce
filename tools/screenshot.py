"""Takes the pictures of the web page in docs/images: python tools/screenshot.py (needs Chromium and playwright)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SHOTS = {
    "app": {"viewport": {"width": 1240, "height": 880}, "color_scheme": "light"},
    "app-dark": {"viewport": {"width": 1240, "height": 880}, "color_scheme": "dark"},
    "app-start": {"viewport": {"width": 1240, "height": 780}, "color_scheme": "light"},
    "app-phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "light",
    },
}


def take(browser: Browser, address: str, name: str) -> None:
    """One picture of SHOTS; the letter is read on all but the first page."""
    tab = browser.new_context(**SHOTS[name], reduced_motion="reduce").new_page()
    tab.goto(address)
    _until(tab, "[...document.querySelectorAll('#tr-examples img')].some((image) => image.naturalWidth)")
    if name != "app-start":
        tab.click("#tr-examples button >> nth=0")
        _until(tab, "document.querySelector('#tr-status').textContent.includes('read in')")
        tab.locator("#tr-lines textarea").nth(0).fill("Washington, D.C.")
        tab.locator("#tr-lines .other:visible").nth(1).click()
        tab.locator("#tr-lines textarea").nth(1).focus()
        if name == "app-phone":
            tab.evaluate("document.querySelector('#tr-text-title').parentElement.scrollIntoView()")
        else:
            tab.evaluate("scrollTo(0, 0)")
    tab.wait_for_timeout(400)
    file = IMAGES / f"{name}.jpg"
    tab.screenshot(path=file, quality=82)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def _until(tab: Page, expression: str) -> None:
    # Playwright's own way of waiting needs unsafe-eval, which the page forbids.
    while not tab.evaluate(expression):
        tab.wait_for_timeout(100)


def main(names: list[str]) -> None:
    """Serve, and take the pictures `names`, or all of them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    command = [sys.executable, "-m", "text_recognizer", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        assert service.stdout is not None
        try:
            found = re.search(r"http://\S+", service.stdout.readline())
            assert found, "the service did not start"
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                for name in names or SHOTS:
                    take(browser, found[0], name)
        finally:
            service.terminate()


if __name__ == "__main__":
    main(sys.argv[1:])
