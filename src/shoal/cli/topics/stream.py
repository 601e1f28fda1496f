"""``shoal topics stream``: topics that follow a stream of texts, told as they change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli import stream_options as so
from shoal.cli.console import err, out, print_json
from shoal.cli.live import stopping, telling
from shoal.cli.topics import options as t
from shoal.cli.topics.models import load_quick
from shoal.cli.topics.tables import one_line
from shoal.engines.outputs.open import open_output
from shoal.engines.stream.run import RunOptions, Status, StreamRun
from shoal.engines.stream.settings import Span
from shoal.engines.stream.topics import TopicLearner, topic_stream
from shoal.model.events import Event
from shoal.sources.stream_embedded import EmbeddedSource
from shoal.sources.stream_open import open_stream
from shoal.text.topic_state import TopicSettings
from shoal.text.topics import Topic

BATCH = 256
"""Texts embedded at a time: a second or two of a language model, after which labels go out."""


def run(
    source: so.Source,
    state: so.State,
    text_column: Annotated[
        str, typer.Option(help="Column, or key of JSON, that holds the text.", rich_help_panel=so.STREAM)
    ] = "text",
    k: t.K = None,
    model: t.ModelName = None,
    language: t.Language = None,
    follow: so.Follow = False,
    half_life: so.HalfLife = None,
    time: so.Time = None,
    time_unit: so.TimeUnit = "s",
    every: so.Every = "2000 rows",
    labels: so.Labels = None,
    keep: so.Keep = None,
    checkpoint: so.Checkpoint = 10.0,
    cache: t.Cache = None,
    no_cache: t.NoCache = False,
    device: t.Device = None,
    sample_rows: Annotated[
        int, typer.Option(help="Texts the summary keeps.", min=1, rich_help_panel="Size and speed")
    ] = 20_000,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Topics of a stream of texts as it comes: named, followed, told when they change, safe from crashes.

    Topics keep their ids and names; births, splits, merges and deaths are told. Empty texts go to
    STATE/dead_letters.jsonl. While it runs, or after, shoal topics show, search, report and rename take STATE.

    Examples:

      shoal topics stream tweets.jsonl --state tweets --out labels.jsonl

      shoal topics stream 'redis://localhost:6379/0?stream=tweets' --follow --state tweets --half-life 6h --time at

      kcat -C -t mails | shoal topics stream - --state mails --model hashed -k 5:40
    """
    settings = TopicSettings(t.parse_k(k or "auto"), tuple(language) if language else None, seed=seed)
    forget = None if half_life is None else Span.parse(half_life)
    stream = topic_stream(
        text_column,
        settings,
        time=time,
        time_unit=time_unit,
        half_life=forget,
        every=Span.parse(every),
        keep=so.parts(keep),
        sample_rows=sample_rows,
    )
    embedder = load_quick(model, device, t.cache_folder(cache, no_cache))
    read = o.reading(
        {}, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=o.OnError.skip
    )
    carried = {*stream.keep} - {time, text_column}  # a column of numbers shall not pass for texts
    read = replace(read, text_columns=read.text_columns | carried)
    learner = TopicLearner(stream, settings, text_column, (embedder.name, embedder.fingerprint), state)
    to_stdout = labels == "-"

    def told(event: Event) -> str:
        return spoken(
            event, {topic.id: topic for topic in learner.topics}, learner.of.curation.topic_of(event.cluster)
        )

    with (
        stopping() as stopped,
        telling(json=json, to_stderr=to_stdout, told=told, noun="topics") as watch,
    ):
        rows = EmbeddedSource(
            open_stream(source, follow=follow, options=read, state=state), embedder, text_column
        )
        options = RunOptions(max_rows=BATCH, checkpoint_seconds=checkpoint, watch=watch, stopped=stopped)
        target = None if labels is None else open_output(labels)
        done = StreamRun(rows, stream, state, labels=target, learner=learner, options=options).run()
    _conclude(done, learner, state, json=json, to_stderr=to_stdout)


def spoken(event: Event, topics: dict[int, Topic], number: int) -> str:
    """An event of a topic as people read it: by name, with a text that shows what it is about.

    >>> topic = Topic(3, "card · lost", (), 0.12, 12.0, ("my card is lost",), (3,))
    >>> spoken(Event("born", 1.0, 3, 12.0, 0.12), {3: topic}, 3)
    'topic 3 born: card · lost (12.0% of the texts), such as "my card is lost"'
    """
    topic = topics.get(number)
    text = (
        str(event)
        .replace("clusters ", "topics ")
        .replace("cluster ", "topic ")
        .replace("of the weight", "of the texts")
    )
    if topic is None:
        return text
    if event.kind == "born" and topic.texts:
        return f'topic {number} born: {one_line(topic.name)} ({event.share:.1%} of the texts), such as "{one_line(topic.texts[0], 80)}"'
    return f"{text}: {one_line(topic.name)}"


def _conclude(done: Status, learner: TopicLearner, state: Path, *, json: bool, to_stderr: bool) -> None:
    console = err if to_stderr else out
    if done.model is None:
        err.print(f"{done.read:,} texts read, no topics yet", markup=False)
        return
    if json:
        told = {"read": done.read, "learned": done.learned, "dead_letters": done.rejected}
        print_json(
            {"type": "end", **told, "topics": [t.to_dict() for t in learner.topics]}, to_stderr=to_stderr
        )
        return
    speed = done.read / max(done.seconds, 1e-9)
    text = f"{done.read:,} texts in {done.seconds:.1f} s ({speed:,.0f}/s); {done.rejected:,} dead letters; {len(learner.topics)} topics"
    console.print(text, markup=False)
    console.print(f"state in {state}; next: shoal topics show, search or report {state}", markup=False)
