"""Pictures of the page to be looked at, in the folder that SHOAL_SCREENSHOTS names."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.serve.browser.seen import open_tab, place_of, rest

FOLDER = os.environ.get("SHOAL_SCREENSHOTS")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="SHOAL_SCREENSHOTS names no folder")
WALL, NARROW = (1920, 1080), (420, 900)


def live(page):
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def hovered(page):
    live(page)
    cluster = page.locator("#clusters li").nth(2).get_attribute("data-id")
    page.mouse.move(*place_of(page, cluster))
    page.mouse.move(*place_of(page, cluster))


def hulls(page):
    page.locator("#map label", has_text="Hulls").click()


def density(page):
    page.locator("#map label", has_text="Density").click()


def outliers(page):
    open_tab(page, "Outliers")


def which_k(page):
    panel = open_tab(page, "Which k")
    expect(panel.locator("svg").first).to_be_visible(timeout=20_000)
    panel.get_by_role("spinbutton").fill("5")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("k = 5")


def compare(page):
    panel = open_tab(page, "Time")
    panel.get_by_role("checkbox", name="compare with").check()
    panel.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#banner")).to_contain_text("Comparing")


def tried(page):
    page.locator("#clusters .pick").first.click()
    panel = open_tab(page, "Try a row")
    panel.get_by_role("button", name=re.compile("Use a")).click()
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".p-head")).to_be_visible()


def unfolded(page):
    page.locator("#clusters .more").first.click()


PICTURES = {
    "page-light": ("clicks", hovered, {}),
    "page-dark": ("clicks", hovered, {"theme": "dark"}),
    "page-wall": ("clicks", live, {"size": WALL}),
    "page-narrow": ("clicks", live, {"size": NARROW}),
    "many": ("many", hovered, {}),
    "many-wall-dark": ("many", live, {"size": WALL, "theme": "dark"}),
    "topics": ("tickets", unfolded, {}),
    "topics-dark-try": ("tickets", tried, {"theme": "dark"}),
    "table-try": ("houses", tried, {}),
    "hulls": ("clicks", hulls, {}),
    "density-dark": ("clicks", density, {"theme": "dark"}),
    "outliers": ("clicks", outliers, {}),
    "which-k": ("clicks", which_k, {}),
    "which-k-dark": ("clicks", which_k, {"theme": "dark"}),
    "compare": ("clicks", compare, {}),
    "compare-dark": ("clicks", compare, {"theme": "dark"}),
    "compare-narrow": ("clicks", compare, {"size": NARROW}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_taken(name, pages, reading):
    model, prepare, options = PICTURES[name]
    page = pages.open(f"{reading}/?model={model}", **options)
    prepare(page)
    rest(page)
    taken(page, name)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_of_an_empty_store_is_taken(theme, pages, serve, tmp_path):
    (tmp_path / "store").mkdir()
    page = pages.open(serve({"store": tmp_path / "store"}), theme=theme, wait="#nothing h2")
    taken(page, f"empty-{theme}")


def taken(page, name):
    path = Path(str(FOLDER)) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert path.stat().st_size > 10_000
