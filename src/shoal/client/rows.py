"""Rows as the body of a request, without losing a digit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.features.columns import plain

JSON, ARROW, RAW = (
    "application/json",
    "application/vnd.apache.arrow.stream",
    "application/octet-stream",
)


@dataclass(frozen=True)
class Body:
    """A body with its kind and what the address has to say of it."""

    kind: str
    content: bytes
    parameters: Mapping[str, str] = field(default_factory=dict)


def needs_inputs(rows: Any, *, raw: bool = True) -> bool:
    """Whether rows have no names of their own, and those of the model's columns must be known.

    >>> needs_inputs(np.zeros((2, 3))), needs_inputs(np.zeros((2, 3), np.float32)), needs_inputs([{"x": 1}])
    (True, False, False)
    """
    return isinstance(rows, np.ndarray) and not (raw and rows.dtype == np.float32)


def body_of(rows: Any, inputs: Sequence[Mapping[str, Any]] = (), *, raw: bool = True) -> Body:
    """Rows as a body.

    Parameters
    ----------
    rows : (n, d) array, table of pandas, Polars or Arrow, sequence of mappings, of lists or of texts.
    inputs : the model's columns, as the service lists them; see :func:`needs_inputs`.
    raw : whether float32 may go as plain bytes, which not every route takes.

    Raises
    ------
    BadInputError : something else, or an array of another width than the model's.

    >>> body_of([{"price": 1.5, "kind": "flat"}]).content
    b'{"rows":[{"price":1.5,"kind":"flat"}]}'
    >>> body_of(np.zeros((2, 3), np.float32)).parameters
    {'width': '3'}
    """
    if isinstance(rows, np.ndarray):
        return _array(rows, inputs, raw=raw)
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if hasattr(rows, "__arrow_c_stream__"):
        return _table(rows)
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        kinds = {_kind(row) for row in rows}
        if len(kinds) <= 1 and kinds <= {"mapping", "list", "text"}:
            return _listed(rows)
    raise BadInputError(
        f"{type(rows).__name__} holds no rows",
        remedy="give an array of 2 dimensions, a table, or a list of dicts, lists or texts",
    )


def json_body(document: Any) -> Body:
    """A document as a body; NaN becomes null, which JSON has."""
    try:
        text = json.dumps(document, default=_plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(document), default=_plain, allow_nan=True, separators=(",", ":"))
    except TypeError as error:
        raise BadInputError(
            f"a value cannot be sent: {error}", remedy="send numbers, texts or None"
        ) from error
    return Body(JSON, text.encode())


def _array(rows: NDArray[Any], inputs: Sequence[Mapping[str, Any]], *, raw: bool) -> Body:
    if rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise BadInputError(
            f"an array of {rows.ndim} dimensions and type {rows.dtype}", remedy="give (n, d) numbers"
        )
    if rows.dtype == np.float32 and raw:
        return Body(RAW, rows.astype("<f4", copy=False).tobytes(), {"width": str(rows.shape[1])})
    kinds, width = {i["kind"] for i in inputs}, rows.shape[1]
    wanted = inputs[0]["width"] if len(inputs) == 1 else len(inputs)
    if "text" in kinds or (len(inputs) > 1 and "vector" in kinds):
        raise BadInputError("the model takes more than numbers", remedy="give a table, or a list of dicts")
    if width != wanted:
        names = ", ".join(str(i["name"]) for i in inputs[:8])
        raise BadInputError(f"rows of {width} values, the model takes {wanted}", remedy=f"give {names}")
    values = np.ascontiguousarray(rows, np.float32 if rows.dtype == np.float32 else np.float64)
    if kinds == {"vector"}:
        columns = [pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)]
    else:
        columns = [pa.array(np.ascontiguousarray(values[:, j])) for j in range(width)]
    return _stream(pa.table(columns, names=[str(i["name"]) for i in inputs]))


def _table(rows: Any) -> Body:
    try:
        table = pa.table(rows)
    except (pa.ArrowException, TypeError) as error:
        raise BadInputError(f"the table cannot become Arrow: {error}", remedy="mend its columns") from error
    for i, column in enumerate(table.schema):  # Polars' texts are views, which not every reader takes
        if column.type == pa.string_view():
            table = table.set_column(i, column.name, table.column(i).cast(pa.large_string()))
        elif pa.types.is_dictionary(column.type) and column.type.value_type == pa.string_view():
            kind = pa.dictionary(column.type.index_type, pa.string())
            chunks = [plain(chunk) for chunk in table.column(i).chunks]
            table = table.set_column(i, column.name, pa.chunked_array(chunks, kind))
    return _stream(table)


def _stream(table: pa.Table) -> Body:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Body(ARROW, sink.getvalue().to_pybytes())


def _listed(rows: Sequence[Any]) -> Body:
    if rows and _kind(rows[0]) == "list":
        return json_body({"rows": [list(row) for row in rows]})
    return json_body({"rows": list(rows)})


def _kind(row: Any) -> str:
    if isinstance(row, str):
        return "text"
    if isinstance(row, Mapping):
        return "mapping"
    return "list" if isinstance(row, (list, tuple, np.ndarray)) else "other"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no number or text")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _without_nan(value.tolist())
    return None if isinstance(value, float) and math.isnan(value) else value
