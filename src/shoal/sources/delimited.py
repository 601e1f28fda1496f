"""CSV, TSV and their kin, plain or compressed: in blocks, with the place of every bad row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from shoal.errors import BadInputError
from shoal.sources.blocks import FIRST_BLOCK, RecordBlocks, RunawayRecordError, lines_end, quoted_records_end
from shoal.sources.coerce import coerce_text, number_share
from shoal.sources.dialect import read_dialect, sniff_delimiter
from shoal.sources.locate import Located
from shoal.sources.options import DAMAGED, FileLog, ReadOptions, shown
from shoal.sources.reader import Piece, block_size_for
from shoal.sources.streams import CountedStream, chunk_reader

_MOSTLY = 0.95
"""A text column of the first block with at least this share of numbers is a column of numbers with mistakes."""


class DelimitedReader:
    """One delimited file; types are those of the first MiB, with every number a float64.

    Integers become float64 because a column that starts with 1, 2, 3 may go on with 3.5. Rows that do not
    fit (too few cells, text where numbers were) are found by parsing their block again, value by value.
    """

    def __init__(
        self, located: Located, compression: str | None, options: ReadOptions, expected: Any, log: FileLog
    ) -> None:
        self._options, self._log = options, log
        self._raw = CountedStream(located.open())
        read = chunk_reader(self._raw, compression, options.encoding)
        self._blocks = RecordBlocks(read, lines_end)
        head = self._blocks.peek(FIRST_BLOCK)
        if b"\0" in head[:4096]:
            log.fail("holds zero bytes, so it is not text", remedy="force the right --format or encoding")
        delimiter = options.delimiter or sniff_delimiter(head, options)
        if options.quote is not None:
            self._blocks.cut = quoted_records_end(delimiter, options.quote)
        self._first = self._take(FIRST_BLOCK, 0)
        if not self._first.strip():
            damage = self._blocks.damage
            log.damaged(damage or "", reason="file is empty" if damage is None else DAMAGED)
        dialect = (
            read_dialect(self._first, delimiter, options, located.origin) if self._first.strip() else None
        )
        self._delimiter = delimiter
        self.names = dialect.names if dialect else ()
        self._empty = dialect is None
        self._first = self._first[dialect.skip :] if dialect else b""
        if dialect and not self._first.strip():
            self._first = self._take(FIRST_BLOCK, 0)
        self._types = self._infer(self._tidy(self._first))
        for field in expected or ():
            if field.name in self._types:
                self._types[field.name] = field.type

    @cached_property
    def _text(self) -> frozenset[str]:
        parsed = self._options.parsed
        carried = () if parsed is None else (name for name in self.names if name not in parsed)
        return self._options.text_columns.union(carried)

    @property
    def schema(self) -> Any:
        """Columns in the order of the file."""
        return pa.schema([(name, self._types[name]) for name in self.names])

    @property
    def position(self) -> int:
        """Raw bytes read so far."""
        return self._raw.count

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with the named columns."""
        offset, block = 0, self._first
        size = FIRST_BLOCK
        while block:
            tidy = self._tidy(block)
            if tidy.strip():
                piece, count = self._parse(tidy, list(columns), offset)
                size = block_size_for(self._options.batch_rows, len(block), count)
                yield piece
                offset += count
            block = self._take(size, offset)
        if self._blocks.damage is not None and not self._empty:
            self._log.damaged(self._blocks.damage, after=f"after row {offset}")

    def _take(self, size: int, offset: int) -> bytes:
        try:
            return self._blocks.take(size)
        except RunawayRecordError as error:
            remedy = "close the quote, or read the file with quotes as ordinary characters (quote none)"
            raise BadInputError(
                "a quoted value does not end", place=self._log.place(offset), remedy=remedy
            ) from error

    def _tidy(self, block: bytes) -> bytes:
        if self._delimiter != " ":
            return block
        return re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t]+", b" ", block))

    def _parse_options(self, block: bytes, handler: Any) -> Any:
        quote = self._options.quote
        quoted = quote is not None and quote.encode() in block
        return pacsv.ParseOptions(
            delimiter=self._delimiter,
            quote_char=quote if quote is not None else False,
            newlines_in_values=quoted,
            invalid_row_handler=handler,
        )

    def _convert_options(self, columns: list[str] | None, types: dict[str, Any]) -> Any:
        words = self._options.null_values
        return pacsv.ConvertOptions(
            column_types=types,
            include_columns=columns,
            null_values=None if words is None else ["", *words],
            strings_can_be_null=words is not None,
        )

    def _read(
        self, block: bytes, types: dict[str, Any], columns: list[str] | None, handler: Any, *, whole: bool
    ) -> Any:
        size = len(block) + 1 if whole else min(len(block) + 1, 1 << 20)
        return pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(
                column_names=list(self.names), use_threads=not whole, block_size=size
            ),
            parse_options=self._parse_options(block, handler),
            convert_options=self._convert_options(columns, types),
        )

    def _infer(self, block: bytes) -> dict[str, Any]:
        types: dict[str, Any] = {name: pa.string() for name in self.names if name in self._text}
        if not block.strip():
            return {name: types.get(name, pa.float64()) for name in self.names}
        try:
            table = self._read(block, types, None, lambda _: "skip", whole=True)
        except pa.ArrowException as error:
            self._log.fail(f"cannot be parsed ({error})", remedy="check the delimiter, quotes and encoding")
        out = {}
        for field, column in zip(table.schema, table.columns):
            kind = field.type
            if pa.types.is_integer(kind) or pa.types.is_null(kind) or self._mostly_numbers(field, column):
                kind = pa.float64()
            out[field.name] = pa.string() if pa.types.is_binary(kind) else kind
        return out

    def _mostly_numbers(self, field: Any, column: Any) -> bool:
        if not pa.types.is_string(field.type) or field.name in self._text:
            return False
        return number_share(column.combine_chunks()) >= _MOSTLY

    def _parse(self, block: bytes, columns: list[str], offset: int) -> tuple[Piece, int]:
        """The good rows of a block and how many rows, good and bad, it holds."""
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "skip"

        quoted = self._options.quote is not None and self._options.quote.encode() in block
        try:
            table = self._read(block, {c: self._types[c] for c in columns}, columns, note, whole=quoted)
        except pa.ArrowException:
            return self._parse_carefully(block, columns, offset)
        if ragged:
            return self._parse_carefully(block, columns, offset)
        batch = _one_batch(table)
        return Piece(self._empty_text_is_null(batch), offset, None), batch.num_rows

    def _empty_text_is_null(self, batch: Any) -> Any:
        for i, field in enumerate(batch.schema):
            if pa.types.is_string(field.type):
                column = batch.column(i)
                empty = pc.equal(column, "")
                if pc.any(empty).as_py():
                    batch = batch.set_column(i, field, pc.if_else(empty, pa.scalar(None, field.type), column))
        return batch

    def _parse_carefully(self, block: bytes, columns: list[str], offset: int) -> tuple[Piece, int]:
        ragged: dict[int, Any] = {}

        def note(row: Any) -> str:
            ragged[row.number - 1] = row
            return "skip"

        raw_types = dict.fromkeys(columns, pa.binary())
        try:
            table = self._read(block, raw_types, columns, note, whole=True)
        except pa.ArrowException as error:
            remedy = "check the delimiter, quotes and encoding"
            raise BadInputError(
                f"cannot be parsed ({error})", place=self._log.place(offset), remedy=remedy
            ) from error
        count = table.num_rows + len(ragged)
        numbers = np.setdiff1d(np.arange(count), np.fromiter(ragged, dtype=np.int64, count=len(ragged)))
        keep = np.ones(table.num_rows, dtype=bool)
        bad_cells: dict[int, tuple[str, str | None, str]] = {}
        arrays = []
        for name in columns:
            raw = table.column(name).combine_chunks()
            good, bad = coerce_text(raw, self._types[name], self._options.null_values)
            arrays.append(good)
            keep &= ~bad
            for i in np.flatnonzero(bad).tolist():
                bad_cells.setdefault(int(numbers[i]), _bad_cell(raw[i].as_py(), name, self._types[name]))
        for number, row in ragged.items():
            bad_cells[number] = (
                "wrong number of cells",
                None,
                f" ({row.actual_columns} where {row.expected_columns} are due)",
            )
        for number in sorted(bad_cells):
            reason, column, detail = bad_cells[number]
            self._log.bad_row(reason, offset + number, column=column, detail=detail)
        batch = pa.record_batch([a.filter(pa.array(keep)) for a in arrays], names=columns)
        return Piece(batch, offset, offset + numbers[keep]), count


def _bad_cell(value: bytes, column: str, kind: Any) -> tuple[str, str, str]:
    what = (
        "number" if pa.types.is_floating(kind) else "text in UTF-8" if pa.types.is_string(kind) else str(kind)
    )
    return f"not a {what}", column, f": {shown(value)}"


def _one_batch(table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
