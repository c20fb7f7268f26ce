"""The page in a real browser before services of other kinds: with keys, elsewhere, gone."""

import pytest


def test_too_large_a_picture_is_reported(mounted, browse_each):
    with mounted(max_bytes=20_000) as small:
        tab = browse_each(small.url)
        tab.give(b"\x89PNG" + b"0" * 50_000)
        tab.wait_for_selector("#tr-alert:visible")
        assert "too large" in tab.get_by_role("alert").first.inner_text()


def test_service_that_goes_away_costs_nothing_that_was_typed(mounted, alone, browse_each, picture):
    with mounted() as service, alone(service.url) as before:
        tab = browse_each(before.url)
        tab.read(picture)
        tab.locator("#tr-lines textarea").nth(0).fill("mine")
    tab.select_option("#tr-format", "json")
    tab.click("#tr-download")
    tab.wait_for_selector("#tr-alert:visible")
    assert "cannot be reached" in tab.get_by_role("alert").first.inner_text()
    assert tab.texts()[0] == "mine"


def test_page_that_cannot_be_read_again_keeps_its_text(service, browse_each, picture):
    tab = browse_each(service.url)
    tab.read(picture)
    before = tab.texts()
    tab.route("**/v1/read*", lambda route: route.abort())
    tab.get_by_role("button", name="Read again").click()
    tab.until("document.querySelector('#tr-status').textContent === 'Not read again'")
    assert tab.texts() == before


def test_page_alone_reads_by_a_service_elsewhere(service, alone, browse_each, picture):
    with alone(service.url) as before:
        tab = browse_each(before.url)
        tab.read(picture)
        assert len(tab.texts()) == 3
        assert not [url for url in tab.asked if url.startswith(service.url)]


@pytest.mark.parametrize("where", ["mounted", "alone"])
def test_visitor_gives_the_key_that_the_service_asks_for(mounted, alone, browse_each, picture, where):
    with mounted(api_keys=("secret",)) as kept, alone(kept.url) as before:
        tab = browse_each(kept.url if where == "mounted" else before.url)
        key = tab.get_by_label("API key")
        key.wait_for()
        tab.give(picture)
        tab.wait_for_selector("#tr-alert:visible")
        assert "API key" in tab.get_by_role("alert").first.inner_text()
        key.press_sequentially("secret")  # Firefox reports no change where it is filled by a program
        key.press("Tab")
        tab.until("document.querySelector('#tr-status').textContent.startsWith('3 lines read')")  # by itself
        assert len(tab.texts()) == 3
        assert tab.locator("#tr-format option").count() >= 2


def test_where_the_page_holds_the_key_visitors_need_none(mounted, alone, browse_each, picture):
    with mounted(api_keys=("secret",)) as kept, alone(kept.url, "secret") as before:
        tab = browse_each(before.url)
        tab.read(picture)
        assert not tab.get_by_label("API key").is_visible()
