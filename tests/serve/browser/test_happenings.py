"""Events, and shares over time, as they happen."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from playwright.sync_api import expect
from tests.serve.browser.made import publish
from tests.serve.browser.seen import get, number, open_tab, scale_of, shares


def test_two_versions_of_as_many_rows_have_shares_over_time(pages, serve, tmp_path):
    store = tmp_path / "store"
    publish(store, 0, seen=600)
    publish(store, 1, seen=600)
    page = pages.open(serve({"store": store}))
    page.wait_for_timeout(500)
    pages.check()


def test_events_are_told_the_newest_first_and_by_kind(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    events = get(reading, "clicks/events", limit=1000)["events"]
    panel = open_tab(page, "Events")
    kinds = panel.locator("ol.events li").evaluate_all("all => all.map(li => li.dataset.kind)")
    assert {"born", "split", "merged", "died"} >= set(kinds)
    assert {"split", "merged", "died"} & set(kinds)
    for kind in ("born", "split", "merged", "died"):
        told = [e for e in events if e["kind"] == kind]
        assert (kind in kinds) == bool(told)
    chip = panel.locator("button[data-kind=born]")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(panel.locator("ol.events li[data-kind=born]")).to_have_count(0)
    page.reload()
    expect(panel.locator("ol.events li").first).to_be_visible()
    expect(panel.locator("ol.events li[data-kind=born]")).to_have_count(0)
    chip.click()
    expect(panel.locator("ol.events li[data-kind=born]").first).to_be_visible()
    panel.locator("button[data-kind=moved]").click()
    moved = sum(e["kind"] == "moved" for e in events)
    assert (panel.locator("ol.events li[data-kind=moved]").count() > 0) == (moved > 0)


def test_a_cluster_in_an_event_is_selected_by_a_click(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    chip = open_tab(page, "Events").locator("ol.events .chip.cluster:enabled").first
    label = chip.inner_text()
    chip.click()
    expect(page.locator("#clusters .pick[aria-pressed=true] .label")).to_have_text(label)


def test_older_events_are_loaded_when_asked_for(pages, serve, tmp_path, stream_state):
    state = tmp_path / "clicks"
    shutil.copytree(stream_state, state)
    log = state / "events.jsonl"
    lines = log.read_text().splitlines()
    first = json.loads(next(line for line in lines if json.loads(line)["kind"] == "born"))
    old = [json.dumps(first | {"time": first["time"] - 10_000 + i}) for i in range(250)]
    log.write_text("\n".join([*old, *lines]) + "\n")
    page = pages.open(serve({"clicks": state}))
    entries = open_tab(page, "Events").locator("ol.events li")
    count = entries.count()
    assert count <= 100
    older = page.get_by_role("button", name="Load older")
    while older.is_visible():
        before = entries.count()
        older.click()
        page.wait_for_function(
            "n => document.querySelectorAll('#events ol.events li').length > n", arg=before
        )
    assert entries.count() > 250


def test_shares_over_time_have_a_band_for_each_cluster(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    history = get(reading, "clicks/history")
    picture = page.locator("#lineage svg.bands")
    expect(picture).to_have_attribute("aria-label", re.compile(f"{len(history['ids'])} clusters"))
    assert picture.locator("path").count() >= len(history["ids"])
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"])
    expect(page.locator("#lineage .tip")).to_contain_text("%")
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#clusters .pick[aria-pressed=true]")).to_have_count(1)


def test_a_stretch_dragged_over_the_shares_is_looked_at(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    box = page.locator("#lineage svg.bands").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=5)
    page.mouse.up()
    expect(page.locator("#banner")).to_contain_text("Showing")
    expect(page.get_by_role("tab", name="Time")).to_have_attribute("aria-selected", "true")
    page.locator("#banner").get_by_role("button", name="Back to live").click()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#lineage .brush")).to_be_hidden()


def test_a_stream_that_goes_on_shows_up_by_itself(pages, serve, stream):
    address = serve({"clicks": stream.state})
    page = pages.open(address)
    before = get(address, "clicks/scene")
    entries = open_tab(page, "Events").locator("ol.events li")
    expect(entries.first).to_be_visible()
    scale = scale_of(page, before)
    stream.go_on(12_000, 16_000)
    expect(page.locator("#facts")).not_to_contain_text(number(before), timeout=10_000)
    after = get(address, "clicks/scene")
    expect(page.locator("#facts")).to_contain_text(number(after))
    new = get(address, "clicks/events", limit=1000)["events"][0]
    assert new["time"] > before["now"] - 1
    assert {row["id"] for row in shares(page)} == {c["id"] for c in after["clusters"]}
    if after["chart"]["low"] == before["chart"]["low"] and after["chart"]["high"] == before["chart"]["high"]:
        assert scale_of(page, after) == pytest.approx(scale, abs=1.0)
    told = [
        e
        for e in get(address, "clicks/events", limit=1000)["events"]
        if e["kind"] in ("born", "split", "merged", "died")
    ]
    text = " ".join(page.locator("#events ol.events").all_inner_texts()).lower()
    assert told[0]["text"].lower() in text
