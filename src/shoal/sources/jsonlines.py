"""JSON lines: one object per line, in blocks, with the place of every bad line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from shoal.sources.blocks import FIRST_BLOCK, RecordBlocks, RunawayRecordError, lines_end
from shoal.sources.locate import Located
from shoal.sources.options import DAMAGED, FileLog, ReadOptions, shown
from shoal.sources.reader import Piece, block_size_for
from shoal.sources.stream_parsed import BadRecord, ParsedBlock
from shoal.sources.streams import CountedStream, chunk_reader


class JsonLinesReader:
    """One JSON lines file; the columns are the keys of the first MiB, every number a float64.

    A key that a line lacks is null; a key that is new after the first MiB is ignored.
    """

    def __init__(
        self, located: Located, compression: str | None, options: ReadOptions, expected: Any, log: FileLog
    ) -> None:
        self._options, self._log = options, log
        self._raw = CountedStream(located.open())
        self._blocks = RecordBlocks(chunk_reader(self._raw, compression, options.encoding), lines_end)
        self._blocks.peek(FIRST_BLOCK)
        self._first = self._take(FIRST_BLOCK)
        if not self._first.strip():
            damage = self._blocks.damage
            log.damaged(damage or "", reason="file is empty" if damage is None else DAMAGED)
        if self._first.lstrip().startswith(b"["):
            log.fail("is one JSON array, not one object per line", remedy="convert it with: jq -c '.[]'")
        self._schema = self._infer(expected)

    @property
    def schema(self) -> Any:
        """Keys of the first block, in order of appearance."""
        return self._schema

    @property
    def position(self) -> int:
        """Raw bytes read so far."""
        return self._raw.count

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order; blank lines are no rows."""
        schema = pa.schema([self._schema.field(name) for name in columns])
        offset, block = 0, self._first
        while block:
            if block.strip():
                piece, count = self._parse(block, schema, offset)
                yield piece
                offset += count
                block = self._take(block_size_for(self._options.batch_rows, len(block), count))
            else:
                block = self._take(FIRST_BLOCK)
        if self._blocks.damage is not None and self._first:
            self._log.damaged(self._blocks.damage, after=f"after row {offset}")

    def _take(self, size: int) -> bytes:
        try:
            return self._blocks.take(size)
        except RunawayRecordError:
            self._log.fail("a line is longer than 64 MiB", remedy="write one object per line")

    def _infer(self, expected: Any) -> Any:
        types = {f.name: type_of(f, self._options) for f in infer_block(self._first)}
        types |= {f.name: f.type for f in expected or () if f.name in types}
        return pa.schema(list(types.items()))

    def _parse(self, block: bytes, schema: Any, offset: int) -> tuple[Piece, int]:
        parsed = parse_lines(block, schema)
        for bad in parsed.bad:
            self._log.bad_row(bad.reason, offset + bad.number, column=bad.column, detail=bad.detail)
        rows = None if parsed.numbers is None else offset + parsed.numbers
        return Piece(parsed.table, offset, rows), parsed.count


def parse_lines(block: bytes, schema: Any) -> ParsedBlock:
    """The objects of a block of whole lines, by a fixed schema; blank lines are no records.

    What becomes of a line never depends on the other lines of its block: lines are parsed together, and those
    that spoil their block are found by halving it.

    >>> parsed = parse_lines(b'{"x": 1}\\n[2]\\n{"y": 3}\\n', pa.schema({"x": pa.float64()}))
    >>> parsed.table.column("x").to_pylist(), parsed.numbers.tolist(), parsed.bad[0].reason
    ([1.0, None], [0, 2], 'not a JSON object')
    """
    whole = _parse_together(block, schema, None)
    if whole is not None:
        return ParsedBlock(whole, whole.num_rows)
    lines = [line for line in block.split(b"\n") if line.strip()]
    found = _Found(schema)
    candidates = []
    for number, line in enumerate(lines):
        # What is no object at a glance is not worth a try.
        if line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}"):
            candidates.append((number, line))
        else:
            found.parse_one(number, line)
    found.parse_halves(candidates)
    if not found.tables:
        return ParsedBlock(_no_rows(schema), len(lines), found.all_bad(), np.empty(0, dtype=np.int64))
    numbers = np.array(found.numbers, dtype=np.int64)
    table = pa.Table.from_batches(found.tables, schema=schema)
    order = np.argsort(numbers)
    if not np.array_equal(order, np.arange(len(order))):
        table, numbers = table.take(pa.array(order)), numbers[order]
    batch = table.combine_chunks().to_batches()[0]
    return ParsedBlock(batch, len(lines), found.all_bad(), numbers)


def infer_block(block: bytes) -> Any:
    """The schema of a block of whole lines, some of which may be bad, as the parser sees it.

    >>> infer_block(b'{"a": 1, "b": "x"}\\n').types
    [DataType(int64), DataType(string)]
    """
    try:
        if not _has_bare_null(block):
            return _read(block, None).schema if block.strip() else pa.schema([])
    except pa.ArrowException:
        pass
    return _infer_from(list(_objects(block)))


def type_of(field: Any, options: ReadOptions) -> Any:
    """The type that a column is read as: every number a float64, unless it is only carried along."""
    if field.name in options.text_columns:
        return pa.string()
    return _as_float(field.type) if options.parsed is None or field.name in options.parsed else field.type


_TWO_OBJECTS = re.compile(rb"\}[ \t\r]*\{")
_NULL_BEHIND, _NULL_ANYWHERE = re.compile(rb"\}[ \t\r]*null"), re.compile(rb"[\n}][ \t\r]*null")
_FEW = 8
"""So few lines are parsed one by one when one of them is bad."""


