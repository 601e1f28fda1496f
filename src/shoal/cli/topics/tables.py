"""Topics on the terminal: tables and lines that no text from a file can disturb."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from shoal.cli.console import err, out
from shoal.errors import Rejects

if TYPE_CHECKING:
    from shoal.text.topics import Topic

MOST_TOPICS = 100
LEAST_EXAMPLE = 24
_STEPS = " ▁▂▃▄▅▆▇█"


def one_line(text: str, length: int = 120) -> str:
    """A text on one line, without control characters, cut at its end where too long.

    >>> one_line("lost\\x1b[2J my\\ncard", 10)
    'lost [2J …'
    """
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def print_topics(topics: Sequence[Topic], *, similarities: Sequence[float] = ()) -> None:
    """A table: id, share, name, one example; of what a search found, how near."""
    heads = ["topic", *(["similarity"] if similarities else []), "share", "texts"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("name", "for example"):
        table.add_column(head, no_wrap=True)
    shown = topics[:MOST_TOPICS]
    names = [one_line(topic.name + marks(topic), 48) for topic in shown]
    room = out.width - sum(len(h) + 2 for h in heads) - max(map(len, names), default=0) - 4
    for i, topic in enumerate(shown):
        near = [f"{similarities[i]:.2f}"] if similarities else []
        example = one_line(topic.texts[0] if topic.texts else "", max(room, LEAST_EXAMPLE))
        numbers = [str(topic.id), *near, f"{topic.share:.1%}", f"{topic.weight:,.0f}"]
        table.add_row(*numbers, Text(names[i]), Text(example, style="dim"))
    out.print(table, crop=False, overflow="ignore", no_wrap=True, soft_wrap=True)
    if len(topics) > len(shown):
        out.print(f"({len(topics) - len(shown)} smaller topics: see --json or a report)", style="dim")


def marks(topic: Topic) -> str:
    """What a person decided about a topic."""
    said = [word for word, true in (("named", topic.by_hand), ("pinned", topic.pinned)) if true]
    return f" ({', '.join(said)})" if said else ""


def print_topic(topic: Topic) -> None:
    """All that is known of one topic."""
    out.print(f"topic {topic.id}: {one_line(topic.name)}{marks(topic)}", style="bold", markup=False)
    out.print(f"{topic.share:.1%} of the texts, {topic.weight:,.0f}")
    best = max((word.score for word in topic.keywords), default=0.0) or 1.0
    width = max((len(word.term) for word in topic.keywords), default=0)
    for word in topic.keywords:
        bar = "█" * max(1, round(20 * word.score / best))
        out.print(f"  {one_line(word.term, 60):<{min(width, 60)}}  {bar}", markup=False)
    for text in topic.texts:
        out.print(f"  · {one_line(text, 400)}", markup=False)


def spark(values: NDArray[np.float64], most: float) -> str:
    """Values as a line of little bars.

    >>> spark(np.array([0.0, 1.0, 2.0, 4.0]), 4.0)
    ' ▂▄█'
    """
    if most <= 0:
        return " " * len(values)
    return "".join(_STEPS[min(8, int(np.ceil(8 * v / most)))] for v in values.tolist())


def print_rejects(rejects: Rejects) -> None:
    """What was left out, and where it was first."""
    for reason, count in sorted(rejects.counts.items()):
        first = one_line(rejects.first.get(reason, ""))
        err.print(f"left out {count:,}: {reason} (first: {first})", style="yellow", markup=False)


def waiting(what: str) -> AbstractContextManager[Any]:
    """A spinner on a terminal, nothing in a pipe."""
    return err.status(what) if err.is_terminal else nullcontext()
