"""The shape of a text stream (columns, types, how records are written), learned once and kept in every position."""

from __future__ import annotations

import base64
import codecs
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError
from shoal.sources.blocks import lines_end, quoted_records_end
from shoal.sources.delimited import Layout
from shoal.sources.dialect import read_dialect, sniff_delimiter
from shoal.sources.jsonlines import infer_block, parse_lines, type_of
from shoal.sources.options import ReadOptions
from shoal.sources.stream_parsed import BadRecord, ParsedBlock


@dataclass(frozen=True)
class TextShape:
    """How the records of a stream are written and what columns they give; never changes during a stream.

    >>> shape = learn_shape("jsonl", b'{"x": 1}\\n', ReadOptions(), "a.jsonl")
    >>> TextShape.from_dict(shape.to_dict()) == shape
    True
    >>> shape.parse(b'{"x": 2}\\n{"y": 3}\\n').table.column("x").to_pylist()
    [2.0, None]
    """

    kind: str
    """``jsonl`` or ``csv``."""
    schema: Any
    delimiter: str = ","
    quote: str | None = '"'
    null_values: tuple[str, ...] | None = None
    header: bool | None = None
    """As in :class:`shoal.sources.options.ReadOptions`."""
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "schema"}
        plain |= {n: None if plain[n] is None else list(plain[n]) for n in ("null_values", "names")}
        return plain | {"schema": schema_to_text(self.schema)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TextShape:
        """Inverse of :meth:`to_dict`."""
        plain = data | {n: None if data[n] is None else tuple(data[n]) for n in ("null_values", "names")}
        return cls(**plain | {"schema": schema_from_text(data["schema"])})

    def cut(self, block: bytes) -> int:
        """Where the last whole record of a block ends; 0: nowhere."""
        if self.kind == "jsonl" or self.quote is None:
            return lines_end(block)
        return quoted_records_end(self.delimiter, self.quote)(block)

    def columns_of(self, first: bytes) -> tuple[tuple[str, ...], int]:
        """The columns of a text that starts with these whole records, and the bytes of its header.

        A later text of the stream may have its columns in another order, or go on without a header.
        """
        if self.kind == "jsonl":
            return (), 0
        names = self.names or tuple(self.schema.names)
        if self.header is False:
            return names, 0
        options = ReadOptions(delimiter=self.delimiter, quote=self.quote)
        try:
            found = read_dialect(self.as_utf8(first), self.delimiter, options, "")
        except BadInputError:
            return names, 0
        if found.skip == 0 or not set(found.names) & set(names):
            return names, 0
        # The header's length in this encoding: as many lines as it has in UTF-8.
        lines = self.as_utf8(first)[: found.skip].count(b"\n")
        rest = first.split(b"\n", lines)[lines:] if lines else []
        return found.names, len(first) - len(rest[0]) if rest else len(first)

    def parse(self, block: bytes, names: tuple[str, ...] = ()) -> ParsedBlock:
        """The records of a block of whole ones, as the stream's columns; those it lacks are null.

        ``names`` are the columns of this text (:meth:`columns_of`), if they are others than the stream's.
        """
        block = self.as_utf8(block)
        if self.kind == "jsonl":
            return parse_lines(block, self.schema)
        names = names or self.names or tuple(self.schema.names)
        types = {name: pa.string() for name in names} | {f.name: f.type for f in self.schema}
        layout = Layout(names, types, self.delimiter, self.quote, self.null_values)
        wanted = [name for name in self.schema.names if name in names]
        parsed = self._parse_rows(layout, block, wanted)
        return replace(parsed, table=conform(parsed.table, self.schema))

    def _parse_rows(self, layout: Layout, block: bytes, wanted: list[str]) -> ParsedBlock:
        if not block.strip():
            return ParsedBlock(no_rows(self.schema), 0)
        try:
            return layout.parse(block, wanted)
        except pa.ArrowException as error:
            parts = list(self._records(block))
            if len(parts) > 1:
                return _joined([self._parse_rows(layout, part, wanted) for part in parts], self.schema)
            bad = BadRecord(0, "cannot be cut into cells", None, f" ({error})", block)
            return ParsedBlock(no_rows(self.schema), 1, (bad,), np.empty(0, dtype=np.int64))

    def _records(self, block: bytes) -> Any:
        start = 0
        while start < len(block):
            end = block.find(b"\n", start) + 1 or len(block)
            while end < len(block) and self.cut(block[start:end]) == 0:
                end = block.find(b"\n", end) + 1 or len(block)
            yield block[start:end]
            start = end

    def as_utf8(self, block: bytes) -> bytes:
        """The block in UTF-8, whatever it was in."""
        if codecs.lookup(self.encoding).name in ("utf-8", "ascii"):
            return block
        return block.decode(self.encoding, "replace").encode()


def learn_shape(
    kind: str, head: bytes, options: ReadOptions, origin: str, hint: Any = None, encoding: str = "utf-8"
) -> TextShape:
    """The shape of a stream that starts with ``head`` (whole records), in ``encoding``.

    ``hint`` is a schema that decides columns and types. Raises :class:`BadInputError` where nothing can be told.
    """
    head = head.removeprefix(codecs.BOM_UTF8)
    plain = TextShape(kind, hint if hint is not None else pa.schema([]), encoding=encoding)
    text = plain.as_utf8(head)
    if kind == "jsonl":
        if text.lstrip().startswith(b"["):
            remedy = "convert it with: jq -c '.[]'"
            raise BadInputError("is one JSON array, not one object per line", place=origin, remedy=remedy)
        if hint is None:
            plain = replace(
                plain, schema=pa.schema([(f.name, wider(type_of(f, options))) for f in infer_block(text)])
            )
        return _with_columns(plain, origin)
    delimiter = options.delimiter or sniff_delimiter(text, options)
    dialect = read_dialect(text, delimiter, options, origin)
    layout = Layout(dialect.names, {}, delimiter, options.quote, options.null_values)
    carried = () if options.parsed is None else set(dialect.names) - options.parsed
    if hint is None:
        try:
            types = layout.infer(text[dialect.skip :], options.text_columns.union(carried))
        except pa.ArrowException as error:
            remedy = "check the delimiter, quotes and encoding"
            raise BadInputError(f"cannot be parsed ({error})", place=origin, remedy=remedy) from error
        plain = replace(plain, schema=pa.schema([(name, wider(types[name])) for name in dialect.names]))
    header = (
        options.header if options.header is not None else (None if dialect.skip or options.names else False)
    )
    shape = replace(plain, delimiter=delimiter, quote=options.quote, null_values=options.null_values)
    return _with_columns(replace(shape, header=header, names=dialect.names), origin)


def _with_columns(shape: TextShape, origin: str) -> TextShape:
    if len(shape.schema) == 0:
        raise BadInputError(
            "the first records have no columns", place=origin, remedy="check the format, or give --format"
        )
    return shape


def wider(kind: Any) -> Any:
    """Whole seconds at the start of a stream do not promise that no fractions follow."""
    return pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms") else kind


def check_follows(encoding: str, origin: str) -> None:
    """Raises :class:`BadInputError` for encodings in which a newline is not one byte 10."""
    try:
        plain = "a,\n".encode(encoding).endswith(b"a,\n")
    except LookupError:
        plain = False
    if not plain:
        raise BadInputError(
            f"text in {encoding} cannot be followed", place=origin, remedy="write it in UTF-8"
        )


def conform(batch: Any, schema: Any) -> Any:
    """The batch with exactly the columns of ``schema``; those it lacks are null. Raises ``pa.ArrowException``."""
    if batch.schema.equals(schema):
        return batch
    arrays = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        if at < 0:
            arrays.append(pa.nulls(batch.num_rows, field.type))
        else:
            column = batch.column(at)
            arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def schema_to_text(schema: Any) -> str:
    """A schema as text, for positions."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def schema_from_text(text: str) -> Any:
    """Inverse of :func:`schema_to_text`."""
    return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))


def no_rows(schema: Any = None) -> Any:
    """A batch without rows."""
    return pa.RecordBatch.from_pylist([], schema=schema if schema is not None else pa.schema([]))


def _joined(parts: list[ParsedBlock], schema: Any) -> ParsedBlock:
    tables, numbers, bad, count = [], [], [], 0
    for part in parts:
        tables.append(conform(part.table, schema))
        numbers.append(count + part.row_numbers)
        bad += [replace(b, number=count + b.number) for b in part.bad]
        count += part.count
    table = pa.Table.from_batches(tables, schema=schema).combine_chunks()
    batch = table.to_batches()[0] if table.num_rows else no_rows(schema)
    return ParsedBlock(batch, count, tuple(bad), np.concatenate(numbers))
