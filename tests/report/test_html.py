"""The report: one file, whole, safe, and true."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from shoal.errors import Rejects, ShoalError
from shoal.report.html import render, write_report
from shoal.report.view import View
from shoal.summary.protocol import WeightedPoints

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }} 東京 \u2028 \x00 \ud800",
)


class Page(HTMLParser):
    """Tags in order, their attributes, and text; complains when they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.open, self.text, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.text).append(data)

    def all(self, tag, **attrs):
        return [
            a for t, a in self.tags if t == tag and all(a.get(n.rstrip("_")) == v for n, v in attrs.items())
        ]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def data(self):
        return next(json.loads(s) for s in self.scripts if s.startswith("{"))


def classed(page, tag, name):
    return [a for a in page.all(tag) if name in (a.get("class") or "").split()]


def read(build, *args, choice=None, **kwargs):
    return Page(render(View.of(*build(*args, **kwargs), choice)))


def test_headline_tells_what_was_done(build):
    page = read(build, 3)
    assert "3 groups in 480 rows of houses.csv, read once, in 0.4 s" in page.words
    assert "1 group in 480 rows" in read(build, 1).words


def test_every_section_is_there_in_order(build, choice):
    page = read(build, 3, choice=choice)
    ids = [a["id"] for a in page.all("section")]
    assert ids == ["map", "groups", "heat", "which-k", "quality", "provenance"]
    assert len({a["id"] for _, a in page.tags if "id" in a}) == sum("id" in a for _, a in page.tags)


def test_page_is_whole_without_the_script(build):
    page = read(build, 3)
    circles = [a for a in page.all("circle") if a.get("style") and "class" not in a]
    assert len(circles) == 300 + 3  # points and discs
    assert len(classed(page, "article", "card")) == 3
    assert len(page.all("td")) >= 6


def test_data_for_the_script_matches_the_picture(build):
    page = read(build, 4, 5)
    data = page.data
    labels = [axis["label"] for axis in data["axes"]]
    assert labels[:5] == ["x0", "x1", "x2", "x3", "x4"]
    assert labels[5].startswith("principal component 1")
    assert data["start"] == [5, 6]
    assert all(len(axis["values"]) == len(data["labels"]) == 300 for axis in data["axes"])
    assert len(data["clusters"]) == 4


