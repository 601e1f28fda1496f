"""What is to be seen on the page."""

from __future__ import annotations

import httpx
from playwright.sync_api import expect

SURFACE = "#map canvas.map-top"


def get(address, path, **parameters):
    """An answer of the service."""
    answer = httpx.get(f"{address}/v1/models/{path}".rstrip("/"), params=parameters, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def number(scene):
    """A version as the page shows it: the beginning of a hash, or a number."""
    return f"version {scene['version'][:8]}"


def send(address, path, body):
    answer = httpx.post(f"{address}/v1/models/{path}", json=body, timeout=60)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def drawn(page):
    """Texts, circles and ends of lines that the map holds now, in pixels of the page."""
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("#map canvas.map-top");
          const box = canvas.getBoundingClientRect();
          const { texts, circles, lines, frames } = window.drawn(canvas);
          const put = (o) => ({ ...o, x: o.x + box.left, y: o.y + box.top });
          return { texts: texts.map(put), circles: circles.map(put), lines: lines.map(put), frames };
        }"""
    )


def rest(page):
    """Wait until the map has stopped moving."""
    page.evaluate("delete window.before")
    page.wait_for_function(
        """() => {
          const { circles, texts } = window.drawn(document.querySelector("#map canvas.map-top"));
          const now = JSON.stringify([texts, circles.map((c) => [c.x, c.y, c.r])]);
          const same = texts.length > 0 && now === window.before?.now;
          if (!same) window.before = { now, since: performance.now() };
          return same && performance.now() - window.before.since > 160;
        }""",
        polling=50,
    )


def places(page, clusters):
    """Where the middles of clusters' discs are, by the numbers that are drawn in them."""
    rest(page)
    wanted = set(map(str, clusters))
    found = [(int(t["text"]), (t["x"], t["y"])) for t in drawn(page)["texts"] if t["text"] in wanted]
    assert sorted(i for i, _ in found) == sorted(map(int, wanted))
    return dict(found)


def place_of(page, cluster):
    return places(page, [cluster])[int(cluster)]


def scale_of(page, scene):
    """How chart units become pixels, by two clusters: (x0, sx, y0, sy)."""
    by_x = sorted(scene["clusters"], key=lambda c: c["at"][0])
    by_y = sorted(scene["clusters"], key=lambda c: c["at"][1])
    at, found = places(page, {c["id"] for c in (by_x[0], by_x[-1], by_y[0], by_y[-1])}), []
    for axis, (low, high) in enumerate(((by_x[0], by_x[-1]), (by_y[0], by_y[-1]))):
        a, b = (at[c["id"]][axis] for c in (low, high))
        scale = (b - a) / (high["at"][axis] - low["at"][axis])
        found += [a - scale * low["at"][axis], scale]
    return found


def pixels(scale, at):
    x0, sx, y0, sy = scale
    return x0 + sx * at[0], y0 + sy * at[1]


def shares(page):
    """Labels and shares of the list, as they stand in it."""
    return page.locator("#clusters li:not([hidden])").evaluate_all(
        "rows => rows.map(r => ({id: Number(r.dataset.id), label: r.querySelector('.label').textContent,"
        " share: r.querySelector('.share').textContent}))"
    )


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    return page.get_by_role("tabpanel", name=name)


def tip_at(page, x, y):
    """What the map says of a place."""
    page.mouse.move(x + 30, y + 30)
    page.mouse.move(x, y)
    tip = page.locator("#map .map-tip")
    expect(tip).to_be_visible()
    return tip.inner_text()
