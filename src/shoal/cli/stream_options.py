"""Options that the commands which follow a stream share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STREAM, STATE = "Stream", "State and outputs"

Source = Annotated[
    str,
    typer.Argument(
        help="A file or glob, a directory that receives files, redis://host:port/db?stream=NAME, or - for standard input.",
        show_default=False,
    ),
]
State = Annotated[
    Path,
    typer.Option(
        help="Directory for checkpoint, models, events and dead letters; a run goes on where it ended.",
        show_default=False,
        rich_help_panel=STATE,
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Wait for more instead of ending with the data.", rich_help_panel=STREAM
    ),
]
HalfLife = Annotated[
    str | None,
    typer.Option(
        help="Forget: a row counts half after 10m, 6h, 7d of event time, or after 5000 rows.",
        rich_help_panel=STREAM,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(help="Column of event times: dates, ISO 8601 or numbers.", rich_help_panel=STREAM),
]
TimeUnit = Annotated[
    str, typer.Option(help="Of event times that are numbers: s, ms, us, ns.", rich_help_panel=STREAM)
]
Every = Annotated[
    str, typer.Option(help="A new model every so many rows, or 5m of event time.", rich_help_panel=STREAM)
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        help="Labels: a .jsonl or .csv file, a directory for Parquet, redis://...?stream=NAME, or -.",
        rich_help_panel=STATE,
    ),
]
Keep = Annotated[
    str | None, typer.Option(help="Columns that labels carry along: id,name.", rich_help_panel=STATE)
]
Checkpoint = Annotated[
    float, typer.Option(help="Seconds between checkpoints.", min=0.0, rich_help_panel=STATE)
]


def parts(text: str | None) -> tuple[str, ...]:
    """Names between commas.

    >>> parts("id, name,")
    ('id', 'name')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
