"""The page of the service's addresses, in a real browser."""

from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def test_every_address_is_on_the_page_and_nothing_else_is_loaded(service, each_browser):
    context = each_browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    asked, complaints = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(f"{service.url}/docs")
    assert asked == [f"{service.url}/docs"] and not complaints
    shown = tab.locator("main").inner_text()
    paths = service.http.get("/openapi.json").json()["paths"]
    assert paths
    for path, item in paths.items():
        for method, operation in item.items():
            assert f"{method.upper()} {path}" in shown and operation["summary"] in shown
            for one in operation.get("parameters", ()):
                assert one["name"] in shown
    for link in tab.locator("a[href^='#']").all():
        assert tab.locator(link.get_attribute("href")).count() == 1
    context.close()


@pytest.mark.skipif(not AXE.exists(), reason="axe is not installed: run make scripts")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(service, chromium, scheme):
    context = chromium.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844}, bypass_csp=True)
    tab = context.new_page()
    tab.goto(f"{service.url}/docs")
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("axe.run().then(({ violations }) => violations)")
    assert not found, [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found]
    context.close()


def test_phone_shows_all(service, each_browser):
    context = each_browser.new_context(viewport={"width": 390, "height": 844})
    tab = context.new_page()
    tab.goto(f"{service.url}/docs")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
