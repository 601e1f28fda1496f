"""Tables as JSON, without an object for every number."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEW = 48
"""Rows up to which Python's own way is faster (measured)."""


def json_rows(table: pa.Table) -> bytes:
    """The rows of a table as JSON objects with commas between; what is missing or not finite is null.

    Numbers are written with as many digits as it takes to read the same number again.

    >>> json_rows(pa.table({"id": [3, None], "distance": [0.1, float("inf")]}))
    b'{"id":3,"distance":0.1},{"id":null,"distance":null}'
    """
    if table.num_rows <= FEW:
        names = table.column_names
        columns = [[_finite(v) for v in column.to_pylist()] for column in table.columns]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return json.dumps(rows, allow_nan=False, separators=(",", ":"))[1:-1].encode()
    parts: list[Any] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        parts += [("," if parts else "{") + json.dumps(name) + ":", _texts(column.combine_chunks())]
    return _joined(pc.binary_join_element_wise(*parts, "}", ""))


def json_lists(table: pa.Table) -> bytes:
    """The rows of a table of numbers as JSON lists with commas between; null for rows that are missing.

    >>> json_lists(pa.table({"0": [0.5, None], "1": [2.0, None]}))
    b'[0.5,2],null'
    """
    texts = [_texts(column.combine_chunks()) for column in table.columns]
    lists = pc.binary_join_element_wise("[", pc.binary_join_element_wise(*texts, ","), "]", "")
    return _joined(pc.if_else(table.column(0).combine_chunks().is_valid(), lists, "null"))


def _texts(values: pa.Array) -> pa.Array:
    """Each value as JSON."""
    kind = values.type
    if pa.types.is_list(kind):
        lists = pa.ListArray.from_arrays(values.offsets, _texts(values.values))
        texts = pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")
        return pc.if_else(values.is_valid(), texts, "null")
    if pa.types.is_string(kind):
        encoded = values.dictionary_encode()
        words = pa.array([json.dumps(v) for v in encoded.dictionary.to_pylist()], pa.string())
        texts = words.take(encoded.indices)
    elif pa.types.is_floating(kind):
        texts = pc.if_else(pc.is_finite(values), values.cast(pa.string()), "null")
    else:
        texts = values.cast(pa.string())
    return texts.fill_null("null")


def _joined(texts: pa.Array) -> bytes:
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    body: bytes = pc.binary_join(whole, ",")[0].as_buffer().to_pybytes()
    return body


def _finite(value: Any) -> Any:
    """None for what JSON has no number for."""
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
