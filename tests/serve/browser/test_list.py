"""The list of clusters and their names."""

from __future__ import annotations

import re
import shutil

import pytest
from playwright.sync_api import expect
from tests.serve.browser.seen import (
    drawn,
    get,
    open_tab,
    place_of,
    shares,
    tip_at,
)


def test_the_list_has_each_clusters_size_and_history(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    scene = get(reading, "clicks/scene")
    listed = shares(page)
    assert [row["id"] for row in listed] == [c["id"] for c in scene["clusters"]]
    for row, cluster in zip(listed, scene["clusters"], strict=True):
        assert float(row["share"].split()[0].rstrip("%")) == pytest.approx(100 * cluster["share"], abs=0.6)
        assert row["label"] == cluster["label"]
    widths = page.locator("#clusters .bar i").evaluate_all(
        "bars => bars.map(b => b.getBoundingClientRect().width)"
    )
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10
    lines = page.locator("#clusters li svg").evaluate_all(
        "all => all.map(s => s.querySelector('path,polyline')?.getAttribute(s.querySelector('path') ? 'd' : 'points') ?? '')"
    )
    assert len([line for line in lines if len(line) > 20]) == scene["k"]


def test_more_about_a_cluster_unfolds(pages, reading):
    page = pages.open(f"{reading}/?model=tickets")
    topic = get(reading, "tickets/scene")["clusters"][0]
    row = page.locator(f"#clusters li[data-id='{topic['id']}']")
    row.get_by_role("button", name=re.compile("More about")).click()
    expect(row.locator(".details .keywords")).to_contain_text(topic["keywords"][0])
    expect(row.locator(".details .examples")).to_contain_text(topic["examples"][0])


@pytest.mark.parametrize("kind", ["stream", "houses", "topics"])
def test_a_name_given_in_the_list_is_there_after_a_reload(
    kind, pages, serve, tmp_path, stream_state, houses, topic_file
):
    source = {"stream": stream_state, "houses": houses[0], "topics": topic_file}[kind]
    path = tmp_path / source.name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, path)
    address = serve({"m": path})
    page, other = pages.open(address), pages.open(address)
    row = page.locator("#clusters li").first
    label = row.locator(".label").inner_text()
    row.locator(".pick").focus()
    page.keyboard.press("F2")
    field = row.get_by_role("textbox", name=f"Name of {label}")
    expect(field).to_be_focused()
    field.fill("Early birds")
    page.keyboard.press("Enter")
    expect(row.locator(".label")).to_have_text("Early birds")
    expect(row.locator(".pick")).to_be_focused()
    expect(other.locator("#clusters li .label", has_text="Early birds")).to_be_visible()  # told by the feed
    page.reload()
    expect(page.locator("#clusters li .label", has_text="Early birds")).to_be_visible()
    # an empty name takes it away again
    row.get_by_role("button", name="Rename Early birds").click()
    page.get_by_role("textbox", name="Name of Early birds").fill("")
    page.get_by_role("button", name="Save").click()
    expect(row.locator(".label")).to_have_text(label)
    pages.check()


def test_escape_leaves_a_name_as_it_is(pages, reading):
    page = pages.open(f"{reading}/?model=houses")
    row = page.locator("#clusters li").first
    label = row.locator(".label").inner_text()
    row.locator(".pick").dblclick()
    page.keyboard.type("not this")
    page.keyboard.press("Escape")
    expect(row.locator("form")).to_have_count(0)
    expect(row.locator(".label")).to_have_text(label)


def test_names_with_markup_are_shown_as_text(pages, serve, tmp_path, houses):
    path = tmp_path / "houses"
    shutil.copytree(houses[0], path)
    address = serve({"houses": path})
    name = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    page = pages.open(address)
    row = page.locator("#clusters li").first
    row.locator(".pick").dblclick()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(row.locator(".label")).to_have_text(name)
    page.reload()
    expect(row.locator(".label")).to_have_text(name)
    cluster = int(row.get_attribute("data-id"))
    for tab in ("Events", "Which k", "Try a row"):
        open_tab(page, tab)
    assert "<script>" in tip_at(page, *place_of(page, cluster))
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script").count() == 0


def test_the_list_is_filtered_by_words(pages, reading):
    page = pages.open(f"{reading}/?model=tickets")
    scene = get(reading, "tickets/scene")
    word = scene["clusters"][1]["keywords"][0]
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Filter the clusters")).to_be_focused()
    page.keyboard.type(word)
    expect(page.locator("#clusters h2")).to_contain_text(f"of {len(scene['clusters'])}")
    assert scene["clusters"][1]["id"] in [row["id"] for row in shares(page)]
    page.get_by_role("searchbox").fill("nothing like this")
    expect(page.locator("#clusters .empty")).to_have_text("No cluster has all of these words.")
    page.get_by_role("searchbox").fill("")
    expect(page.locator("#clusters li:not([hidden])")).to_have_count(len(scene["clusters"]))


def test_the_list_is_put_in_another_order(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    by_size = [row["id"] for row in shares(page)]
    orders = {}
    for value in ("newest", "growing", "size"):
        page.get_by_label("Order of the list").select_option(value)
        orders[value] = [row["id"] for row in shares(page)]
        assert sorted(orders[value]) == sorted(by_size)
    assert orders["size"] == by_size
    born = {}
    for event in reversed(get(reading, "clicks/events", limit=1000)["events"]):
        for cluster in [event["cluster"], *event["children"]] if event["kind"] in ("born", "split") else []:
            born.setdefault(cluster, event["time"])
    times = [born[cluster] for cluster in orders["newest"]]
    assert times == sorted(times, reverse=True)


def test_500_clusters_are_shown_and_stay_quick(pages, reading):
    page = pages.open(f"{reading}/?model=many")
    expect(page.locator("#clusters li")).to_have_count(500)
    expect(page.locator("#clusters h2")).to_contain_text("500")
    circles = drawn(page)["circles"]
    assert len(circles) >= 500
    began = page.evaluate("performance.now()")
    page.keyboard.press("/")
    page.keyboard.type("cluster 123")
    expect(page.locator("#clusters li:not([hidden])")).to_have_count(1)
    assert page.evaluate("performance.now()") - began < 2000
