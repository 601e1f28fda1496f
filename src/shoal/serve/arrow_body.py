"""Arrow streams of strangers: what would grow when it is read is refused before it is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import BadInputError
from shoal.features.columns import is_number, is_vector
from shoal.serve.columns import PLACE, Wanted
from shoal.serve.limits import check_rows

_LONGEST = 4096
"""Bytes of a value of a dictionary; each may be repeated in every row."""


def arrow_batch(body: bytes, columns: Sequence[Wanted], max_rows: int) -> pa.RecordBatch:
    """The wanted columns of an Arrow IPC stream, as one batch.

    Raises
    ------
    BadInputError : damaged, compressed, or with columns that are missing or of another kind.
    TooManyRowsError : more than ``max_rows``.

    >>> sink = pa.BufferOutputStream()
    >>> with pa.ipc.new_stream(sink, pa.schema({"x": pa.float64()})) as writer:
    ...     writer.write_batch(pa.record_batch({"x": [1.0, 2.0]}))
    >>> arrow_batch(sink.getvalue().to_pybytes(), [Wanted("x", "number")], 10)["x"].to_pylist()
    [1.0, 2.0]
    """
    try:
        for message in pa.ipc.MessageReader.open_stream(body):
            if _is_compressed(message.metadata.to_pybytes()):
                raise BadInputError(
                    "is compressed", place=PLACE, remedy="write the stream without compression"
                )
        reader = pa.ipc.open_stream(body)
        _check_schema(reader.schema, columns)
        names = [c.name for c in columns]
        batches, count = [], 0
        for batch in reader:
            count += batch.num_rows
            if count:
                check_rows(count, max_rows)
            batch.validate(full=True)
            batches.append(batch.select(names))
        check_rows(count, max_rows)
        table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        _check_dictionaries(table)
        return table.to_batches()[0]
    except (pa.ArrowException, OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise BadInputError(
            f"cannot be read as an Arrow stream: {str(error)[:200]}", place=PLACE, remedy="write it again"
        ) from error


def _check_schema(schema: pa.Schema, columns: Sequence[Wanted]) -> None:
    for column in columns:
        held = schema.get_all_field_indices(column.name)
        place = f"{PLACE}, column {column.name!r}"
        if not held:
            raise BadInputError.unknown_column(column.name, list(schema.names)[:200], place=PLACE)
        if len(held) > 1:
            raise BadInputError("is there twice", place=place, remedy="rename one")
        kind = schema.field(held[0]).type
        if not _fits(kind, column):
            raise BadInputError(
                f"is {str(kind)[:80]}, not a {column.kind}", place=place, remedy="cast it first"
            )


def _fits(kind: Any, column: Wanted) -> bool:
    """Views are left out: many of them may show one long text, which each would become."""
    if column.kind == "vector":
        return is_vector(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if column.kind == "number":
        return text or is_number(kind) or pa.types.is_null(kind)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or is_number(kind) or pa.types.is_null(kind)


def _check_dictionaries(table: pa.Table) -> None:
    for name in table.schema.names:
        for chunk in table.column(name).chunks:
            if pa.types.is_dictionary(chunk.type) and not is_number(chunk.type.value_type):
                longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
                if longest > _LONGEST:
                    raise BadInputError(
                        f"has a category of {longest} bytes",
                        place=f"{PLACE}, column {name!r}",
                        remedy="shorten it",
                    )


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message's buffers are, by its flatbuffer: Message.header, then RecordBatch.compression.

    Arrow itself tells only after it has unpacked them, and a kilobyte may unpack to a gigabyte.
    """
    message = struct.unpack_from("<I", metadata, 0)[0]
    kind_at, header_at = _field(metadata, message, 1), _field(metadata, message, 2)
    if not kind_at or not header_at:
        return False
    header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
    kind = metadata[kind_at]
    if kind == 2 and (data_at := _field(metadata, header, 1)):  # a dictionary batch holds a record batch
        header = data_at + struct.unpack_from("<I", metadata, data_at)[0]
    return kind in (2, 3) and _field(metadata, header, 3) != 0


def _field(buffer: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer table is; 0 if it is not there."""
    entries = table - struct.unpack_from("<i", buffer, table)[0]
    size = struct.unpack_from("<H", buffer, entries)[0]
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", buffer, entries + at)[0] if at < size else 0
    return table + offset if offset else 0
