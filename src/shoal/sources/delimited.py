"""CSV, TSV and their kin, plain or compressed: in blocks, with the place of every bad row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from shoal.sources.stream_parsed import BadRecord, ParsedBlock
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
        self.names = dialect.names if dialect else ()
        self._empty = dialect is None
        self._first = self._first[dialect.skip :] if dialect else b""
        if dialect and not self._first.strip():
            self._first = self._take(FIRST_BLOCK, 0)
        types: dict[str, Any] = {}
        self._layout = Layout(self.names, types, delimiter, options.quote, options.null_values)
        try:
            types |= self._layout.infer(self._first, self._text)
        except pa.ArrowException as error:
            log.fail(f"cannot be parsed ({error})", remedy="check the delimiter, quotes and encoding")
        types |= {field.name: field.type for field in expected or () if field.name in types}

    @cached_property
    def _text(self) -> frozenset[str]:
        parsed = self._options.parsed
        carried = () if parsed is None else (name for name in self.names if name not in parsed)
        return self._options.text_columns.union(carried)

    @property
    def schema(self) -> Any:
        """Columns in the order of the file."""
        return pa.schema([(name, self._layout.types[name]) for name in self.names])

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
            if block.strip():
                piece, count = self._parse(block, list(columns), offset)
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

    def _parse(self, block: bytes, columns: list[str], offset: int) -> tuple[Piece, int]:
        """The good rows of a block and how many rows, good and bad, it holds."""
        try:
            parsed = self._layout.parse(block, columns)
        except pa.ArrowException as error:
            remedy = "check the delimiter, quotes and encoding"
            raise BadInputError(
                f"cannot be parsed ({error})", place=self._log.place(offset), remedy=remedy
            ) from error
        for bad in parsed.bad:
            self._log.bad_row(bad.reason, offset + bad.number, column=bad.column, detail=bad.detail)
        rows = None if parsed.numbers is None else offset + parsed.numbers
        return Piece(parsed.table, offset, rows), parsed.count


@dataclass(frozen=True)
class Layout:
    """How the rows of a delimited text are written: all that is needed to parse a block of them.

    >>> layout = Layout(("a", "b"), {"a": pa.float64(), "b": pa.string()})
    >>> parsed = layout.parse(b"1,x\\n2\\n3,z\\n", ["a"])
    >>> parsed.table.column("a").to_pylist(), parsed.bad[0].reason
    ([1.0, 3.0], 'wrong number of cells')
    """

    names: tuple[str, ...]
    """Columns in the order of the text."""
    types: Mapping[str, Any]
    """Arrow type per name."""
    delimiter: str = ","
    quote: str | None = '"'
    null_values: tuple[str, ...] | None = None
    """As in :class:`shoal.sources.options.ReadOptions`."""

    def parse(self, block: bytes, columns: list[str]) -> ParsedBlock:
        """The named columns of a block of whole rows; what does not fit is told with its row number.

        Raises ``pa.ArrowException`` if the text cannot even be cut into cells.
        """
        block = self.tidy(block)
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "skip"

        quoted = self.quote is not None and self.quote.encode() in block
        try:
            table = self._read(block, {c: self.types[c] for c in columns}, columns, note, whole=quoted)
        except pa.ArrowException:
            return self._parse_carefully(block, columns)
        if ragged:
            return self._parse_carefully(block, columns)
        batch = _empty_text_is_null(_one_batch(table))
        return ParsedBlock(batch, batch.num_rows)

    def infer(self, block: bytes, text: Collection[str]) -> dict[str, Any]:
        """The types of all columns, judged by a block of whole rows; those of ``text`` are strings.

        Raises ``pa.ArrowException`` if the text cannot be cut into cells.
        """
        types: dict[str, Any] = {name: pa.string() for name in self.names if name in text}
        if not block.strip():
            return {name: types.get(name, pa.float64()) for name in self.names}
        table = self._read(self.tidy(block), types, None, lambda _: "skip", whole=True)
        out = {}
        for field, column in zip(table.schema, table.columns):
            kind = field.type
            if (
                pa.types.is_integer(kind)
                or pa.types.is_null(kind)
                or (pa.types.is_string(kind) and field.name not in text and _mostly_numbers(column))
            ):
                kind = pa.float64()
            out[field.name] = pa.string() if pa.types.is_binary(kind) else kind
        return out

    def tidy(self, block: bytes) -> bytes:
        """The block with one space between cells, where spaces are what separates them."""
        if self.delimiter != " ":
            return block
        return re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t]+", b" ", block))

    def _read(
        self, block: bytes, types: dict[str, Any], columns: list[str] | None, handler: Any, *, whole: bool
    ) -> Any:
        size = len(block) + 1 if whole else min(len(block) + 1, 1 << 20)
        words = self.null_values
        return pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(
                column_names=list(self.names), use_threads=not whole, block_size=size
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self.delimiter,
                quote_char=self.quote if self.quote is not None else False,
                newlines_in_values=self.quote is not None and self.quote.encode() in block,
                invalid_row_handler=handler,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=columns,
                null_values=None if words is None else ["", *words],
                strings_can_be_null=words is not None,
            ),
        )

    def _parse_carefully(self, block: bytes, columns: list[str]) -> ParsedBlock:
        ragged: dict[int, Any] = {}

        def note(row: Any) -> str:
            ragged[row.number - 1] = row
            return "skip"

        table = self._read(block, dict.fromkeys(self.names, pa.binary()), None, note, whole=True)
        count = table.num_rows + len(ragged)
        numbers = np.setdiff1d(np.arange(count), np.fromiter(ragged, dtype=np.int64, count=len(ragged)))
        keep = np.ones(table.num_rows, dtype=bool)
        bad: dict[int, BadRecord] = {}
        arrays = []
        for name in columns:
            raw = table.column(name).combine_chunks()
            good, misfit = coerce_text(raw, self.types[name], self.null_values)
            arrays.append(good)
            keep &= ~misfit
            for i in np.flatnonzero(misfit).tolist():
                if int(numbers[i]) not in bad:
                    reason, detail = _misfit(raw[i].as_py(), self.types[name])
                    record = self._written(table, i)
                    bad[int(numbers[i])] = BadRecord(int(numbers[i]), reason, name, detail, record)
        for number, row in ragged.items():
            detail = f" ({row.actual_columns} where {row.expected_columns} are due)"
            bad[number] = BadRecord(number, "wrong number of cells", None, detail, row.text.encode())
        batch = pa.record_batch([a.filter(pa.array(keep)) for a in arrays], names=columns)
        return ParsedBlock(batch, count, tuple(bad[n] for n in sorted(bad)), numbers[keep])

    def _written(self, table: Any, row: int) -> bytes:
        """A record as text again, with quotes where it needs them."""
        cells = [(column[row].as_py() or b"").decode("utf-8", "replace") for column in table.columns]
        if self.quote is None:
            return self.delimiter.join(cells).encode()
        out = io.StringIO()
        csv.writer(out, delimiter=self.delimiter, quotechar=self.quote, lineterminator="").writerow(cells)
        return out.getvalue().encode()


def _mostly_numbers(column: Any) -> bool:
    return number_share(column.combine_chunks()) >= _MOSTLY


def _empty_text_is_null(batch: Any) -> Any:
    for i, field in enumerate(batch.schema):
        if pa.types.is_string(field.type):
            column = batch.column(i)
            empty = pc.equal(column, "")
            if pc.any(empty).as_py():
                batch = batch.set_column(i, field, pc.if_else(empty, pa.scalar(None, field.type), column))
    return batch


def _misfit(value: bytes, kind: Any) -> tuple[str, str]:
    what = (
        "number" if pa.types.is_floating(kind) else "text in UTF-8" if pa.types.is_string(kind) else str(kind)
    )
    return f"not a {what}", f": {shown(value)}"


def _one_batch(table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
