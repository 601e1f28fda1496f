"""Bodies of requests as JSON lines for a stream, each row checked as the model would take it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from shoal.errors import BadInputError, Rejects
from shoal.features.event_time import event_times
from shoal.serve.arrow_body import arrow_batch
from shoal.serve.columns import MEND, PLACE, TEXT, Wanted, bare_width, check_width, wanted_columns
from shoal.serve.limits import check_rows
from shoal.serve.models import Served
from shoal.serve.rows import CSV, JSON, RAW

_MEND = MEND.replace("have null for it", "leave it out")
_NO_MODEL = "until there is a model, send JSON objects or CSV with a header"

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Lines:
    """The rows of a request."""

    text: bytes
    """One JSON object a line."""
    accepted: int
    skipped: int


def lines_of(
    served: Served | None,
    kind: str,
    body: bytes,
    *,
    time: tuple[str, str] | None = None,
    max_rows: int = 100_000,
    on_error: Literal["raise", "skip"] = "raise",
) -> Lines:
    """Turn a body into lines.

    Parameters
    ----------
    served : whose columns the rows need; None: there is no model yet, and any are taken.
    kind : content type, as for labels.
    time : column of event times that the stream needs too, and its unit.

    Raises
    ------
    BadInputError : with the row, column and remedy. TooManyRowsError : more than ``max_rows``.

    >>> lines_of(None, "application/json", b'{"rows": [{"x": 1}, {"x": 2.5}]}').text
    b'{"x": 1}\\n{"x": 2.5}\\n'
    """
    wanted = () if served is None else wanted_columns(served)
    if time is not None and served is not None and time[0] not in {w.name for w in wanted}:
        found = _read(kind, body, wanted, Wanted(time[0], "text"), max_rows)
    else:
        found = _read(kind, body, wanted, None, max_rows)
    n = len(next(iter(found.values()), []))
    check_rows(n, max_rows)
    good = np.ones(n, bool)
    if served is not None:
        arrays = {w.name: w.array(found[w.name]) for w in wanted}
        good &= _good(served, arrays, on_error)
        found |= {name: array.to_pylist() for name, array in arrays.items()}
    if time is not None:
        good &= _timed(found, n, *time, on_error)
    kept = np.flatnonzero(good).tolist() if on_error == "skip" else range(n)
    columns = [(name, [_plain(v) for v in values]) for name, values in found.items()]
    lines = [json.dumps({name: values[i] for name, values in columns}, allow_nan=False) for i in kept]
    return Lines("".join(f"{line}\n" for line in lines).encode(), len(kept), n - len(kept))


def _good(served: Served, arrays: dict[str, pa.Array], on_error: Literal["raise", "skip"]) -> Any:
    """(n,) whether the model takes each row; those that it filters out are taken."""
    n = len(next(iter(arrays.values())))
    good = np.ones(n, bool)
    if served.topics is not None:
        good = np.array([bool(t and t.strip()) for t in arrays[TEXT].to_pylist()])
        _refuse(good, "the text is empty", None, on_error)
    elif served.recipe is None:
        for name, array in arrays.items():
            fine = np.isfinite(np.asarray(array.to_numpy(zero_copy_only=False), np.float64))
            _refuse(fine, "value is missing or not finite", name, on_error)
            good &= fine
    else:
        batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
        refused: list[Any] = []
        try:
            served.recipe.apply(
                batch, origin=PLACE, rows=np.arange(n), rejects=Rejects(), on_error=on_error, refused=refused
            )
        except BadInputError as error:
            remedy = _MEND if error.remedy and "--" in error.remedy else error.remedy
            raise BadInputError(error.problem, place=error.place, remedy=remedy) from error
        for rows, _ in refused:
            good[rows] = False
    return good


def _timed(found: Columns, n: int, name: str, unit: str, on_error: str) -> Any:
    """(n,) whether each row has an event time."""
    if name not in found:
        raise BadInputError.unknown_column(name, list(found)[:200], place=PLACE)
    try:
        bad = event_times(pa.array([_plain(v) for v in found[name]]), name=name, unit=unit)[1]
    except (pa.ArrowException, BadInputError) as error:
        raise BadInputError(
            f"no event times ({str(error)[:100]})",
            place=f"{PLACE}, column {name!r}",
            remedy="send numbers or ISO 8601 texts",
        ) from error
    _refuse(~bad, "no event time", name, on_error)
    return ~bad


def _refuse(good: Any, problem: str, column: str | None, on_error: str) -> None:
    if on_error == "raise" and not good.all():
        place = f"{PLACE}, row {int(good.argmin()) + 1}"
        raise BadInputError(
            problem, place=place if column is None else f"{place}, column {column!r}", remedy=_MEND
        )


def _read(kind: str, body: bytes, wanted: tuple[Wanted, ...], more: Wanted | None, max_rows: int) -> Columns:
    """The columns of a body: those wanted, or all of them where none are."""
    names = [w.name for w in (*wanted, *([more] if more else []))]
    if kind == JSON:
        return _from_json(body, wanted, names, max_rows)
    if kind == CSV:
        return _from_csv(body, wanted, names)
    if not wanted:
        raise BadInputError("there is no model yet", place=PLACE, remedy=_NO_MODEL)
    if kind == RAW:
        return _from_raw(body, wanted, max_rows)
    batch = arrow_batch(body, [*wanted, *([more] if more else [])], max_rows)
    return {name: batch.column(name).to_pylist() for name in names}


def _from_json(body: bytes, wanted: Sequence[Wanted], names: list[str], max_rows: int) -> Columns:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"is no JSON: {str(error)[:100]}", place=PLACE, remedy="mend it") from error
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise BadInputError("has no list of rows", place=PLACE, remedy='send {"rows": [...]}')
    check_rows(len(rows), max_rows)
    kinds = {type(row) for row in rows}
    if kinds == {dict}:
        held = list(dict.fromkeys(name for row in rows for name in row))
        _check_names(names, held)
        return {name: [row.get(name) for row in rows] for name in names or held}
    if kinds == {str} and [w.kind for w in wanted] in ([], ["text"]):
        return {(names or [TEXT])[0]: rows}
    if kinds != {list} or not wanted:
        remedy = 'send {"rows": [{"column": value}]}' if wanted else _NO_MODEL
        raise BadInputError("rows are not all objects", place=PLACE, remedy=remedy)
    if len(wanted) == 1 and wanted[0].kind == "vector":
        return {wanted[0].name: rows}
    for i, row in enumerate(rows):
        if len(row) != len(wanted):
            check_width(len(row), wanted, f"{PLACE}, row {i + 1}")
    return {w.name: list(values) for w, values in zip(wanted, zip(*rows, strict=True), strict=True)}


def _from_csv(body: bytes, wanted: Sequence[Wanted], names: list[str]) -> Columns:
    types = {w.name: pa.string() for w in wanted if w.kind == "text"}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(body),
            read_options=pa_csv.ReadOptions(block_size=min(len(body) + 1, 2**31 - 1), use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=["", "NaN", "nan", "null", "NULL"]
            ),
        )
    except pa.ArrowException as error:
        raise BadInputError(
            f"cannot be read as CSV: {str(error)[:200]}", place=PLACE, remedy="send UTF-8 with commas"
        ) from error
    held = table.schema.names
    for name in set(held):
        if held.count(name) > 1:
            raise BadInputError(f"has two columns named {name!r}", place=PLACE, remedy="rename one")
    _check_names(names, held)
    return {name: table.column(name).to_pylist() for name in names or held}


def _from_raw(body: bytes, wanted: tuple[Wanted, ...], max_rows: int) -> Columns:
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
        return {wanted[0].name: (X if wanted[0].kind == "vector" else X[:, 0]).tolist()}
    return {w.name: X[:, j].tolist() for j, w in enumerate(wanted)}


def _check_names(names: Sequence[str], held: Sequence[str]) -> None:
    for name in names:
        if name not in held:
            raise BadInputError.unknown_column(name, list(held)[:200], place=PLACE)


def _plain(value: Any) -> Any:
    """What JSON has a word for; missing and infinite numbers have none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return str(value)
