"""The page of topics: one file, whole, safe, and true."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from shoal.errors import ShoalError
from shoal.report import topics_map
from shoal.report.projection import by_pca
from shoal.report.topics_map import HEIGHT, MARGIN, WIDTH, bubble_radii, part_bubbles, place_labels
from shoal.report.topics_page import render_topics, write_topics_page
from shoal.text.topic_model import TopicModel

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = '</script><script>alert(1)</script> "><img src=x onerror=alert(2)> {{ 7 * 7 }} \u2028 東京'


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

    def classed(self, name):
        return [a for _, a in self.tags if name in (a.get("class") or "").split()]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def data(self):
        return next(json.loads(s) for s in self.scripts if s.startswith("{"))


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Principal components instead of t-SNE, which takes seconds, but where it is what is tested."""
    if request.node.name != "test_texts_of_a_topic_lie_together":
        monkeypatch.setattr(topics_map, "by_tsne", by_pca)


def learned(k=3, n=60, *, texts=None, times=False, d=8, **given):
    """Topics of texts around k directions, with vectors of our own."""
    rng = np.random.default_rng(0)
    kinds = np.arange(n) % k
    X = np.eye(max(k, d))[kinds] + 0.1 * rng.normal(size=(n, max(k, d)))
    said = texts or [f"word{kind} thing{kind} number {i}" for i, kind in enumerate(kinds)]
    model = TopicModel(k, **given)
    return model.partial_fit(said, vectors=X, times=1.7e9 + 3600.0 * np.arange(n) if times else None)


def test_headline_tells_how_many_topics_and_texts():
    page = Page(render_topics(learned(3)))
    assert "3 topics in 60 texts" in page.words
    assert "1 topic in 60 texts" in Page(render_topics(learned(1))).words


@pytest.mark.parametrize("k", [1, 2, 5, 24, 25, 100])
def test_every_topic_has_a_card_a_bubble_and_a_line_of_the_tree(k):
    model = learned(k, 20 * k)
    page = Page(render_topics(model))
    ids = sorted(topic.id for topic in model.topics_)
    cards = page.classed("topic")
    assert sorted(int(a["id"].removeprefix("topic-")) for a in cards) == ids
    assert len(page.classed("bubble")) == k
    assert len(page.classed("leaf")) == k
    assert [a["data-c"] for a in cards] == [str(i) for i in range(k)]  # as the script counts them
    assert any(a.get("id") == "more" for _, a in page.tags) == (k > 24)
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(set(names)) == len(names)


def test_page_stays_small_with_many_topics():
    assert len(render_topics(learned(100, 4000))) < 1_200_000


def test_links_lead_somewhere():
    page = Page(render_topics(learned(30, 600)))
    ids = {a["id"] for _, a in page.tags if "id" in a}
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_data_for_the_script_matches_the_picture():
    page = Page(render_topics(learned(4)))
    circles = [a for tag, a in page.tags if tag == "circle" and a.get("r") == "2.7"]
    data = page.data
    assert len(circles) == len(data["places"]) == len(data["topics"]) == len(data["texts"]) == 60
    assert [float(circles[0]["cx"]), float(circles[0]["cy"])] == data["places"][0]
    assert len(data["bubbles"]) == 4
    assert set(data["topics"]) == {0, 1, 2, 3}


def test_sizes_over_time_are_drawn_only_where_there_are_times():
    page = Page(render_topics(learned(3, times=True)))
    assert len(page.classed("area")) == 3
    assert "from 14 November 2023, 22:13 to 17 November 2023, 09:13" in page.words
    assert not Page(render_topics(learned(3))).classed("area")


def test_hostile_texts_are_text_everywhere(tmp_path):
    model = learned(2, 60, texts=[HOSTILE] * 30 + [f"{HOSTILE} {i}" for i in range(30)])
    model.rename(model.topics_[0].id, HOSTILE)
    page = Page(write_topics_page(model, tmp_path / "t.html", title=HOSTILE).read_text(encoding="utf-8"))
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert page.data["texts"][0].startswith("</script>")
    assert "{{ 7 * 7 }}" in page.words


def test_nothing_is_fetched():
    page = Page(render_topics(learned(3, texts=["see http://evil.example/a.js"] * 60)))
    for _, attrs in page.tags:
        for name in ("src", "href", "action", "xlink:href", "srcset", "poster", "data"):
            assert (attrs.get(name) or "#").startswith(("#", "data:,"))
    code = " ".join(s for s in page.scripts if not s.startswith("{"))
    assert not re.search(r"@import|url\(|\b(fetch|XMLHttpRequest|import)\s*\(", code)
    policy = next(a for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy["content"]


def test_what_people_decided_is_told():
    model = learned(3)
    first, second, _ = [topic.id for topic in model.topics_]
    model.rename(first, "Lost cards")
    model.pin(second)
    page = Page(render_topics(model))
    assert "Lost cards" in page.words
    assert "named by hand" in page.words
    assert "pinned" in page.words
    assert "1 name was given by hand" in page.words


def test_joined_topics_are_one_bubble():
    model = learned(4)
    model.merge_topics([topic.id for topic in model.topics_][:2])
    page = Page(render_topics(model))
    assert len(page.classed("bubble")) == 3
    assert set(page.data["topics"]) == {0, 1, 2}


def test_few_texts_make_a_page():
    model = TopicModel(1).partial_fit(["only this"], vectors=[[1.0, 0.0]])
    assert "1 topic in 1 text" in Page(render_topics(model)).words


def test_page_is_the_same_every_time():
    model = learned(5)
    assert render_topics(model) == render_topics(model)


def test_file_appears_whole_or_not_at_all(tmp_path):
    model = learned(2)
    target = tmp_path / "t.html"
    assert write_topics_page(model, target) == target
    assert [p.name for p in tmp_path.iterdir()] == ["t.html"]
    with pytest.raises(ShoalError, match="cannot be written"):
        write_topics_page(model, tmp_path / "no" / "t.html")


@pytest.mark.parametrize("k", [2, 10, 100])
def test_bubbles_stay_apart_and_inside(k):
    rng = np.random.default_rng(k)
    radii = bubble_radii(rng.dirichlet(np.ones(k)))
    places = part_bubbles(rng.normal((WIDTH / 2, HEIGHT / 2), 60, size=(k, 2)), radii)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) - radii[:, None] - radii[None]
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > -3
    assert (places - radii[:, None] >= MARGIN - 1e-6).all()
    assert (places + radii[:, None] <= np.array([WIDTH, HEIGHT]) - MARGIN + 1e-6).all()


def test_texts_of_a_topic_lie_together():
    data = Page(render_topics(learned(4, 80))).data
    places, topics = np.array(data["places"]), np.array(data["topics"])
    middles = np.array([places[topics == c].mean(axis=0) for c in range(4)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == topics).mean() > 0.95


def test_names_cover_nothing():
    bubbles = np.array([[200.0, 200.0, 40.0], [260.0, 262.0, 30.0], [700.0, 500.0, 20.0]])
    labels = place_labels(bubbles, ["a long name of a topic", "another name", "third"])
    assert {label.size for label in labels[2]} == {"big", "small"}
    for label in labels[0]:
        assert not (260 - 30 < label.x < 260 + 30 and 262 - 30 < label.y < 262 + 30)


def test_colours_of_marks_have_contrast():
    """The style sheet names no colour of its own: those of the report were checked."""
    from importlib.resources import files

    css = (files("shoal.report") / "templates" / "topics.css").read_text(encoding="utf-8")
    assert not re.search(r"#[0-9a-f]{3,6}\b(?=[;,) ])", css)
