"""The map, as a person sees and uses it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from tests.serve.browser.made import publish, until
from tests.serve.browser.seen import (
    SURFACE,
    drawn,
    get,
    pixels,
    place_of,
    places,
    rest,
    scale_of,
    send,
    tip_at,
)

import shoal
from shoal.model.build import build_model
from shoal.model.cluster_model import Provenance
from shoal.model.store import ModelStore
from shoal.solve.k_means import k_means


def test_the_map_draws_each_cluster_where_the_service_says(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    scene = get(reading, "clicks/scene")
    scale = scale_of(page, scene)
    assert scale[1] > 0 > scale[3]  # to the right and upwards
    at = places(page, [c["id"] for c in scene["clusters"]])
    for cluster in scene["clusters"]:
        assert at[cluster["id"]] == pytest.approx(pixels(scale, cluster["at"]), abs=1.5)
    discs = [c["r"] for c in drawn(page)["circles"]]
    assert len(discs) >= scene["k"]


def test_pointing_at_a_cluster_tells_what_it_is(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    clusters = get(reading, "clicks/scene")["clusters"][:3]
    at = places(page, [c["id"] for c in clusters])
    for cluster in clusters:
        said = tip_at(page, *at[cluster["id"]])
        assert f"luster {cluster['id']}" in said
        assert re.search(rf"\b{100 * cluster['share']:.0f}", said), (said, cluster["share"])
        assert cluster["traits"][0]["text"] in said
        expect(page.locator(f"#clusters li[data-id='{cluster['id']}']")).to_have_class(re.compile("lit"))
    page.mouse.move(640, 20)
    expect(page.locator("#map .map-tip")).to_be_hidden()


def test_pointing_at_a_topic_tells_its_words_and_examples(pages, reading):
    page = pages.open(f"{reading}/?model=tickets")
    topic = get(reading, "tickets/scene")["clusters"][0]
    said = tip_at(page, *place_of(page, topic["id"]))
    assert topic["keywords"][0] in said
    assert topic["examples"][0] in said


def test_a_click_on_the_map_selects_in_the_list(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    cluster = get(reading, "clicks/scene")["clusters"][-1]["id"]
    chosen = page.locator("#clusters .pick[aria-pressed=true]")
    page.mouse.click(*place_of(page, cluster))
    expect(chosen).to_have_count(1)
    expect(page.locator(f"#clusters li[data-id='{cluster}'] .pick")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(chosen).to_have_count(0)


def test_a_click_in_the_list_lights_the_cluster_on_the_map(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    cluster = get(reading, "clicks/scene")["clusters"][1]["id"]
    x, y = place_of(page, cluster)
    at_it = lambda: [c["r"] for c in drawn(page)["circles"] if abs(c["x"] - x) + abs(c["y"] - y) < 2]  # noqa: E731
    before = max(at_it())
    page.locator(f"#clusters li[data-id='{cluster}'] .pick").click()
    rest(page)
    assert max(at_it()) > before  # a ring around it


def shot_of(page):
    rest(page)
    return page.locator("#map").screenshot()


def test_rows_are_shown_as_points_hulls_or_density(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    seen = {}
    for shape in ("Points", "Hulls", "Density"):
        page.locator("#map label", has_text=shape).click()
        expect(page.get_by_role("radio", name=shape)).to_be_checked()
        page.wait_for_timeout(300)
        seen[shape] = shot_of(page)
    assert len(set(seen.values())) == 3
    page.reload()
    page.wait_for_selector("#clusters li")
    expect(page.get_by_role("radio", name="Density")).to_be_checked()


def test_the_map_zooms_at_the_pointer_drags_and_comes_back(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    cluster, other = (c["id"] for c in get(reading, "clicks/scene")["clusters"][:2])
    home = [places(page, [cluster, other])[c] for c in (cluster, other)]
    page.mouse.move(*home[0])
    page.mouse.wheel(0, -200)
    assert place_of(page, cluster) == pytest.approx(home[0], abs=2)
    page.get_by_role("button", name="Show all").click()
    assert place_of(page, other) == pytest.approx(home[1], abs=1)
    page.get_by_role("button", name="Zoom out").click()
    out = [places(page, [cluster, other])[c] for c in (cluster, other)]
    gap = lambda a: np.hypot(a[0][0] - a[1][0], a[0][1] - a[1][1])  # noqa: E731
    assert gap(out) < 0.8 * gap(home)
    box = page.locator(SURFACE).bounding_box()
    x, y = box["x"] + 90, box["y"] + box["height"] - 90
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y - 20, steps=4)
    page.mouse.up()
    moved = place_of(page, cluster)
    assert moved == pytest.approx((out[0][0] + 30, out[0][1] - 20), abs=2)
    page.locator(SURFACE).focus()
    page.keyboard.press("0")
    assert place_of(page, cluster) == pytest.approx(home[0], abs=1)


def test_rows_appear_on_the_map_as_they_are_labelled(pages, serve, stream_state):
    address = serve({"clicks": stream_state})
    page = pages.open(address)
    scene = get(address, "clicks/scene")
    scale = scale_of(page, scene)
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    at = scene["points"][0][:2]  # where rows are, so that it is no outlier
    want = pixels(scale, at)
    near = lambda: [  # noqa: E731
        c
        for c in drawn(page)["circles"]
        if abs(c["r"] - 2.6) < 0.01 and abs(c["x"] - want[0]) + abs(c["y"] - want[1]) < 3
    ]
    assert near() == []
    send(address, "clicks/assign", {"rows": [{"x": at[0], "y": at[1]}]})
    page.wait_for_function(
        """([x, y]) => {
          const canvas = document.querySelector("#map canvas.map-top");
          const box = canvas.getBoundingClientRect();
          return window.drawn(canvas).circles.some((c) => Math.hypot(c.x + box.left - x, c.y + box.top - y) < 3 && c.r < 3);
        }""",
        arg=list(want),
        timeout=5000,
    )


def test_the_frame_stays_when_a_version_is_published(pages, serve, tmp_path):
    store = tmp_path / "store"
    publish(store, 0)
    publish(store, 1)
    address = serve({"store": store})
    page = pages.open(address)
    before = get(address, "store/scene")
    scale = scale_of(page, before)
    publish(store, 2, 0.9)
    expect(page.locator("#facts")).to_contain_text("version 3")
    after = get(address, "store/scene")
    assert after["chart"] == before["chart"]
    assert after["clusters"][0]["at"] != before["clusters"][0]["at"]
    assert scale_of(page, after) == pytest.approx(scale, abs=0.7)


def test_the_map_keeps_its_place_on_the_page_at_the_second_version(pages, serve, tmp_path):
    store = tmp_path / "store"
    publish(store, 0)
    page = pages.open(serve({"store": store}))
    before = page.locator("#map").bounding_box()
    publish(store, 1)
    expect(page.locator("#lineage svg.bands")).to_be_visible()
    assert page.locator("#map").bounding_box() == before


def test_columns_fitted_anew_stay_where_they_are_on_the_map(serve, tmp_path):
    (tmp_path / "store").mkdir()
    address = serve({"store": tmp_path / "store"})
    for seed in range(2):
        X = np.random.default_rng(seed).normal(size=(300, 2))
        fitted = shoal.fit(pd.DataFrame(X, columns=["a", "b"]), 4, scale="none")
        ModelStore(tmp_path / "store").publish(fitted.model)
        scene = until(address, "store", str(seed + 1))
    assert scene["chart"]["id"] == 1


def test_limits_of_the_map_only_grow(serve, tmp_path):
    store = tmp_path / "store"
    publish(store, 0)
    address = serve({"store": store})
    before = get(address, "store/scene")["chart"]
    publish(store, 1, 1.5)
    after = until(address, "store", "2")["chart"]
    assert after["id"] == before["id"]
    assert all(np.array(after["low"]) <= np.array(before["low"]))
    assert all(np.array(after["high"]) >= np.array(before["high"]))
    assert after["high"] != before["high"]


def test_the_same_model_again_moves_nothing(pages, serve, tmp_path):
    X = np.random.default_rng(3).normal(size=(300, 3))
    model = build_model(X, np.ones(300), k_means(X, 5), provenance=Provenance(rows_seen=300))
    again = [model.replace(provenance=replace(model.provenance, rows_seen=300 * n)) for n in (2, 3)]
    store = ModelStore(tmp_path / "store")
    store.publish(model)
    store.publish(again[0])
    page = pages.open(serve({"store": store.folder}))
    before = [at for _, at in sorted(places(page, range(5)).items())]
    store.publish(again[1])
    expect(page.locator("#facts")).to_contain_text("version 3")
    after = [at for _, at in sorted(places(page, range(5)).items())]
    np.testing.assert_allclose(after, before, atol=0.5)
