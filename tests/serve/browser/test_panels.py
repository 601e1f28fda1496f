"""Outliers, which k, time and a row to try, as a person uses them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.serve.browser.seen import drawn, get, open_tab, place_of, rest, scale_of, send, shares

FAR = {"x": 300.0, "y": -250.0}


def test_outliers_of_a_stream_are_listed_with_the_reason(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Outliers")
    told = get(reading, "clicks/scene")["outliers"]
    assert told
    rows = panel.locator("li.o-item")
    expect(rows).to_have_count(len(told))
    expect(rows.first.locator(".o-reason")).to_have_text(told[0]["reason"])
    expect(rows.first).to_contain_text(re.compile(r"99\.\d+ %|100\.0"))
    for name in told[0]["row"]:
        expect(rows.first.locator(".o-values")).to_contain_text(name)


def test_a_cross_stands_on_the_map_for_each_outlier(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    scene = get(reading, "clicks/scene")
    x0, sx, y0, sy = scale_of(page, scene)
    rest(page)
    discs = [c for c in drawn(page)["circles"] if c["r"] > 5]
    seen = [((x0 + sx * o["at"][0], y0 + sy * o["at"][1]), o) for o in scene["outliers"]]
    free = [
        (at, o) for at, o in seen if all(np.hypot(at[0] - d["x"], at[1] - d["y"]) > d["r"] + 5 for d in discs)
    ]
    (x, y), outlier = free[0]
    page.mouse.move(x + 40, y)
    page.mouse.move(x, y)
    tip = page.locator("#map .map-tip")
    expect(tip).to_contain_text("Outlier")
    expect(tip).to_contain_text(outlier["reason"])


def test_outliers_do_not_hide_the_number_of_a_cluster(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    rest(page)
    now = drawn(page)
    for cluster in get(reading, "clicks/scene")["clusters"]:
        (at,) = [t for t in now["texts"] if t["text"] == str(cluster["id"])]
        over = [
            e
            for e in now["lines"]
            if e["turn"] > at["turn"] and np.hypot(e["x"] - at["x"], e["y"] - at["y"]) < 8
        ]
        assert over == [], cluster["id"]


def test_an_outlier_that_is_labelled_is_listed_at_once(pages, serve, stream_state):
    address = serve({"clicks": stream_state})
    page = pages.open(address)
    panel = open_tab(page, "Outliers")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    send(address, "clicks/assign", {"rows": [FAR]})
    first = panel.locator("li.o-item").first
    expect(first.locator(".o-values")).to_contain_text("300", timeout=3000)
    expect(first.locator(".o-reason")).to_contain_text("% of the distance")


def test_the_slider_leaves_those_that_lie_farthest_out(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Outliers")
    scores = [o["score"] for o in get(reading, "clicks/scene")["outliers"]]
    slider = panel.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    expect(panel.locator("output")).to_have_text("farther out than all but 0.1 %")
    expect(panel.locator("li.o-item")).to_have_count(sum(s >= 0.999 for s in scores))
    page.keyboard.press("Home")
    expect(panel.locator("li.o-item")).to_have_count(len(scores))


def test_an_outlier_is_tried_as_a_row(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    open_tab(page, "Outliers").get_by_role("button", name="Try it").first.click()
    panel = page.get_by_role("tabpanel", name="Try a row")
    expect(panel.locator(".p-head")).to_be_visible()
    x = get(reading, "clicks/scene")["outliers"][0]["row"]["x"]
    assert float(panel.get_by_label("x", exact=True).input_value()) == pytest.approx(x)
    expect(panel.locator(".p-why tbody tr")).not_to_have_count(0)


def test_which_k_draws_a_curve_for_each_criterion(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    choice = get(reading, "clicks/choice")
    panel = open_tab(page, "Which k")
    expect(panel.locator(".k-answer")).to_contain_text(
        "No k stands out" if choice["suggested"] is None else f"k = {choice['suggested']}", timeout=20_000
    )
    figures = panel.locator(".k-figure")
    expect(figures).to_have_count(len(choice["curves"]))
    for i, curve in enumerate(choice["curves"]):
        expect(figures.nth(i).locator("figcaption")).to_have_text(curve["title"])
        path = figures.nth(i).locator("svg path").first.get_attribute("d")
        assert len(re.findall("[ML]", path)) == sum(v is not None for v in curve["values"])
    expect(panel.locator(".k-reasons summary, .k-verdict .soft").first).to_contain_text(choice["reasons"][0])


def test_the_slider_solves_for_another_k_and_comes_back(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Which k")
    slider = panel.get_by_role("slider", name="Number of clusters")
    expect(slider).to_be_visible(timeout=20_000)
    live = shares(page)
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#banner")).to_contain_text("Showing k = 5")
    expect(page.locator("#clusters li")).to_have_count(5)
    solved = get(reading, "clicks/solve", k=5)
    assert {row["id"] for row in shares(page)} == {c["id"] for c in solved["clusters"]}
    expect(panel.locator(".k-note").first).to_contain_text("k = 5 · explains")
    rest(page)
    assert (
        sum(t["text"] in {str(c["id"]) for c in solved["clusters"]} | {"+"} for t in drawn(page)["texts"])
        == 5
    )
    expect(page.locator("#clusters li").first.locator(".pencil")).to_have_attribute("aria-disabled", "true")
    page.locator("#banner").get_by_role("button", name="Back to live").click()
    expect(page.locator("#banner")).to_be_hidden()
    assert shares(page) == live
    panel.get_by_role("spinbutton", name="Number of clusters").fill("3")
    page.keyboard.press("Enter")
    expect(page.locator("#clusters li")).to_have_count(3)
    page.keyboard.press("Escape")
    page.locator("#map canvas.map-top").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#banner")).to_be_hidden()


def test_a_click_on_a_curve_solves_for_that_k(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Which k")
    svg = panel.locator(".k-figure svg").first
    expect(svg).to_be_visible(timeout=20_000)
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.97, box["y"] + box["height"] / 2)
    ks = get(reading, "clicks/choice")["ks"]
    expect(page.locator("#banner")).to_contain_text(f"Showing k = {max(ks)}")


def test_topics_are_solved_for_another_k_too(pages, reading):
    page = pages.open(f"{reading}/?model=tickets")
    panel = open_tab(page, "Which k")
    box = panel.get_by_role("spinbutton", name="Number of clusters")
    expect(box).to_be_visible(timeout=20_000)
    box.fill("3")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("Showing k = 3")
    expect(page.locator("#clusters li")).to_have_count(3)


def test_a_window_of_time_is_clustered_anew(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    held = get(reading, "clicks/time")
    panel = open_tab(page, "Time")
    panel.get_by_label("from", exact=True).fill("2026-01-01T00:05")
    panel.get_by_label("to", exact=True).fill("2026-01-01T00:15")
    panel.get_by_role("button", name="Show", exact=True).click()
    window = get(
        reading,
        "clicks/window",
        **{"from": held["start"] + 300, "to": held["start"] + 900, "k": get(reading, "clicks/scene")["k"]},
    )
    expect(page.locator("#banner")).to_contain_text("Showing 2026-01-01 00:05 to 2026-01-01 00:15 UTC")
    expect(page.locator("#banner")).to_contain_text(f"{window['rows']:,}")
    expect(page.locator("#clusters li")).to_have_count(window["k"])
    assert {row["id"] for row in shares(page)} == {c["id"] for c in window["clusters"]}
    expect(panel.locator(".t-note")).to_contain_text("Found in")
    panel.get_by_role("button", name="Back to live").click()
    expect(page.locator("#banner")).to_be_hidden()


def test_a_window_is_moved_with_the_keys(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Time")
    begin = panel.get_by_label("from", exact=True)
    expect(begin).to_be_visible()
    before = begin.input_value()
    page.get_by_label("Move the window", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(begin).not_to_have_value(before)


def test_two_windows_are_compared(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Time")
    panel.get_by_label("from", exact=True).fill("2026-01-01T00:30")
    panel.get_by_label("to", exact=True).fill("2026-01-01T00:40")
    panel.get_by_role("checkbox", name="compare with").check()
    panel.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#banner")).to_contain_text("Comparing")
    expect(panel.get_by_role("heading", name="What changed")).to_be_visible()
    rows = panel.locator(".t-table tbody tr")
    assert rows.count() >= page.locator("#clusters li").count()
    before, after = rows.first.locator("td").nth(0).inner_text(), rows.first.locator("td").nth(1).inner_text()
    assert before != after
    expect(page.locator("#map .map-legend")).to_be_visible()
    page.locator("#banner").get_by_role("button", name="Back to live").click()
    expect(page.locator("#map .map-legend")).to_be_hidden()
    expect(panel.locator(".t-table")).to_have_count(0)


def test_a_cluster_of_a_window_has_the_id_of_the_served_one_at_its_place(reading):
    served = {c["id"]: np.array(c["at"]) for c in get(reading, "clicks/scene")["clusters"]}
    start = get(reading, "clicks/time")["start"]
    window = get(reading, "clicks/window", **{"from": start + 1200, "to": start + 1800, "k": 6})
    for cluster in window["clusters"]:
        away = {i: float(np.hypot(*(at - cluster["at"]))) for i, at in served.items()}
        if cluster["id"] >= 0:
            assert away[cluster["id"]] < 10, cluster["label"]
        else:
            assert min(away.values()) > 5, cluster["label"]


def test_what_changed_calls_a_new_cluster_as_the_list_does(reading):
    start = get(reading, "clicks/time")["start"]
    edges = {"from": start + 1800, "to": start + 2400, "with_from": start + 1200, "with_to": start + 1800}
    told = get(reading, "clicks/compare", k=6, **edges)
    assert told["events"]
    assert not [e["text"] for e in told["events"] if "cluster -" in e["text"].lower()]


def test_play_walks_through_time_and_can_be_stopped(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    panel = open_tab(page, "Time")
    panel.get_by_role("button", name="Play").click()
    banner = page.locator("#banner")
    expect(banner).to_contain_text("Showing")
    first = banner.inner_text()
    expect(banner).not_to_have_text(first, timeout=5000)
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_timeout(300)
    rest(page)
    stopped = banner.inner_text()
    page.wait_for_timeout(900)
    assert banner.inner_text() == stopped


def test_a_row_that_is_filled_in_falls_into_its_cluster(pages, reading):
    page = pages.open(f"{reading}/?model=houses")
    panel = open_tab(page, "Try a row")
    panel.get_by_label("price", exact=True).fill("500")
    panel.get_by_label("rooms", exact=True).fill("3")
    panel.get_by_label("kind", exact=True).fill("house")
    panel.get_by_role("button", name="Try it").click()
    row = {"price": 500, "rooms": 3, "kind": "house"}
    found = send(reading, "houses/explain", {"row": row})
    expect(panel.locator(".p-head .chip")).to_have_text(found["label"])
    expect(panel.locator(".p-answer")).to_contain_text(found["text"])
    expect(panel.locator(".p-nearest li")).to_have_count(len(found["nearest"]))
    listed = panel.locator(".p-why tbody tr th").all_inner_texts()
    assert listed == [why["column"] for why in found["why"]]


@pytest.mark.parametrize(
    "pasted",
    [
        json.dumps({"price": 510, "rooms": 2, "kind": "house"}),
        "510,2,house",
        "kind,price,rooms\nhouse,510,2",
    ],
    ids=["json", "line", "table"],
)
def test_a_pasted_row_fills_the_fields(pasted, pages, reading):
    page = pages.open(f"{reading}/?model=houses")
    panel = open_tab(page, "Try a row")
    names = [i["name"] for i in get(reading, "houses/scene")["inputs"]]
    if pasted == "510,2,house":  # in the order that the model has
        pasted = ",".join({"price": "510", "rooms": "2", "kind": "house"}[name] for name in names)
    panel.locator("summary", has_text="Paste a row").click()
    panel.locator("textarea").fill(pasted)
    expect(panel.get_by_label("price", exact=True)).to_have_value("510")
    expect(panel.get_by_label("kind", exact=True)).to_have_value("house")
    panel.locator("textarea").press("Control+Enter")
    expect(panel.locator(".p-head")).to_be_visible()


def test_what_is_wrong_with_a_row_is_said_at_its_column(pages, reading):
    pages.expect("422")
    page = pages.open(f"{reading}/?model=houses")
    panel = open_tab(page, "Try a row")
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".p-problem")).to_contain_text("nothing to try yet")
    panel.get_by_label("price", exact=True).fill("dear")
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".error:visible")).to_have_text("not a number: dear")
    expect(panel.get_by_label("price", exact=True)).to_be_focused()
    expect(panel.get_by_label("price", exact=True)).to_have_attribute("aria-invalid", "true")
    panel.get_by_label("price", exact=True).fill("500")
    panel.get_by_role("button", name="Try it").click()  # rooms and kind are missing: the service says so
    expect(panel.locator(".error:visible").first).to_contain_text(
        re.compile("null|empty|missing|no value", re.IGNORECASE)
    )


def test_a_typical_row_is_that_of_the_selected_cluster(pages, reading):
    page = pages.open(f"{reading}/?model=houses")
    cluster = get(reading, "houses/scene")["clusters"][1]["id"]
    page.locator(f"#clusters li[data-id='{cluster}'] .pick").click()
    panel = open_tab(page, "Try a row")
    panel.get_by_role("button", name="Use a typical row").click()
    expect(panel.get_by_label("price", exact=True)).not_to_have_value("")
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".p-head .chip")).to_have_text(f"cluster {cluster}")
    expect(panel.locator(".p-odd")).to_contain_text("ordinary")


def test_a_typical_row_of_all_can_be_tried(pages, reading):
    pages.expect("422")
    page = pages.open(f"{reading}/?model=houses")
    panel = open_tab(page, "Try a row")
    panel.get_by_role("button", name="Use a typical row").click()
    expect(panel.get_by_label("price", exact=True)).not_to_have_value("")
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".p-head")).to_be_visible(timeout=2000)


def test_a_row_that_is_tried_stands_on_the_map(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    cluster = get(reading, "clicks/scene")["clusters"][0]
    place_of(page, cluster["id"])
    before = page.locator("#map").screenshot()
    panel = open_tab(page, "Try a row")
    for name, value in zip("xy", cluster["at"], strict=True):
        panel.get_by_label(name, exact=True).fill(str(value + 2))
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".p-head")).to_contain_text(cluster["label"])
    rest(page)
    assert page.locator("#map").screenshot() != before
    panel.get_by_role("button", name="Clear").click()
    expect(panel.locator(".p-head")).to_have_count(0)
    rest(page)
    assert page.locator("#map").screenshot() == before


def test_a_text_falls_into_its_topic(pages, reading):
    page = pages.open(f"{reading}/?model=tickets")
    panel = open_tab(page, "Try a row")
    panel.get_by_label("Text").fill("exchange rate euro today")
    panel.get_by_role("button", name="Try it").click()
    found = send(reading, "tickets/explain", {"text": "exchange rate euro today"})
    expect(panel.locator(".p-head .chip")).to_have_text(found["label"])
    assert "exchange" in " ".join(
        next(c for c in get(reading, "tickets/scene")["clusters"] if c["id"] == found["cluster"])["keywords"]
    )
    panel.get_by_role("button", name="Use an example").click()
    expect(panel.get_by_label("Text")).not_to_have_value("exchange rate euro today")
