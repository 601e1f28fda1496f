"""What people decide about topics: names, what belongs together, what apart, what stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.cli.topics import options as t
from shoal.cli.topics.models import open_model
from shoal.cli.topics.tables import print_topics
from shoal.errors import BadInputError

if TYPE_CHECKING:
    from shoal.text.topic_model import TopicModel


def rename(
    model: t.State,
    topic: t.TopicId,
    name: Annotated[str | None, typer.Argument(help="The name.", show_default=False)] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Let the keywords name it again.")] = False,
    out_file: t.NewFile = None,
    json: o.Json = False,
) -> None:
    """Give a topic a name that stays, whatever texts come.

    Examples:

      shoal topics rename tickets.topics 3 "lost cards"

      shoal topics rename tickets.topics 3 --auto
    """
    if (name is None) != auto:
        raise BadInputError(
            "a name or --auto is due, and not both", remedy='write: rename MODEL 3 "lost cards"'
        )
    found = open_model(model)
    found.rename(topic, name)
    _done(found, [topic], out_file or model, json)


def join(model: t.State, topics: t.TopicIds, out_file: t.NewFile = None, json: o.Json = False) -> None:
    """Make several topics one, under the id of the first; new texts follow.

    Example:

      shoal topics join tickets.topics 3 5 8
    """
    found = open_model(model)
    found.merge_topics(topics)
    _done(found, topics[:1], out_file or model, json)


def split(
    model: t.State,
    topic: t.TopicId,
    into: Annotated[int, typer.Option(help="Parts.", min=2)] = 2,
    out_file: t.NewFile = None,
    json: o.Json = False,
) -> None:
    """Make several topics of one; they stay apart.

    Example:

      shoal topics split tickets.topics 3 --into 2
    """
    found = open_model(model)
    _done(found, found.split_topic(topic, into), out_file or model, json)


def pin(model: t.State, topics: t.TopicIds, out_file: t.NewFile = None, json: o.Json = False) -> None:
    """Let topics stay where they are, whatever texts come.

    Example:

      shoal topics pin tickets.topics 3 5
    """
    found = open_model(model)
    for topic in topics:
        found.pin(topic)
    _done(found, topics, out_file or model, json)


def unpin(model: t.State, topics: t.TopicIds, out_file: t.NewFile = None, json: o.Json = False) -> None:
    """Let pinned topics follow their texts again.

    Example:

      shoal topics unpin tickets.topics 3
    """
    found = open_model(model)
    for topic in topics:
        found.unpin(topic)
    _done(found, topics, out_file or model, json)


def _done(model: TopicModel, changed: list[int], target: Path, json: bool) -> None:
    model.save(target)
    topics = [topic for topic in model.topics_ if topic.id in changed]
    if json:
        print_json([topic.to_dict() for topic in topics])
        return
    print_topics(topics)
    out.print(f"saved to {target}", markup=False)
