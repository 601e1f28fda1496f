"""Columns of any Arrow type as what text formats can hold."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import BadInputError

MOST_ROWS, MOST_BYTES = 32_768, 16 << 20
"""Rows, and bytes of input, that are formatted at a time: enough to be fast, little enough to stay in cache."""


def check_names(names: list[str]) -> None:
    """Refuse tables whose columns cannot be told apart."""
    if not names:
        raise BadInputError("the table has no columns", remedy="write at least one")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInputError(f"two columns are named {twice!r}", remedy="rename one")


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """The table in parts small enough to format at once."""
    each = max(table.nbytes / max(table.num_rows, 1), 1.0)
    step = max(1, min(MOST_ROWS, int(MOST_BYTES / each)))
    for start in range(0, table.num_rows, step):
        yield table.slice(start, step)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The chunks of a column as one plain array."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def is_text(kind: pa.DataType) -> bool:
    """Whether values are strings, of any layout."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def is_time(kind: pa.DataType) -> bool:
    """Whether values are dates or times, but not durations."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind))


def finite(column: pa.Array) -> pa.Array:
    """Floats with null for NaN and infinity."""
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    return pc.if_else(pc.is_finite(column), column, None)


def iso_text(column: pa.Array) -> pa.Array:
    """Dates and times as ISO 8601, those with a zone in UTC."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    text = (column.cast(pa.date32()) if pa.types.is_date64(kind) else column).cast(pa.string())
    return pc.replace_substring(text, " ", "T", max_replacements=1)


def sound_text(column: pa.Array) -> pa.Array:
    """Strings that are valid UTF-8 for sure; what is not is replaced by U+FFFD."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.large_binary()).to_pylist()
        return pa.array([None if b is None else b.decode("utf-8", "replace") for b in raw], pa.string())
    return column.cast(pa.string())


def flat(column: pa.Array, name: str) -> pa.Array:
    """The values as numbers, truth values or strings, for formats that know nothing else; lists are JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return flat(column.dictionary_decode(), name)
    if pa.types.is_floating(kind):
        return finite(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if is_text(kind):
        return sound_text(column)
    if is_time(kind):
        return iso_text(column)
    text = slow_json(column, name)
    plain = [
        json.loads(t) if t.startswith('"') else t for t in text
    ]  # base64, decimals: quoted once is enough
    return pa.array([None if t == "null" else t for t in plain], pa.string())


def slow_json(column: pa.Array, name: str) -> list[str]:
    """Values of nested and rare types, one by one."""
    if pa.types.is_duration(column.type):
        column = column.cast(pa.duration("us"), safe=False)  # Python knows no nanoseconds
    try:
        return [
            json.dumps(_plain(v), default=_rare, ensure_ascii=False, separators=(",", ":"))
            for v in column.to_pylist()
        ]
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(
            f"a value of type {column.type} has no form in JSON: {error}",
            place=f"column {name!r}",
            remedy="leave the column out, or turn it into text first",
        ) from error


def _plain(value: Any) -> Any:
    """Nested values without what JSON cannot say; map keys become pairs, as Arrow has them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _rare(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