class _Found:
    """What came of the lines of a block in which some are bad."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.tables: list[Any] = []
        self.numbers: list[int] = []
        self._bad: list[BadRecord] = []

    def all_bad(self) -> tuple[BadRecord, ...]:
        return tuple(sorted(self._bad, key=lambda bad: bad.number))

    def parse_halves(self, lines: list[tuple[int, bytes]]) -> None:
        if not lines:
            return
        batch = _parse_together(b"\n".join(line for _, line in lines) + b"\n", self._schema, len(lines))
        if batch is not None:
            self.tables.append(batch)
            self.numbers += [number for number, _ in lines]
        elif len(lines) == 1:
            self.parse_one(*lines[0])
        else:
            half = len(lines) // 2 if len(lines) > _FEW else 1
            for start in range(0, len(lines), half):
                self.parse_halves(lines[start : start + half])

    def parse_one(self, number: int, line: bytes) -> None:
        """A line that the fast parser refuses."""
        good = _parse_one(line, number, self._schema)
        if isinstance(good, BadRecord):
            self._bad.append(good)
        else:
            self.tables.append(pa.RecordBatch.from_pylist([good], schema=self._schema))
            self.numbers.append(number)


def _parse_together(block: bytes, schema: Any, lines: int | None) -> Any:
    """The rows of a block in which all is well, else None."""
    if _has_bare_null(block):
        return None
    try:
        batches = _read(block, schema).combine_chunks().to_batches()
        # Keys that no line of the block has come back last or not at all: names decide, not places.
        batch = batches[0].select(schema.names)
    except (pa.ArrowException, KeyError, IndexError):
        return None
    # The parser takes two objects on a line, and one on two lines; the number of a record must be its line's.
    if lines is None:
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if lines != batch.num_rows:
            lines = sum(1 for line in block.split(b"\n") if line.strip())
    return batch if lines == batch.num_rows and not _TWO_OBJECTS.search(block) else None


def _has_bare_null(block: bytes) -> bool:
    """Whether a line may hold a null that is no value of an object: Arrow takes it for a row, or ends the process."""
    if b"null" not in block:
        return False
    lines = block.count(b"\n") - block.endswith(b"\n")
    if block.startswith(b"{") and block.count(b"\n{") == lines:  # as most programs write it
        return bool(_NULL_BEHIND.search(block))
    return block.lstrip().startswith(b"null") or bool(_NULL_ANYWHERE.search(block))


def _parse_one(line: bytes, number: int, schema: Any) -> BadRecord | dict[str, Any]:
    """A line that the fast parser refuses, read with more patience."""
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRecord(number, "not a JSON object", None, f" ({error})", line)
    if not isinstance(item, dict):
        return BadRecord(number, "not a JSON object", None, f" (it is {shown(line)})", line)
    good: dict[str, Any] = {}
    for field in schema:
        value = item.get(field.name)
        if not _fits(item, field):
            return BadRecord(number, _reason(field.type), field.name, f": {shown(value)}", line)
        good[field.name] = _value(value, field.type)
    return good


def _no_rows(schema: Any) -> Any:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _read(block: bytes, schema: Any) -> Any:
    return pajson.read_json(
        pa.BufferReader(block),
        read_options=pajson.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pajson.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
        ),
    )


def _objects(block: bytes) -> Iterator[Any]:
    """Each non-blank line as a dict, or the exception that says why it is none."""
    for line in block.split(b"\n"):
        if line.strip():
            try:
                item = json.loads(line)
                yield item if isinstance(item, dict) else TypeError(f"it is {shown(line)}")
            except (ValueError, RecursionError) as error:
                yield error


def _infer_from(items: list[Any]) -> Any:
    """A schema from lines some of which are bad: per key, the type that most of its values have."""
    seen: dict[str, list[Any]] = {}
    for item in items:
        if isinstance(item, dict):
            for name, value in item.items():
                if not _is_text(name):
                    continue
                kind = _kind_of(value)
                seen.setdefault(name, [])
                if kind is not None:
                    seen[name].append(kind)
    return pa.schema(
        [(n, max(kinds, key=kinds.count) if kinds else pa.float64()) for n, kinds in seen.items()]
    )


def _is_text(name: str) -> bool:
    """Whether a key can name a column: half a surrogate pair, which an escape can spell, cannot."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _kind_of(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        return pa.float64()
    try:
        return _as_float(pa.array([value]).type)
    except (pa.ArrowException, ValueError, OverflowError):  # such as half a surrogate pair, which is no text
        return pa.string()


def _as_float(kind: Any) -> Any:
    """Integers and nulls as float64, inside lists too: the next block may hold 3.5."""
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return pa.float64()
    if pa.types.is_list(kind):
        return pa.list_(_as_float(kind.value_type))
    return kind


def _fits(item: dict[str, Any], field: Any) -> bool:
    value = item.get(field.name)
    if value is None:
        return True
    if pa.types.is_floating(field.type):
        return isinstance(value, (float, int)) and not isinstance(value, bool)
    try:
        pa.scalar(_value(value, field.type), field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def _value(value: Any, kind: Any) -> Any:
    """A value as its column wants it: a number asked for as text keeps its digits."""
    if value is None or isinstance(value, str):
        return (
            pa.scalar(value).cast(kind).value if pa.types.is_temporal(kind) and value is not None else value
        )
    if pa.types.is_string(kind):
        return json.dumps(value)
    return _number(value) if pa.types.is_floating(kind) else value


def _number(value: float) -> float:
    """As a float; whole numbers beyond all floats are infinite, as for the fast parser."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _reason(kind: Any) -> str:
    return "not a number" if pa.types.is_floating(kind) else f"not a {kind}"
