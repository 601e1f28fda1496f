"""A table as lines of JSON, formatted column by column.

Numbers are written with the fewest digits that read back as the same value (whole floats without a point: ``1``).
What JSON has no number for (NaN, infinity) becomes null, like missing values. Times are ISO 8601, those with a time
zone in UTC with a ``Z``; binary values are base64. Bytes that are not UTF-8 are replaced by U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.engines.outputs.columns import (
    check_names,
    finite,
    is_text,
    is_time,
    iso_text,
    one_array,
    slices,
    slow_json,
    sound_text,
)

_ESCAPED = r'["\\\x00-\x1f]'


def json_lines(table: pa.Table) -> Iterator[memoryview]:
    """Blocks of whole lines, UTF-8, each line an object with the table's columns in their order.

    Raises
    ------
    BadInputError : no columns, two of one name, or a value that has no form in JSON.

    >>> table = pa.table({"row": [1, 2], "distance": [0.5, float("nan")], "version": ['a"b', None]})
    >>> print(bytes(next(json_lines(table))).decode(), end="")
    {"row":1,"distance":0.5,"version":"a\\"b"}
    {"row":2,"distance":null,"version":null}
    """
    names = table.column_names
    check_names(names)
    keys = [json.dumps(name, ensure_ascii=False) + ":" for name in names]
    for part in slices(table):
        pieces: list[Any] = []
        for i, (key, column) in enumerate(zip(keys, part.columns, strict=True)):
            pieces += ["," * (i > 0) + key if i else "{" + key, json_text(one_array(column), names[i])]
        # the last argument separates the others; the line end rides on an empty string between two pieces
        lines = pc.binary_join_element_wise(*pieces, "}\n", "")
        yield string_bytes(lines)


def string_bytes(strings: pa.Array) -> memoryview:
    """The concatenated bytes of a string array that has no nulls."""
    wide = pa.types.is_large_string(strings.type)
    _, offsets, data = strings.buffers()
    ends = np.frombuffer(offsets, np.int64 if wide else np.int32)
    if data is None or not len(strings):
        return memoryview(b"")
    return memoryview(data)[int(ends[strings.offset]) : int(ends[strings.offset + len(strings)])]


def json_text(column: pa.Array, name: str) -> pa.Array:
    """The JSON of each value, as strings without nulls."""
    kind = column.type
    if pa.types.is_dictionary(kind) and len(column.dictionary) > len(column):
        return json_text(column.dictionary_decode(), name)  # a slice must not pay for all values of the whole
    if pa.types.is_dictionary(kind):
        distinct = json_text(one_array(pa.chunked_array([column.dictionary])), name)
        return pc.fill_null(distinct.take(column.indices), "null")
    if pa.types.is_null(kind):
        return pa.array(["null"] * len(column), pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.fill_null(column.cast(pa.string()), "null")
    if pa.types.is_floating(kind):
        return pc.fill_null(finite(column).cast(pa.string()), "null")
    if is_text(kind):
        return _quoted(_escaped(sound_text(column)))
    if is_time(kind):
        return _quoted(iso_text(column))
    return pa.array(slow_json(column, name), pa.string())


def _escaped(strings: pa.Array) -> pa.Array:
    dirty = pc.fill_null(pc.match_substring_regex(strings, _ESCAPED), False)
    if not pc.any(dirty).as_py():
        return strings
    encode = json.encoder.encode_basestring
    changed = [encode(s)[1:-1] for s in strings.filter(dirty).to_pylist()]
    return pc.replace_with_mask(strings, dirty, pa.array(changed, strings.type))


def _quoted(strings: pa.Array) -> pa.Array:
    quote = pa.scalar('"', strings.type)
    whole = pc.binary_join_element_wise(quote, strings, quote, pa.scalar("", strings.type))
    return pc.fill_null(whole, "null")
