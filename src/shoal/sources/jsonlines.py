"""JSON lines: one object per line, in blocks, with the place of every bad line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from shoal.sources.blocks import FIRST_BLOCK, RecordBlocks, RunawayRecordError, lines_end
from shoal.sources.locate import Located
from shoal.sources.options import DAMAGED, FileLog, ReadOptions, shown
from shoal.sources.reader import Piece, block_size_for
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

    def _type_of(self, field: Any) -> Any:
        if field.name in self._options.text_columns:
            return pa.string()
        parsed = self._options.parsed
        return _as_float(field.type) if parsed is None or field.name in parsed else field.type

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
        try:
            found = _read(self._first, None).schema if self._first.strip() else pa.schema([])
        except pa.ArrowException:
            found = _infer_from(list(_objects(self._first)))
        types = {f.name: self._type_of(f) for f in found}
        types |= {f.name: f.type for f in expected or () if f.name in types}
        return pa.schema(list(types.items()))

    def _parse(self, block: bytes, schema: Any, offset: int) -> tuple[Piece, int]:
        try:
            batches = _read(block, schema).combine_chunks().to_batches()
            # Keys that no line of the block has come back last or not at all: names decide, not places.
            batch = batches[0].select(schema.names)
        except (pa.ArrowException, KeyError, IndexError):
            return self._parse_carefully(block, schema, offset)
        return Piece(batch, offset, None), batch.num_rows

    def _parse_carefully(self, block: bytes, schema: Any, offset: int) -> tuple[Piece, int]:
        good: list[dict[str, Any]] = []
        rows: list[int] = []
        count = 0
        for number, item in enumerate(_objects(block)):
            count += 1
            if isinstance(item, Exception):
                self._log.bad_row("not a JSON object", offset + number, detail=f" ({item})")
                continue
            wrong = next((f.name for f in schema if not _fits(item, f)), None)
            if wrong is not None:
                detail = f": {shown(item[wrong])}"
                self._log.bad_row(
                    _reason(schema.field(wrong).type), offset + number, column=wrong, detail=detail
                )
                continue
            good.append({f.name: _value(item.get(f.name), f.type) for f in schema})
            rows.append(offset + number)
        batch = pa.RecordBatch.from_pylist(good, schema=schema)
        return Piece(batch, offset, np.array(rows, dtype=np.int64)), count


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
                kind = _kind_of(value)
                seen.setdefault(name, [])
                if kind is not None:
                    seen[name].append(kind)
    return pa.schema(
        [(n, max(kinds, key=kinds.count) if kinds else pa.float64()) for n, kinds in seen.items()]
    )


def _kind_of(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        return pa.float64()
    try:
        return _as_float(pa.array([value]).type)
    except pa.ArrowException:
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
    if value is None or not pa.types.is_string(kind) or isinstance(value, str):
        return float(value) if pa.types.is_floating(kind) and value is not None else value
    return json.dumps(value)


def _reason(kind: Any) -> str:
    return "not a number" if pa.types.is_floating(kind) else f"not a {kind}"