def test_nothing_is_fetched(build, choice):
    text = render(View.of(*build(3, names=("http://evil.example/a.js", "b")), choice))
    page = Page(text)
    for _, attrs in page.tags:
        for name in ("src", "href", "action", "xlink:href", "srcset", "poster", "data"):
            assert (attrs.get(name) or "#").startswith(("#", "data:,"))
    styles = " ".join(page.scripts)
    assert "@import" not in styles
    assert "url(" not in styles
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\s*\(", styles)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy[0]["content"]


def test_hostile_names_are_text_everywhere(build, choice, tmp_path):
    rejects = Rejects()
    rejects.add(HOSTILE[0], 3, f"{HOSTILE[1]}, row 1")
    evil = choice | {"reasons": [HOSTILE[0]]}
    model, points = build(2, 3, names=HOSTILE, sources=(HOSTILE[1] + ".csv",), rejects=rejects)
    called = {int(model.ids[1]): "<img onerror=a(3)>", 99: "of a cluster that died"}
    path = write_report(model, points, tmp_path / "r.html", choice=evil, called=called)
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 2
    assert not page.all("img")
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert page.data["axes"][0]["label"].startswith("</script>")
    assert "{{ 7 * 7 }}" in page.words
    assert HOSTILE[0] in page.words
    assert f"<img onerror=a(3)> ({model.ids[1]})" in page.words
    assert "of a cluster that died" not in page.words


def test_choice_is_told_with_its_reasons(build, choice):
    page = read(build, 3, choice=choice)
    assert "k = 3 is suggested" in page.words
    assert "this model has" not in page.words
    assert "Confidence 72%" in page.words
    assert "4 of 6 criteria choose k = 3" in page.words
    assert len(page.all("figure")) == 7
    assert len(classed(page, "circle", "ring")) == 6
    assert "this model has 4" in read(build, 4, choice=choice).words


def test_no_structure_is_told_honestly(build, no_structure):
    page = read(build, 3, choice=no_structure)
    assert "No cluster structure found" in page.words
    assert "as a partition, not as a discovery" in page.words
    assert not classed(page, "rect", "band")


def test_choice_of_the_model_is_used(build, choice):
    model, points = build(3)
    assert "no other k was tried" in Page(render(View.of(model, points))).words
    assert "k = 3 is suggested" in Page(render(View.of(model.replace(choice=choice), points))).words


def test_missing_figures_leave_gaps(build, choice, figures):
    rows = figures()
    rows[2] |= dict.fromkeys(("silhouette", "gap", "gap_error"))
    rows[0]["bic"] = float("nan")
    odd = choice | {"candidates": rows, "confidence": float("nan"), "votes": {}}
    page = read(build, 3, choice=odd)
    assert "nan" not in " ".join(v or "" for t, a in page.tags for v in a.values() if t in ("path", "circle"))
    silhouette = next(a["d"] for a in classed(page, "path", "line") if a["d"].count("M") == 2)
    assert silhouette
    assert "Confidence" not in page.words
    one = choice | {"candidates": figures(range(3, 4)), "votes": {}}
    assert len(read(build, 3, choice=one).all("figure")) == 7


def test_rejects_and_provenance(build):
    rejects = Rejects()
    rejects.add("missing value", 3, "houses.csv, row 12, column 'rooms'")
    page = read(build, 2, rejects=rejects)
    assert "houses.csv, row 12, column 'rooms'" in page.words
    assert "Rows read 483" in page.words
    assert "21 November 2026" in page.words


@pytest.mark.parametrize(("k", "d"), [(1, 1), (2, 1), (2, 2), (3, 784), (100, 3), (100, 60)])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_shape_makes_a_page_of_bounded_size(build, k, d, metric):
    if metric == "cosine" and d == 1:
        pytest.skip("one column has two directions only")
    text = render(View.of(*build(k, d, 6000, metric=metric)))
    page = Page(text)
    assert len(text) < 2_500_000
    assert len(classed(page, "article", "card")) == k
    assert not re.search(r"\b(NaN|Infinity)\b", next(s for s in page.scripts if s.startswith("{")))
    for _, attrs in page.tags:
        for name in ("cx", "cy", "r", "x1", "y1", "width"):
            if name in attrs and attrs[name] != "device-width":
                assert np.isfinite(float(attrs[name]))


def test_many_columns_are_cut_and_that_is_said(build):
    page = read(build, 3, 784)
    assert len(page.data["axes"]) == 26
    assert "Shown are the 30 columns in which the groups differ most; 754 more are left out" in page.words


def test_empty_cluster_and_empty_summary(build):
    model, _ = build(3)
    model = model.replace(weights=np.array([2.0, 1.0, 0.0]))
    page = Page(render(View.of(model, WeightedPoints(np.empty((0, 0), np.float32), np.empty(0)))))
    assert "No row is nearest to this centre" in page.words
    assert "1 group is empty" in page.words
    assert len(classed(page, "g", "centre")) == 2


def test_controls_can_be_used_by_keyboard(build):
    page = read(build, 3)
    assert classed(page, "a", "skip")
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in page.all("div", role="region"))
    assert all(a.get("aria-label") for a in page.all("svg", role="img"))
    assert page.all("html")[0]["lang"] == "en-GB"


def test_file_appears_whole_or_not_at_all(build, tmp_path):
    model, points = build(2)
    target = tmp_path / "r.html"
    target.write_text("old")
    with pytest.raises(ShoalError, match="do not belong"):
        write_report(model, WeightedPoints(np.ones((3, 9), np.float32), np.ones(3)), target)
    assert target.read_text() == "old"
    assert write_report(model, points, target) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(ShoalError, match="cannot be written"):
        write_report(model, points, tmp_path / "no" / "r.html")


def test_page_is_the_same_every_time(build, choice):
    made = build(3)
    assert render(View.of(*made, choice)) == render(View.of(*made, choice))


def test_text_colours_have_contrast():
    """WCAG AA for the style sheet's text on its grounds, in both schemes."""
    from importlib.resources import files

    from shoal.report.palette import contrast

    css = (files("shoal.report") / "templates" / "report.css").read_text(encoding="utf-8")
    schemes = re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    assert len(schemes) == 2
    for scheme in schemes:
        colour = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for ground in ("paper", "panel"):
            for text in ("ink", "soft", "accent"):
                assert contrast(colour[text], colour[ground]) >= 4.5
            assert contrast(colour["ring"], colour[ground]) >= 3
        for ground in ("above", "below", "neutral"):
            assert contrast(colour["ink"], colour[ground]) >= 4.5


def test_map_columns_are_offered_even_if_they_tell_little(build):
    rng = np.random.default_rng(0)
    names = (*(f"c{j}" for j in range(40)), "lat", "lon")
    X = np.column_stack(
        [rng.normal(size=(300, 40)) + 20 * (np.arange(300) % 2)[:, None], rng.uniform(40, 50, (300, 2))]
    )
    data = read(build, 2, names=names, X=X).data
    assert [data["axes"][i]["label"] for i in data["start"]] == ["lon", "lat"]
    assert data["aspect"]["pair"] == data["start"]
