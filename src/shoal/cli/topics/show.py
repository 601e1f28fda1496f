"""``shoal topics show``: topics as a table, one of them, their hierarchy, or their sizes over time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.cli.events import DATES
from shoal.cli.topics import options as t
from shoal.cli.topics.models import open_model
from shoal.cli.topics.tables import one_line, print_topic, print_topics, spark


def run(
    model: t.State,
    topic: Annotated[
        int | None, typer.Option(help="One topic: keywords and examples.", show_default=False)
    ] = None,
    tree: Annotated[bool, typer.Option("--tree", help="How topics hang together.")] = False,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="How much was said about each, and when.")
    ] = False,
    bins: Annotated[int, typer.Option(help="Stretches of time, for --over-time.", min=1)] = 24,
    json: o.Json = False,
) -> None:
    """Show the topics of a file, the largest first.

    Examples:

      shoal topics show tickets.topics

      shoal topics show tickets.topics --topic 3

      shoal topics show tickets.topics --tree

      shoal topics show news.topics --over-time --bins 12
    """
    found = open_model(model)
    if topic is not None:
        one = found.state_.topic(topic)
        print_json(one.to_dict()) if json else print_topic(one)
    elif tree:
        root = found.tree()
        if json:
            print_json(root.to_dict())
            return
        for line in root.lines():
            indent = len(line) - len(line.lstrip())
            out.print(" " * indent + one_line(line), markup=False)
    elif over_time:
        _show_times(found, bins, json)
    elif json:
        print_json({"texts": found.n_texts_seen_, "topics": [each.to_dict() for each in found.topics_]})
    else:
        out.print(f"{found.n_texts_seen_:,} texts, {len(found.topics_)} topics")
        print_topics(found.topics_)


def _show_times(model: Any, bins: int, json: bool) -> None:
    times = model.over_time(bins)
    if json:
        print_json(
            {
                "edges": times.edges.tolist(),
                "topics": list(times.topics),
                "weights": times.weights.tolist(),
                "texts": times.texts.tolist(),
            }
        )
        return
    names = {topic.id: topic.name for topic in model.topics_}
    dated = times.edges[0] >= DATES
    out.print(
        f"{len(times.texts)} stretches from {_day(times.edges[0], dated)} to {_day(times.edges[-1], dated)}"
    )
    width = max(len(str(number)) for number in times.topics)
    for j, number in enumerate(times.topics):
        values = times.weights[:, j]
        line = spark(values, float(values.max()))
        out.print(f"{number:>{width}} ▕{line}▏ {one_line(names[number], 60)}", markup=False)


def _day(time: float, dated: bool) -> str:
    if not dated:
        return f"{time:,.0f}"
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
