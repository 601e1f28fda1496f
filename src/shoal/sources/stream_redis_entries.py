"""Entries of a Redis stream as rows: JSON objects in one field, or flat fields whose values are text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal.errors import BadInputError
from shoal.sources.coerce import coerce_text, number_share
from shoal.sources.jsonlines import infer_block, parse_lines, type_of
from shoal.sources.options import ReadOptions, shown
from shoal.sources.stream_parsed import BadRecord, ParsedBlock
from shoal.sources.stream_text import no_rows, schema_from_text, schema_to_text, wider

JSON_FIELDS = (b"json", b"data")
_MOSTLY = 0.95
_CLOCK_BEGINS = 10**11
"""Milliseconds since 1970 (in 1973) below which the first part of an id is no time, but somebody's own number."""

Fields = Mapping[bytes, bytes]


@dataclass(frozen=True, order=True)
class EntryId:
    """The id of an entry: milliseconds, and a count within the millisecond.

    >>> EntryId.parse(b"1700000000000-3").row == 1700000000000 * 2**20 + 3
    True
    """

    ms: int
    count: int

    @classmethod
    def parse(cls, text: bytes | str) -> EntryId:
        """From ``ms-count``."""
        ms, _, count = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(count or 0))

    @property
    def row(self) -> int:
        """63-bit row number, ``ms * 2^20 + count``: its own for every id, up to a million entries a millisecond."""
        return (self.ms * 2**20 + self.count) & (2**63 - 1)

    @property
    def seconds(self) -> float:
        """Seconds since 1970."""
        return self.ms / 1000

    def __str__(self) -> str:
        return f"{self.ms}-{self.count}"


@dataclass(frozen=True)
class EntryShape:
    """What the entries of a stream give; never changes during a stream."""

    schema: Any
    clock: bool
    """Whether ids are times."""
    null_values: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        words = None if self.null_values is None else list(self.null_values)
        return {"schema": schema_to_text(self.schema), "clock": self.clock, "null_values": words}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EntryShape:
        """Inverse of :meth:`to_dict`."""
        words = None if data["null_values"] is None else tuple(data["null_values"])
        return cls(schema_from_text(data["schema"]), bool(data["clock"]), words)

    def parse(self, entries: Sequence[Fields]) -> ParsedBlock:
        """The entries as rows; what becomes of one does not depend on the others.

        >>> shape = EntryShape(pa.schema({"x": pa.float64()}), clock=True)
        >>> parsed = shape.parse([{b"x": b"1"}, {b"json": b'{"x": 2}'}, {b"x": b"one"}])
        >>> parsed.table.column("x").to_pylist(), parsed.numbers.tolist(), parsed.bad[0].reason
        ([1.0, 2.0], [0, 1], 'not a number')
        """
        json_at = [i for i, fields in enumerate(entries) if json_text(fields) is not None]
        flat_at = [i for i, fields in enumerate(entries) if json_text(fields) is None]
        parts = []
        if json_at:
            parts.append(_placed(self._parse_json([entries[i] for i in json_at]), json_at))
        if flat_at:
            parts.append(_placed(self._parse_flat([entries[i] for i in flat_at]), flat_at))
        numbers = np.concatenate([numbers for _, numbers, _ in parts]) if parts else _NONE
        bad = sorted((b for _, _, found in parts for b in found), key=lambda b: b.number)
        if len(numbers) == 0:
            return ParsedBlock(no_rows(self.schema), len(entries), tuple(bad), _NONE)
        table = pa.Table.from_batches([table for table, _, _ in parts], schema=self.schema)
        order = np.argsort(numbers, kind="stable")
        if len(parts) > 1:
            table = table.take(pa.array(order))
        batch = table.combine_chunks().to_batches()[0]
        return ParsedBlock(batch, len(entries), tuple(bad), numbers[order])

    def _parse_json(self, entries: list[Fields]) -> ParsedBlock:
        lines = [json_text(fields) or b"null" for fields in entries]
        return parse_lines(b"\n".join(lines) + b"\n", self.schema)

    def _parse_flat(self, entries: list[Fields]) -> ParsedBlock:
        keep = np.ones(len(entries), dtype=bool)
        bad: dict[int, BadRecord] = {}
        arrays = []
        for field in self.schema:
            name = field.name.encode()
            raw = pa.array([fields.get(name, b"") for fields in entries], pa.binary())
            if pa.types.is_nested(field.type):
                good, misfit = _nested(raw, field.type)
            else:
                good, misfit = coerce_text(raw, field.type, self.null_values)
            arrays.append(good)
            keep &= ~misfit
            for i in np.flatnonzero(misfit).tolist():
                what = "number" if pa.types.is_floating(field.type) else str(field.type)
                detail = f": {shown(raw[i].as_py())}"
                bad.setdefault(i, BadRecord(i, f"not a {what}", field.name, detail, written(entries[i])))
        for i, fields in enumerate(entries):
            if not fields:
                keep[i] = False
                bad[i] = BadRecord(i, "the entry was deleted before it was read")
        batch = pa.RecordBatch.from_arrays([a.filter(pa.array(keep)) for a in arrays], schema=self.schema)
        return ParsedBlock(batch, len(entries), tuple(bad[i] for i in sorted(bad)), np.flatnonzero(keep))


