"""Bodies of requests with all their columns: those that a model needs, and those that a stream carries along."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from shoal.engines.stream.parts import with_times_as_text
from shoal.errors import BadInputError
from shoal.features.columns import is_number
from shoal.serve.arrow_body import arrow_batch
from shoal.serve.columns import PLACE, TEXT, Wanted, bare_width, check_width
from shoal.serve.json_body import json_object
from shoal.serve.limits import check_rows
from shoal.serve.rows import CSV, JSON, RAW, csv_header

NO_MODEL = "until there is a model, send JSON objects or CSV with a header"
MOST_CELLS = 10_000_000
"""Values of a request that are not asked for by a model: in some formats they cost a client next to nothing."""
_MOST_TEXT = 256 * 1024**2
"""Bytes of categories, written out."""


@dataclass(frozen=True)
class Sent:
    """The rows of a request."""

    count: int
    columns: dict[str, list[Any]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    """What came as objects, whole; ``columns`` holds those that are checked."""


def columns_of(
    kind: str, body: bytes, wanted: tuple[Wanted, ...], *, time: str | None = None, max_rows: int = 100_000
) -> Sent:
    """All columns of a body.

    Parameters
    ----------
    kind : content type, as for labels. wanted : columns that must be there; none: there is no model yet.
    time : column of event times, if there are any.

    Raises
    ------
    BadInputError : a column is missing, or the body cannot be read. TooManyRowsError : more than ``max_rows``.

    >>> columns_of("text/csv", b"x,user\\n1,007\\n", (Wanted("x", "number"),)).columns
    {'x': [1], 'user': ['007']}
    """
    if kind == JSON:
        sent = _from_json(body, wanted, time, max_rows)
    elif kind == CSV:
        sent = _from_csv(body, wanted, time)
    elif not wanted:
        raise BadInputError("there is no model yet", place=PLACE, remedy=NO_MODEL)
    elif kind == RAW:
        sent = _from_raw(body, wanted, max_rows)
    else:
        sent = _from_arrow(body, wanted, max_rows)
    check_rows(sent.count, max_rows)
    return sent


def _from_json(body: bytes, wanted: Sequence[Wanted], time: str | None, max_rows: int) -> Sent:
    rows = json_object(body, remedy='send {"rows": [...]}').get("rows")
    if not isinstance(rows, list):
        raise BadInputError("has no list of rows", place=PLACE, remedy='send {"rows": [...]}')
    check_rows(len(rows), max_rows)
    kinds = {type(row) for row in rows}
    if kinds == {dict}:
        held = list(dict.fromkeys(name for row in rows for name in row))
        _check_names([w.name for w in wanted], held)
        checked = {w.name for w in wanted} | ({time} & set(held))
        return Sent(len(rows), {name: [row.get(name) for row in rows] for name in checked if name}, rows)
    if kinds == {str} and [w.kind for w in wanted] in ([], ["text"]):
        return Sent(len(rows), {wanted[0].name if wanted else TEXT: rows})
    if kinds != {list} or not wanted:
        remedy = 'send {"rows": [{"column": value}]}' if wanted else NO_MODEL
        raise BadInputError("rows are not all objects", place=PLACE, remedy=remedy)
    if len(wanted) == 1 and wanted[0].kind == "vector":
        return Sent(len(rows), {wanted[0].name: rows})
    for i, row in enumerate(rows):
        if len(row) != len(wanted):
            check_width(len(row), wanted, f"{PLACE}, row {i + 1}")
    values = zip(*rows, strict=True)
    return Sent(len(rows), {w.name: list(column) for w, column in zip(wanted, values, strict=True)})


def _from_csv(body: bytes, wanted: Sequence[Wanted], time: str | None) -> Sent:
    try:
        header = csv_header(body)
        types = _csv_types(header, wanted, time)
        table = pa_csv.read_csv(
            io.BytesIO(body),
            read_options=pa_csv.ReadOptions(block_size=min(len(body) + 1, 2**31 - 1), use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=["", "NaN", "nan", "null", "NULL"]
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"cannot be read as CSV: {str(error)[:200]}", place=PLACE, remedy="send UTF-8 with commas"
        ) from error
    held = table.schema.names
    if len(set(held)) < len(held):
        twice = next(name for name in held if held.count(name) > 1)
        raise BadInputError(f"has two columns named {twice!r}", place=PLACE, remedy="rename one")
    _check_names([w.name for w in wanted], held)
    _check_cells(table.num_rows, len(held) - len(wanted))
    return Sent(table.num_rows, {name: table.column(name).to_pylist() for name in held})


def _csv_types(header: Sequence[str], wanted: Sequence[Wanted], time: str | None) -> dict[str, Any]:
    """Columns that stay text; of those carried along too, once it is known which: an id of 007 must not become 7."""
    checked = {w.name for w in wanted if w.kind != "text"} | {time}
    names = header if wanted else [w.name for w in wanted]
    return {name: pa.string() for name in names if name not in checked}


def _from_arrow(body: bytes, wanted: tuple[Wanted, ...], max_rows: int) -> Sent:
    needed = arrow_batch(body, wanted, max_rows)  # which judges the stream as a whole
    schema = pa.ipc.open_stream(body).schema
    names = {w.name for w in wanted}
    others = [f for f in schema if f.name not in names and len(schema.get_all_field_indices(f.name)) == 1]
    plain = [Wanted(f.name, "text") for f in others if _is_plain(f.type)]
    times = [f.name for f in others if pa.types.is_temporal(f.type) and not pa.types.is_interval(f.type)]
    _check_cells(needed.num_rows, len(plain) + len(times))
    columns = {name: needed.column(name).to_pylist() for name in needed.schema.names}
    if plain:
        carried = arrow_batch(body, plain, max_rows)
        _check_text(carried)
        columns |= {name: carried.column(name).to_pylist() for name in carried.schema.names}
    if times:
        batches = [with_times_as_text(_dated(batch.select(times))) for batch in pa.ipc.open_stream(body)]
        columns |= pa.Table.from_batches(batches).to_pydict()
    return Sent(needed.num_rows, columns)


def _is_plain(kind: Any) -> bool:
    """Numbers and texts; of views many may show one long text, which each would become."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(is_number(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _dated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Moments in microseconds, of UTC where they have a zone: as texts they are read from files."""
    columns = [
        column.cast(pa.timestamp("us", "UTC" if column.type.tz else None), safe=False)
        if pa.types.is_timestamp(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _check_text(batch: pa.RecordBatch) -> None:
    """Raises :class:`BadInputError` for categories that would be too much, written out in each row."""
    total = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and not is_number(column.type.value_type):
            total += pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0
    if total > _MOST_TEXT:
        raise BadInputError(
            f"has {total} bytes of categories when they are written out",
            place=PLACE,
            remedy="send fewer rows",
        )


def _check_cells(rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise BadInputError(
            f"has {rows} rows of {columns} columns besides those of the model, {MOST_CELLS} values are taken",
            place=PLACE,
            remedy="send fewer rows at a time, or fewer columns",
        )


def _from_raw(body: bytes, wanted: tuple[Wanted, ...], max_rows: int) -> Sent:
    width = bare_width(wanted)
    if any(w.kind == "text" for w in wanted) or (len(wanted) > 1 and any(w.width > 1 for w in wanted)):
        raise BadInputError(
            "the model takes more than numbers", place=PLACE, remedy="send JSON, CSV or Arrow"
        )
    if len(body) % (4 * width):
        raise BadInputError(f"{len(body)} bytes are no whole number of rows of {width} float32", place=PLACE)
    check_rows(len(body) // (4 * width), max_rows)
    X = np.frombuffer(body, "<f4").reshape(-1, width)
    if len(wanted) == 1:
        return Sent(len(X), {wanted[0].name: (X if wanted[0].kind == "vector" else X[:, 0]).tolist()})
    return Sent(len(X), {w.name: X[:, j].tolist() for j, w in enumerate(wanted)})


def _check_names(names: Sequence[str], held: Sequence[str]) -> None:
    known = set(held)
    for name in names:
        if name not in known:
            raise BadInputError.unknown_column(name, list(held)[:200], place=PLACE)
