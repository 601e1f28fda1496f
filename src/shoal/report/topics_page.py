"""The page of topics: one HTML file that needs nothing else, whole without its script, safe for texts of any origin."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from shoal.errors import BadInputError, ShoalError
from shoal.model.release import release
from shoal.report.palette import cluster_colours
from shoal.report.topics_map import HEIGHT, WIDTH, topic_map
from shoal.report.wording import compact, count_text, percent_text
from shoal.report.writing import whole_file
from shoal.text.over_time import TopicTimes
from shoal.text.topic_model import TopicModel
from shoal.text.topic_tree import Node
from shoal.text.topics import Topic

MOST_CARDS = 24
"""Cards shown at once; those of smaller topics unfold."""
MOST_WORDS, MOST_EXAMPLES = 8, 5
LONGEST = 280
"""Characters of an example that are shown."""
DATES = 1e8
"""Times from here on are seconds since 1970; smaller ones are numbers of someone's own."""
AREA_WIDTH, AREA_HEIGHT = 240, 36


def write_topics_page(
    model: TopicModel, path: str | os.PathLike[str], *, title: str | None = None, bins: int = 24
) -> Path:
    """Write the page of a topic model; the file appears whole or not at all.

    Parameters
    ----------
    title : heading; default: how many topics in how many texts.
    bins : stretches of time, where the texts have times.

    Raises
    ------
    ShoalError : the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> model = TopicModel(2, embedder="hashed").fit(["my card is lost", "card lost", "exchange rate", "what rate"])
    >>> with TemporaryDirectory() as folder:
    ...     page = write_topics_page(model, Path(folder) / "topics.html").read_text("utf-8")
    >>> "2 topics in 4 texts" in page
    True
    """
    if Path(path).is_file() and not Path(path).read_bytes()[:64].lstrip().lower().startswith(
        b"<!doctype html"
    ):
        raise ShoalError(f"{path} exists and is no page; choose another --out")
    text = render_topics(model, title=title, bins=bins)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return Path(path)


def render_topics(model: TopicModel, *, title: str | None = None, bins: int = 24) -> str:
    """The page as text."""
    return _environment().get_template("topics.html").render(topics_page(model, title=title, bins=bins))


def topics_page(model: TopicModel, *, title: str | None = None, bins: int = 24) -> dict[str, Any]:
    """The context of ``topics.html``."""
    topics = model.topics_
    colours = cluster_colours(len(topics))
    times = _times(model, bins)
    cards = [_card(topic, i, colours[i], topics[0].share, times) for i, topic in enumerate(topics)]
    seen = count_text(model.n_texts_seen_, "text")
    headline = f"{count_text(len(topics), 'topic')} in {seen}"
    return {
        "title": _line(title or headline),
        "headline": headline if title else "",
        "summary": _summary(model, topics, times),
        "ribbon": [
            {"colour": colour, "width": round(100 * topic.share, 3)}
            for topic, colour in zip(topics, colours, strict=True)
        ],
        "map": _map(model, topics, colours),
        "cards": cards[:MOST_CARDS],
        "more_cards": cards[MOST_CARDS:],
        "tree": list(_tree(model.tree(), {t.id: i for i, t in enumerate(topics)}, colours)),
        "times": None if times is None else _stretch(times),
        "facts": _facts(model),
        "rejects": [
            (reason, f"{rows:,}", model.rejects_.first.get(reason, ""))
            for reason, rows in sorted(model.rejects_.counts.items(), key=lambda item: -item[1])
        ],
    }


def _summary(model: TopicModel, topics: list[Topic], times: TopicTimes | None) -> list[str]:
    out = []
    if len(topics) > 1:
        most, least = percent_text(topics[0].share), percent_text(topics[-1].share)
        out.append(f"The largest topic holds {most} of the texts, the smallest {least}.")
    if times is not None:
        first, last = _stretch(times)
        out.append(f"The texts date from {first} to {last}.")
    named = sum(topic.by_hand for topic in topics)
    if named:
        out.append(f"{count_text(named, 'name was', 'names were')} given by hand.")
    return out


def _card(
    topic: Topic, position: int, colour: str, largest: float, times: TopicTimes | None
) -> dict[str, Any]:
    best = max((word.score for word in topic.keywords), default=0.0) or 1.0
    return {
        "position": position,
        "id": topic.id,
        "name": _line(topic.name, 80),
        "colour": colour,
        "share": percent_text(topic.share),
        "width": round(100 * topic.share / max(largest, 1e-300), 2),
        "texts": count_text(topic.weight, "text"),
        "marks": [word for word, on in (("named by hand", topic.by_hand), ("pinned", topic.pinned)) if on],
        "words": [
            {"term": _line(word.term, 60), "width": round(max(100 * word.score / best, 2.0), 1)}
            for word in topic.keywords[:MOST_WORDS]
        ],
        "examples": [_line(text) for text in topic.texts[:MOST_EXAMPLES]],
        "area": None if times is None else _area(times.weights[:, times.topics.index(topic.id)]),
    }


