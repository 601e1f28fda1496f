"""``shoal stream``: clusters that follow a stream, with labels, events and checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli import stream_options as so
from shoal.cli.console import err, out, print_clusters, print_json, summarise
from shoal.cli.live import stopping, telling
from shoal.engines.local import load
from shoal.engines.outputs.open import open_output
from shoal.engines.stream.run import RunOptions, Status, StreamRun
from shoal.engines.stream.settings import Span, StreamSettings
from shoal.errors import BadInputError
from shoal.features.recipe import Recipe
from shoal.sources.options import ReadOptions
from shoal.sources.stream_open import open_stream


def run(
    source: so.Source,
    state: so.State,
    k: Annotated[
        str,
        typer.Option("--k", "-k", help="Number of clusters, or a range to choose from all the time: 2:12."),
    ] = "8",
    follow: so.Follow = False,
    half_life: so.HalfLife = None,
    time: so.Time = None,
    time_unit: so.TimeUnit = "s",
    every: so.Every = "20000 rows",
    learn_rows: Annotated[
        int,
        typer.Option(
            help="Rows that scales and the first model are learned from.", min=1, rich_help_panel=so.STREAM
        ),
    ] = 1000,
    labels: so.Labels = None,
    keep: so.Keep = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            help="Keep a summary per 1h (10m, 1d, ...) of event time, for shoal window.",
            rich_help_panel=so.STATE,
        ),
    ] = None,
    disk_budget: Annotated[
        str | None, typer.Option(help="Disk the time buckets may take: 1GB.", rich_help_panel=so.STATE)
    ] = None,
    checkpoint: so.Checkpoint = 10.0,
    recipe: o.RecipeFile = None,
    like: o.Like = None,
    columns: o.Columns = None,
    one_hot: o.OneHot = None,
    top: o.Top = None,
    other: o.OtherOption = None,
    where: o.Where = None,
    scale: o.ScaleOption = None,
    nulls: o.NullsOption = None,
    metric: o.MetricOption = None,
    weight: o.Weight = None,
    names: o.Names = None,
    delimiter: o.Delimiter = None,
    format: o.Format = None,
    encoding: o.Encoding = None,
    sample_rows: Annotated[
        int, typer.Option(help="Rows the summary keeps.", min=1, rich_help_panel="Size and speed")
    ] = 20_000,
    max_bytes: o.MaxBytes = "64MiB",
    seed: o.Seed = 0,
    threads: o.Threads = None,
    json: o.Json = False,
) -> None:
    """Cluster a stream as it comes: learn and label in one pass, tell what changes, survive any crash.

    Clusters keep their ids from model to model; births, splits, merges and deaths are told and kept in
    STATE/events.jsonl. Bad records go to STATE/dead_letters.jsonl. STATE is a model too: shoal inspect, plot, report
    and assign take it.

    Examples:

      shoal stream clicks.jsonl --follow -k 2:12 --time at --half-life 6h --state clicks --out labels.jsonl

      kcat -C -t events | shoal stream - -k 20 --state events

      shoal stream 'redis://localhost:6379/0?stream=clicks' --follow -k 8 --state clicks --out clicks-labels/
    """
    spec, from_file = o.features(
        recipe,
        like,
        columns=columns,
        one_hot=one_hot,
        top=top,
        other=other,
        where=where,
        scale=scale,
        nulls=nulls,
        metric=metric,
        weight=weight,
    )
    learned = spec if isinstance(spec, Recipe) else None
    read = o.reading(
        from_file, names=names, delimiter=delimiter, format=format, encoding=encoding, on_error=o.OnError.skip
    )
    settings = StreamSettings(
        k=_k_range(k),
        recipe=spec.spec if isinstance(spec, Recipe) else spec,
        time=time,
        time_unit=time_unit,
        half_life=None if half_life is None else Span.parse(half_life),
        every=Span.parse(every),
        learn_rows=learn_rows,
        keep=so.parts(keep),
        bucket=None if bucket is None else _seconds(bucket),
        sample_rows=sample_rows,
        max_bytes=o.parse_bytes(max_bytes),
        seed=seed,
        n_threads=threads,
    )
    to_stdout = labels == "-"
    with stopping() as stopped, telling(json=json, to_stderr=to_stdout) as watch:
        options = RunOptions(
            checkpoint_seconds=checkpoint,
            disk_budget=None if disk_budget is None else o.parse_bytes(disk_budget),
            watch=watch,
            stopped=stopped,
        )
        rows = open_stream(source, follow=follow, options=_with_text(read, settings), state=state)
        target = None if labels is None else open_output(labels)
        done = StreamRun(rows, settings, state, labels=target, recipe=learned, options=options).run()
    _conclude(done, state, json=json, to_stderr=to_stdout)


def _conclude(done: Status, state: Path, *, json: bool, to_stderr: bool) -> None:
    if done.model is None:
        err.print(f"{done.read:,} rows read, no model yet", markup=False)
        return
    found = load(state)
    if json:
        print_json({"type": "end", "read": done.read, "learned": done.learned, "dead_letters": done.rejected, "seconds_running": round(done.seconds, 3)}
                   | summarise(found), to_stderr=to_stderr)  # fmt: skip
        return
    console = err if to_stderr else out
    speed = done.read / max(done.seconds, 1e-9)
    text = f"{done.read:,} rows in {done.seconds:.1f} s ({speed:,.0f}/s); {done.rejected:,} dead letters"
    console.print(text, markup=False)
    if not to_stderr:
        print_clusters(found)
    console.print(
        f"state in {state}; next: shoal events, shoal inspect or shoal report {state}", markup=False
    )


def _with_text(read: ReadOptions, settings: StreamSettings) -> ReadOptions:
    """Categories stay text, and so do columns that are only carried along: an id of 007 must not become 7."""
    carried = {*settings.keep} - {*(settings.recipe.columns or ()), settings.time}
    return replace(read, text_columns=read.text_columns | settings.recipe.text_columns | carried)


def _k_range(text: str) -> int | tuple[int, int]:
    ks = o.parse_ks(text)
    return ks[0] if len(ks) == 1 else (ks[0], ks[-1])


def _seconds(text: str) -> float:
    span = Span.parse(text)
    if span.seconds is None:
        raise BadInputError(f"{text!r} is no time", remedy="write 10m, 1h or 1d")
    return span.seconds
