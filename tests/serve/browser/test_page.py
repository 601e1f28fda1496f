"""The page as a whole: what it shows, other models, what comes and goes."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.serve.browser.made import publish
from tests.serve.browser.seen import get, number, open_tab, shares


def test_the_page_says_what_it_shows(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    scene = get(reading, "clicks/scene")
    expect(page).to_have_title("clicks · Shoal")
    expect(page.locator("#facts")).to_contain_text(number(scene))
    expect(page.locator("#facts")).to_contain_text(f"{scene['k']} clusters")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("#banner")).to_be_hidden()


def test_an_empty_store_shows_its_first_version_when_it_comes(pages, serve, tmp_path):
    store = tmp_path / "later"
    store.mkdir()
    page = pages.open(serve({"later": store}), wait="#nothing h2")
    expect(page.locator("#nothing")).to_contain_text("No model yet")
    expect(page.locator("#live")).to_be_hidden()
    publish(store, 0)
    expect(page.locator("#live")).to_be_visible(timeout=10_000)
    expect(page.locator("#nothing")).to_be_hidden()
    expect(page.locator("#clusters li")).to_have_count(4)
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_models_are_switched_without_mixing_them(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    for name in ("houses", "tickets", "clicks", "many", "houses"):
        page.get_by_role("combobox", name="Model").select_option(name)
        expect(page).to_have_title(f"{name} · Shoal")
        scene = get(reading, f"{name}/scene")
        expect(page.locator("#clusters li")).to_have_count(len(scene["clusters"]))
        assert {row["id"] for row in shares(page)} == {c["id"] for c in scene["clusters"]}
        assert page.url.endswith(f"model={name}")
    # quickly there and back: what comes late of the other must not be shown
    for name in ("many", "houses"):
        page.get_by_role("combobox", name="Model").select_option(name)
    page.wait_for_timeout(1500)
    expect(page.locator("#clusters li")).to_have_count(3)


def test_a_service_that_comes_back_is_found_again(pages, houses):
    from tests.serve.browser.conftest import serving

    pages.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|Failed to load resource")
    with serving({"houses": houses[0]}) as address:
        page = pages.open(address)
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("#connection")).not_to_have_attribute("data-state", "live")
    port = int(address.rpartition(":")[2])
    with serving({"houses": houses[0]}, at=port):
        expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=10_000)


def test_a_page_without_a_summary_still_shows_its_clusters(pages, serve, plain):
    page = pages.open(serve({"plain": plain[0]}))
    expect(page.locator("#clusters li")).to_have_count(3)
    expect(open_tab(page, "Which k")).to_contain_text("No other k can be tried")
    expect(open_tab(page, "Time")).to_contain_text("No time buckets are kept")
