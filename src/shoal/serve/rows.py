"""Bodies of requests as the vectors of a model: JSON, CSV, Arrow streams and raw float32."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from shoal.errors import BadInputError, Rejects
from shoal.features.columns import numbers
from shoal.serve.arrow_body import arrow_batch
from shoal.serve.columns import MEND, PLACE, Wanted, bare_width, batch_of, check_width, wanted_columns
from shoal.serve.json_body import json_document
from shoal.serve.json_rows import number_rows
from shoal.serve.limits import check_rows
from shoal.serve.models import Served
from shoal.serve.topics import ServedTopics
from shoal.summary.intake import LARGEST
from shoal.text.text_input import texts_of

JSON, CSV, ARROW, RAW = (
    "application/json",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/octet-stream",
)
KINDS = (JSON, CSV, ARROW, RAW)
LONGEST_HEADER, MOST_COLUMNS = 1 << 20, 20_000
"""Bytes and columns of a CSV header: each column costs a reader far more memory than its comma."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """The rows of a request."""

    matrix: NDArray[Any]
    """(m, d) as :meth:`ClusterModel.assign` takes them."""
    kept: NDArray[np.int64]
    """(m,) their positions among the rows sent."""
    sent: int
    """Rows sent; those the model filters out or that were skipped have no vector."""
    texts: list[str] | None = None
    """(m,) of which they are the vectors, if they are."""


def read_rows(
    served: Served,
    kind: str,
    body: bytes,
    *,
    width: int | None = None,
    max_rows: int = 100_000,
    on_error: Literal["raise", "skip"] = "raise",
) -> Vectors:
    """Turn a body into vectors, by the model's recipe where it has one.

    Parameters
    ----------
    kind : one of :data:`KINDS`.
    width : values per row of a raw body.
    on_error : ``skip`` leaves out bad rows.

    Raises
    ------
    BadInputError : with the row, column and remedy. TooManyRowsError : more than ``max_rows``.
    """
    columns = wanted_columns(served)
    unfit: set[int] | None = set() if on_error == "skip" else None
    if kind == RAW:
        rows: Any = _from_raw(body, columns, width, max_rows)
    elif kind == JSON:
        rows = _from_json(body, columns, max_rows, unfit)
    elif kind == CSV:
        rows = _from_csv(body, columns, max_rows)
    else:
        rows = arrow_batch(body, columns, max_rows)
    count = rows.num_rows if isinstance(rows, pa.RecordBatch) else len(rows)
    check_rows(count, max_rows)
    if unfit:
        fitting = np.setdiff1d(np.arange(count), list(unfit))
        found = _vectors(served, columns, rows.take(pa.array(fitting)), on_error)
        return replace(found, kept=fitting[found.kept], sent=count)
    return _vectors(served, columns, rows, on_error)


def _vectors(
    served: Served, columns: tuple[Wanted, ...], rows: Any, on_error: Literal["raise", "skip"]
) -> Vectors:
    if served.topics is not None:
        return _texts(served.topics, rows, on_error)
    if served.recipe is None:
        return _in_range(served, _plain(served, columns, rows, on_error), on_error)
    if not isinstance(rows, pa.RecordBatch):
        rows = batch_of(columns, rows)
    count = rows.num_rows
    try:
        found = served.recipe.apply(
            rows, origin=PLACE, rows=np.arange(count), rejects=Rejects(), on_error=on_error
        )
    except BadInputError as error:
        remedy = MEND if error.remedy and "--" in error.remedy else error.remedy
        raise BadInputError(error.problem, place=error.place, remedy=remedy) from error
    return _in_range(served, Vectors(found.matrix, found.kept, count), on_error)


def _in_range(served: Served, found: Vectors, on_error: str) -> Vectors:
    """Without the rows whose squared distances to the centres would overflow; directions have none."""
    X = found.matrix
    if not X.size or served.model.metric == "cosine":
        return found
    largest = LARGEST[X.dtype]
    if float(X.max()) <= largest and float(X.min()) >= -largest:
        return found
    bad = np.abs(X) > largest
    good = ~bad.any(axis=1)
    if on_error == "raise":
        i = int(good.argmin())
        j = int(bad[i].argmax())
        raise BadInputError(
            f"value is {X[i, j]:g}, rows go up to {largest:g} as the model scales them",
            place=f"{PLACE}, row {int(found.kept[i]) + 1}, column {served.model.feature_names[j]!r}",
            remedy=MEND,
        )
    return replace(found, matrix=X[good], kept=found.kept[good])


def _texts(topics: ServedTopics, rows: pa.RecordBatch, on_error: str) -> Vectors:
    """Texts as vectors; empty ones have none."""
    found = texts_of(rows.column(0).to_pylist())
    if on_error == "raise" and len(found.texts) < rows.num_rows:
        missing = np.setdiff1d(np.arange(rows.num_rows), found.kept)
        raise BadInputError("the text is empty", place=f"{PLACE}, row {int(missing[0]) + 1}", remedy=MEND)
    width = topics.model.n_features
    matrix = topics.embed(found.texts) if found.texts else np.empty((0, width), np.float32)
    return Vectors(matrix, found.kept.astype(np.int64), rows.num_rows, found.texts)


def _plain(served: Served, columns: tuple[Wanted, ...], rows: Any, on_error: str) -> Vectors:
    """Rows that are vectors already."""
    if isinstance(rows, pa.RecordBatch):
        values = np.empty((rows.num_rows, len(columns)))
        for j, column in enumerate(columns):
            values[:, j], wrong = numbers(rows.column(column.name), column.name)
            values[wrong, j] = np.nan
        rows = values
    bad = ~np.isfinite(rows)
    if served.model.metric == "cosine":
        bad |= ~rows.any(axis=1, keepdims=True)
    good = ~bad.any(axis=1)
    if on_error == "raise" and not good.all():
        i = int(good.argmin())
        j = int(bad[i].argmax())
        if np.isfinite(rows[i]).all():
            raise BadInputError(
                "the row is all zeros, which has no direction", place=f"{PLACE}, row {i + 1}", remedy=MEND
            )
        raise BadInputError(
            f"value is {rows[i, j]}", place=f"{PLACE}, row {i + 1}, column {columns[j].name!r}", remedy=MEND
        )
    return Vectors(rows[good], np.flatnonzero(good).astype(np.int64), len(rows))


def _from_raw(
    body: bytes, columns: tuple[Wanted, ...], width: int | None, max_rows: int
) -> NDArray[np.float32]:
    if width is None:
        raise BadInputError(
            "raw rows need a width", place=PLACE, remedy=f"add ?width={bare_width(columns)} to the address"
        )
    if any(c.kind == "text" for c in columns) or (len(columns) > 1 and any(c.width > 1 for c in columns)):
        raise BadInputError(
            "the model takes more than numbers", place=PLACE, remedy="send JSON, CSV or Arrow"
        )
    check_width(width, columns, f"{PLACE}, ?width=")
    if len(body) % (4 * width):
        raise BadInputError(f"{len(body)} bytes are no whole number of rows of {width} float32", place=PLACE)
    check_rows(len(body) // (4 * width), max_rows)
    return np.frombuffer(body, "<f4").reshape(-1, width)


def _from_json(body: bytes, columns: tuple[Wanted, ...], max_rows: int, unfit: set[int] | None) -> Any:
    if {c.kind for c in columns} == {"number"} or (len(columns) == 1 and columns[0].kind == "vector"):
        plain = number_rows(body, bare_width(columns), max_rows)
        if plain is not None:
            return plain
    document = json_document(body)
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise BadInputError("has no list of rows", place=PLACE, remedy='send {"rows": [...]}')
    check_rows(len(rows), max_rows)
    kinds = {type(row) for row in rows}
    if kinds == {str} and len(columns) == 1 and columns[0].kind == "text":
        return pa.RecordBatch.from_arrays([columns[0].array(rows, unfit)], names=[columns[0].name])
    if kinds == {dict}:
        return _named(rows, columns, unfit)
    if kinds != {list}:
        raise BadInputError(
            "rows are neither all lists nor all objects",
            place=PLACE,
            remedy='send {"rows": [[...]]} or {"rows": [{"column": value}]}',
        )
    width = bare_width(columns)
    for i, row in enumerate(rows):
        if len(row) != width:
            check_width(len(row), columns, f"{PLACE}, row {i + 1}")
    if len(columns) == 1 and columns[0].kind == "vector":
        whole = columns[0].array(rows, unfit)
        return pa.RecordBatch.from_arrays([whole], names=[columns[0].name])
    arrays = [c.array(values, unfit) for c, values in zip(columns, zip(*rows), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def _named(rows: list[dict[str, Any]], columns: tuple[Wanted, ...], unfit: set[int] | None) -> pa.RecordBatch:
    for column in columns:
        if not any(column.name in row for row in rows):
            raise BadInputError.unknown_column(column.name, list(rows[0])[:200], place=PLACE)
    arrays = [c.array([row.get(c.name) for row in rows], unfit) for c in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def csv_header(body: bytes) -> list[str]:
    """The names in the first line of a CSV body, which is looked at before anything reads the whole.

    Raises
    ------
    BadInputError : it is too long, or has too many columns. UnicodeDecodeError, csv.Error : it cannot be read.

    >>> csv_header(b'x,"a, b"\\n1,2\\n')
    ['x', 'a, b']
    """
    is_cut = len(body) > LONGEST_HEADER
    lines = io.TextIOWrapper(io.BytesIO(body[:LONGEST_HEADER]), "utf-8-sig", newline="")
    header: list[str] | None = None
    try:
        header = next(csv.reader(lines), [])
    except UnicodeDecodeError as error:
        if not is_cut or error.reason != "unexpected end of data":
            raise
    if header is None or len(header) > MOST_COLUMNS or (is_cut and _is_at_end(lines)):
        raise BadInputError(
            f"has a header of more than {MOST_COLUMNS} columns, or {LONGEST_HEADER} bytes",
            place=PLACE,
            remedy="send only the columns the model needs",
        )
    return header


def _is_at_end(lines: io.TextIOWrapper) -> bool:
    try:
        return not lines.read(1)
    except UnicodeDecodeError:
        return False  # of what comes after the header, which others judge


def _from_csv(body: bytes, columns: tuple[Wanted, ...], max_rows: int) -> pa.RecordBatch:
    wanted = [c.name for c in columns]
    try:
        header = csv_header(body)
        for name in wanted:
            if header.count(name) > 1:
                raise BadInputError(f"has two columns named {name!r}", place=PLACE, remedy="rename one")
            if name not in header:
                raise BadInputError.unknown_column(name, header[:200], place=PLACE)
        types = {c.name: pa.string() for c in columns if c.kind == "text"}
        table = pa_csv.read_csv(
            io.BytesIO(body),
            # types are those of one block: whole, so that no later row can contradict them
            read_options=pa_csv.ReadOptions(block_size=min(len(body) + 1, 2**31 - 1), use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(include_columns=wanted, column_types=types),
        )
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"cannot be read as CSV: {str(error)[:200]}", place=PLACE, remedy="send UTF-8 with commas"
        ) from error
    check_rows(table.num_rows, max_rows)
    arrays = []
    for column in columns:
        values = table.column(column.name).combine_chunks()
        if column.kind == "text":
            values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, names=wanted)
