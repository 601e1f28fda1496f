"""``shoal events``: what happened to the clusters of a stream, as lines, as a table, as a picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from shoal.cli import options as o
from shoal.cli.console import out, print_json
from shoal.engines.outputs.json_text import json_lines
from shoal.errors import BadInputError
from shoal.features.event_time import parse_time
from shoal.model.event_log import as_table, read_events, read_shares
from shoal.model.events import KINDS, Event

DATES = 1e8
"""Times from here on are seconds since 1970; smaller ones are row numbers, or made."""
LOG, HISTORY = "events.jsonl", "history.jsonl"


def run(
    state: Annotated[
        Path, typer.Argument(help="State directory of a stream, or its events.jsonl.", show_default=False)
    ],
    kind: Annotated[
        list[str] | None, typer.Option(help=f"Only these; may be repeated: {', '.join(KINDS)}.")
    ] = None,
    cluster: Annotated[list[int] | None, typer.Option(help="Only of this cluster; may be repeated.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="ISO 8601, or a number as in the log.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this.", show_default=False)] = None,
    table: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a table: .parquet, .csv, .jsonl; or a picture: .png, .svg."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Tell what happened: clusters that were born, died, split, merged, grew, shrank or moved.

    Examples:

      shoal events clicks --kind born --kind split

      shoal events clicks --from 2026-11-01 --out events.parquet

      shoal events clicks --out events.png
    """
    for name in kind or ():
        if name not in KINDS:
            raise BadInputError(f"no kind of event is called {name!r}", remedy=f"one of {', '.join(KINDS)}")
    log = state / LOG if state.is_dir() else state
    events = list(
        read_events(log, kinds=kind or (), clusters=cluster or (), since=_moment(since), until=_moment(until))
    )
    if table is not None:
        _write(table, events, log.with_name(HISTORY))
        out.print(f"{len(events):,} events written to {table}", markup=False)
    elif json:
        print_json([e.to_dict() for e in events])
    else:
        for event in events:
            out.print(f"{when(event.time)}{event}", markup=False)


def when(time: float | None) -> str:
    """A time as people write it; small numbers are row numbers or made times.

    >>> when(1_700_000_000.0), when(1200.0)
    ('2023-11-14 22:13:20  ', '1,200  ')
    """
    if time is None:
        return ""
    if not _is_date(time):
        return f"{time:,.0f}  "
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S  ")


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise BadInputError(f"{text!r} is no time", remedy="write 2026-11-01T12:00, or a number") from None


def _write(path: Path, events: list[Event], history: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    suffix, rows = path.suffix.lower(), as_table(events)
    if suffix == ".parquet":
        pq.write_table(rows, path)
    elif suffix == ".csv":
        lists = {
            n: [" ".join(map(str, v)) for v in rows.column(n).to_pylist()] for n in ("parents", "children")
        }
        for name, values in lists.items():
            rows = rows.set_column(rows.schema.get_field_index(name), name, [values])
        pa_csv.write_csv(rows, path)
    elif suffix == ".jsonl":
        path.write_bytes(b"".join(bytes(block) for block in json_lines(rows)))
    else:
        from shoal.report import pictures

        if history.exists():
            shares = read_shares(history)
            figure = pictures.lineage(events, shares, dated=_is_date(pc.max(shares.column("time")).as_py()))
        else:
            figure = pictures.events_timeline(
                events, dated=_is_date(max((e.time for e in events), default=None))
            )
        pictures.save_picture(figure, path)


def _is_date(time: float | None) -> bool:
    return time is not None and time >= DATES