def learn_entries(
    ids: Sequence[EntryId], entries: Sequence[Fields], options: ReadOptions, origin: str, hint: Any = None
) -> EntryShape:
    """The shape of a stream that starts with these entries. Raises :class:`BadInputError` where they have no fields."""
    clock = all(i.ms >= _CLOCK_BEGINS for i in ids)
    if hint is not None:
        return EntryShape(hint, clock, options.null_values)
    lines = [text for fields in entries if (text := json_text(fields)) is not None]
    types = {f.name: wider(type_of(f, options)) for f in infer_block(b"\n".join(lines))} if lines else {}
    flat = [fields for fields in entries if json_text(fields) is None]
    for name in dict.fromkeys(name for fields in flat for name in fields):
        column = name.decode("utf-8", "replace")
        texts = [fields[name] for fields in flat if name in fields]
        if column not in types or len(texts) > len(lines):
            types[column] = _type_of_texts(texts, column, options)
    if not types:
        raise BadInputError(
            "the first entries have no usable fields", place=origin, remedy="check the stream"
        )
    return EntryShape(pa.schema(list(types.items())), clock, options.null_values)


def json_text(fields: Fields) -> bytes | None:
    """The JSON object of an entry that holds one, on one line; None for flat entries."""
    if len(fields) != 1:
        return None
    for name in JSON_FIELDS:
        if name in fields:
            # Blank or of several lines, it must stay one line of a block; newlines in strings are written \\n.
            text = fields[name].replace(b"\n", b" ").replace(b"\r", b" ")
            return text if text.strip() else b"null"
    return None


def written(fields: Fields) -> bytes:
    """An entry as text, for dead letters."""
    if json_text(fields) is not None:
        return next(iter(fields.values()))
    plain = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in fields.items()}
    return json.dumps(plain, ensure_ascii=False).encode()


_NONE: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def _placed(parsed: ParsedBlock, at: list[int]) -> tuple[Any, NDArray[np.int64], list[BadRecord]]:
    """A part's rows with the numbers they have among all entries."""
    where = np.array(at, dtype=np.int64)
    bad = [BadRecord(at[b.number], b.reason, b.column, b.detail, b.raw) for b in parsed.bad]
    return parsed.table, where[parsed.row_numbers], bad


def _type_of_texts(values: list[bytes], column: str, options: ReadOptions) -> Any:
    carried = options.parsed is not None and column not in options.parsed
    if carried or column in options.text_columns:
        return pa.string()
    return pa.float64() if number_share(pa.array(values, pa.binary())) >= _MOSTLY else pa.string()


def _nested(raw: Any, kind: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Lists and structs in a flat field are JSON."""
    values, misfit = [], np.zeros(len(raw), dtype=np.bool_)
    for i, text in enumerate(raw.to_pylist()):
        try:
            values.append(pa.scalar(json.loads(text), kind).as_py() if text.strip() else None)
        except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException):
            values.append(None)
            misfit[i] = True
    return pa.array(values, kind), misfit