def _map(model: TopicModel, topics: list[Topic], colours: tuple[str, ...]) -> dict[str, Any]:
    state = model.state_
    sample, positions = state.summary.sample(), state.described().positions
    found = topic_map(
        model.model_,
        sample.X,
        sample.weights,
        positions,
        [topic.share for topic in topics],
        short_names([topic.name for topic in topics]),
    )
    order = np.random.default_rng(0).permutation(len(found.rows))  # no topic is drawn on top of all others
    rows, places = found.rows[order], found.points[order].tolist()
    mine = positions[rows].tolist()
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "kind": found.kind,
        "note": f"{len(rows):,} of {count_text(model.n_texts_seen_, 'text')}",
        "points": [(x, y, colours[j]) for (x, y), j in zip(places, mine, strict=True)],
        "bubbles": [
            {
                "position": i, "id": topic.id, "x": x, "y": y, "r": r, "colour": colours[i],
                "font": round(float(min(max(0.75 * r, 8.5), 20.0)), 1), "labels": found.labels[i],
                "said": f"{_line(topic.name, 80)}, {percent_text(topic.share)}",
            }
            for i, (topic, (x, y, r)) in enumerate(zip(topics, found.bubbles.tolist(), strict=True))
        ],
        "data": {
            "width": WIDTH,
            "bubbles": found.bubbles.tolist(),
            "places": places,
            "topics": mine,
            "texts": [_line(sample.texts[i], 160) for i in rows.tolist()],
        },
    }  # fmt: skip


def short_names(names: Sequence[str]) -> list[str]:
    """As many words of each name as tell it from the others.

    >>> short_names(["feel · love · life", "feel · cold", "card · lost"])
    ['feel · love', 'feel · cold', 'card']
    """
    out = []
    for i, name in enumerate(names):
        words, others = name.split(" · "), [other for j, other in enumerate(names) if j != i]
        heads = (" · ".join(words[:n]) for n in range(1, len(words) + 1))
        alone = (h for h in heads if not any(f"{other} · ".startswith(f"{h} · ") for other in others))
        out.append(_line(next(alone, name), 28))
    return out


def _tree(
    node: Node, position: dict[int, int], colours: tuple[str, ...], depth: int = 0
) -> Iterator[dict[str, Any]]:
    """The hierarchy as lines, each fork before its parts."""
    leaf = not node.children
    at = position[node.topics[0]]
    yield {
        "depth": depth,
        "id": node.topics[0] if leaf else None,
        "name": _line(node.name, 80),
        "share": percent_text(node.share),
        "colour": colours[at] if leaf else "",
        "topics": len(node.topics),
    }
    for child in node.children:
        yield from _tree(child, position, colours, depth + 1)


def _times(model: TopicModel, bins: int) -> TopicTimes | None:
    try:
        return model.over_time(bins)
    except BadInputError:  # texts were learned without times
        return None


def _stretch(times: TopicTimes) -> tuple[str, str]:
    """The first and the last time, as people write them."""
    first, last = float(times.edges[0]), float(times.edges[-1])
    if first < DATES:
        return compact(first), compact(last)
    form = "%-d %B %Y" if last - first > 3 * 86_400 else "%-d %B %Y, %H:%M"
    days = [datetime.fromtimestamp(t, UTC).strftime(form) for t in (first, last)]
    return days[0], days[1]


def _area(values: NDArray[np.float64]) -> dict[str, str]:
    """A small chart: an outline of steps as wide as the stretches of time, smoothed by straight lines."""
    most = float(values.max(initial=0.0)) or 1.0
    x = np.linspace(0, AREA_WIDTH, len(values))
    y = AREA_HEIGHT - 2 - (AREA_HEIGHT - 5) * values / most
    line = " ".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(zip(x, y, strict=True)))
    return {
        "line": line,
        "area": f"{line} L{AREA_WIDTH} {AREA_HEIGHT} L0 {AREA_HEIGHT} Z",
        "most": compact(most),
    }


def _facts(model: TopicModel) -> list[tuple[str, str]]:
    state = model.state_
    sample = len(state.summary.sample().texts)
    name = str(getattr(model.embedder, "name", model.embedder) or "computed elsewhere")
    out = [
        ("Texts read", f"{model.n_texts_seen_:,}"),
        ("Kept in the sample", f"{sample:,}"),
        ("Vectors", "/".join(PurePath(name).parts[-2:])),
        ("Languages", ", ".join(state.described().languages) or "none found"),
        ("Seed", str(state.settings.seed)),
        ("Shoal", release()),
    ]
    if model.half_life is not None and math.isfinite(model.half_life):
        out.insert(2, ("A text counts half after", f"{compact(model.half_life / 86_400)} days"))
    if model.model_.version:
        out.append(("Model version", model.model_.version))
    return out


def _line(text: str, length: int = LONGEST) -> str:
    """On one line, cut at the end where too long: of a text its beginning tells the most."""
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    out = Environment(
        loader=PackageLoader("shoal.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The style sheets and the script are ours and go in as they are; nothing else does.
    for name in ("report.css", "topics.css", "topics.js"):
        source = out.loader.get_source(out, name)[0] if out.loader is not None else ""
        out.globals[name.replace(".", "_")] = source
    return out
