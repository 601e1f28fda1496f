"""Reading the log of events that a stream leaves: as objects, as a table, some of them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from shoal.errors import DamagedFileError, ShoalError
from shoal.model.events import Event

SCHEMA = pa.schema(
    [
        ("time", pa.float64()),
        ("kind", pa.string()),
        ("cluster", pa.int64()),
        ("mass", pa.float64()),
        ("share", pa.float64()),
        ("parents", pa.list_(pa.int64())),
        ("children", pa.list_(pa.int64())),
        ("text", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Columns of :func:`as_table`; ``detail`` is JSON."""


def read_events(
    path: str | os.PathLike[str],
    *,
    kinds: Collection[str] = (),
    clusters: Collection[int] = (),
    since: float | None = None,
    until: float | None = None,
) -> Iterator[Event]:
    """Events of a log, one JSON object a line, in order; a last line that is still being written is left out.

    Parameters
    ----------
    kinds, clusters : only these; a cluster that is a parent or a child counts.
    since, until : times, the first inclusive.

    Raises
    ------
    ShoalError : there is no log. DamagedFileError : a line is no event.
    """
    log = Path(path)
    try:
        text = log.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ShoalError(f"{log} is not a log of events") from error
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            event = Event.from_dict(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedFileError(f"{log}, line {number}: is no event: {error}") from error
        if kinds and event.kind not in kinds:
            continue
        if clusters and not {event.cluster, *event.parents, *event.children} & set(clusters):
            continue
        if (since is None or event.time >= since) and (until is None or event.time < until):
            yield event


def read_shares(path: str | os.PathLike[str]) -> pa.Table:
    """The share of every cluster at every model of a stream, from its history: columns time, cluster, share.

    Raises
    ------
    ShoalError : there is no history. DamagedFileError : a line of it cannot be read.
    """
    log = Path(path)
    try:
        text = log.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ShoalError(f"{log} is not the history of a stream") from error
    rows = []
    try:
        for line in text[: text.rfind(b"\n") + 1].splitlines():
            entry = json.loads(line)
            pairs = zip(entry["ids"], entry["shares"], strict=True)
            rows += [{"time": float(entry["time"]), "cluster": int(i), "share": float(s)} for i, s in pairs]
    except (ValueError, LookupError, TypeError) as error:
        raise DamagedFileError(f"{log} cannot be read: {error}") from error
    return pa.Table.from_pylist(
        rows, schema=pa.schema([("time", pa.float64()), ("cluster", pa.int64()), ("share", pa.float64())])
    )


def as_table(events: Iterable[Event]) -> pa.Table:
    """A row per event, of :data:`SCHEMA`.

    >>> as_table([Event("born", 5.0, 2, 10.0, 0.25)]).select(["time", "text"]).to_pylist()
    [{'time': 5.0, 'text': 'cluster 2 born (25.0% of the weight)'}]
    """
    rows = [
        {name: getattr(e, name) for name in ("time", "kind", "cluster", "mass", "share")}
        | {"parents": list(e.parents), "children": list(e.children)}
        | {"text": str(e), "detail": json.dumps(dict(e.detail))}
        for e in events
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
