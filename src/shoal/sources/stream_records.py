"""Records of a growing text: whole ones only, numbered from the first, with the place to go on from."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.sources.blocks import FIRST_BLOCK
from shoal.sources.reader import block_size_for
from shoal.sources.stream_parsed import BadRecord, ParsedBlock
from shoal.sources.stream_protocol import DeadLetter
from shoal.sources.stream_text import TextShape, no_rows

LONGEST_RECORD = 4 << 20
"""Bytes after which a record is taken for one that does not end: a stream must not wait for a forgotten quote."""

RAW_BYTES = 64 << 10
"""Of a record, at most so much is kept in a dead letter."""


def dead_letter(reason: str, place: str, raw: bytes = b"") -> DeadLetter:
    """A dead letter, its record cut at 64 KiB.

    >>> dead_letter("not a number", "a.csv, row 3", b"oops").raw
    'oops'
    """
    return DeadLetter(reason, place, raw[:RAW_BYTES].decode("utf-8", "replace").rstrip("\r\n"))


class Portion:
    """Rows and dead letters in order of their record numbers, handed out in parts of any size.

    ``end`` is the number behind the last record.
    """

    def __init__(
        self, table: Any, rows: NDArray[np.int64], dead: list[tuple[int, DeadLetter]], end: int
    ) -> None:
        self._table, self._rows, self._dead, self.end = table, rows, dead, end
        self._at = 0
        self.spent = False

    def drop_before(self, number: int) -> None:
        """Forget the records below ``number``: they were handed out before a restart."""
        self._at = int(np.searchsorted(self._rows, number))
        self._dead = [(n, letter) for n, letter in self._dead if n >= number]
        self.spent = self._at == len(self._rows) and not self._dead

    def take(self, max_rows: int) -> tuple[Any, NDArray[np.int64], tuple[DeadLetter, ...], int]:
        """The next rows, their numbers, the dead letters among them, and the number to go on from."""
        stop = min(self._at + max(max_rows, 1), len(self._rows))
        rows = self._rows[self._at : stop]
        table = self._table.slice(self._at, stop - self._at)
        self._at, self.spent = stop, stop == len(self._rows)
        done = self.end if self.spent else int(self._rows[stop])
        dead = tuple(replace(letter, row=n) for n, letter in self._dead if n < done)
        self._dead = self._dead[len(dead) :]
        return table, rows, dead, done


@dataclass(frozen=True)
class Mark:
    """Where to go on: at byte ``offset``, whose record is number ``row``, handing out from number ``done`` on."""

    offset: int = 0
    row: int = 0
    done: int = 0
    names: tuple[str, ...] = ()
    """Columns of this text, in its order."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"offset": self.offset, "row": self.row, "done": self.done, "names": list(self.names)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Mark:
        """Inverse of :meth:`to_dict`."""
        return cls(int(data["offset"]), int(data["row"]), int(data["done"]), tuple(data["names"]))


class Records:
    """Whole records of one text, from a mark on.

    Parameters
    ----------
    read : at most so many bytes from an offset; ``b""`` where there are none (yet).
    origin : as shown in errors.
    torn : answers what is wrong with a last record that has no newline; None: nothing, it counts.

    >>> from shoal.sources.options import ReadOptions
    >>> from shoal.sources.stream_text import learn_shape
    >>> text = b"x\\n1\\n2\\n3"
    >>> shape = learn_shape("csv", text, ReadOptions(), "a.csv")
    >>> records = Records(lambda at, size: text[at : at + size], shape, "a.csv")
    >>> portion = records.next(10, ended=False); portion.take(1)[0].to_pylist(), records.mark(1)
    ([{'x': 1.0}], Mark(offset=2, row=0, done=1, names=('x',)))
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        shape: TextShape,
        origin: str,
        mark: Mark | None = None,
        *,
        torn: Callable[[], str | None] = lambda: None,
    ) -> None:
        mark = mark or Mark()
        self._read, self._shape, self._origin, self._torn = read, shape, origin, torn
        self._names, self._done = mark.names, mark.done
        self._offset = self._start = mark.offset
        self._row = self._first = mark.row
        self._pending = b""
        self._size = min(FIRST_BLOCK, LONGEST_RECORD)
        self._swallowed = 0
        self.body = 0
        """Bytes of byte order mark and header before the first record."""

    @property
    def offset(self) -> int:
        """Bytes behind the last whole record given out."""
        return self._offset

    @property
    def row(self) -> int:
        """Records given out or dropped."""
        return self._row

    def mark(self, done: int) -> Mark:
        """Where to go on when the records below ``done`` of the last portion are dealt with."""
        if done >= self._row:
            return Mark(self._offset, self._row, self._row, self._names)
        return Mark(self._start, self._first, done, self._names)

    def next(self, max_rows: int, *, ended: bool) -> Portion | None:
        """The next records; None: no whole one is there. ``ended``: nothing will be added to the text."""
        while True:
            block, parsed = self._block(ended)
            if parsed is None:
                return None
            self._start, self._first = self._offset, self._row
            self._offset += block
            self._row += parsed.count
            self._size = min(block_size_for(max_rows, block, parsed.count), LONGEST_RECORD)
            portion = self._portion(parsed)
            if self._done > self._first:
                portion.drop_before(self._done)
            if not portion.spent:
                return portion

    def _portion(self, parsed: ParsedBlock) -> Portion:
        dead = [(self._first + bad.number, self._letter(bad)) for bad in parsed.bad]
        portion = Portion(parsed.table, self._first + parsed.row_numbers, dead, self._row)
        portion.spent = parsed.table.num_rows == 0 and not dead
        return portion

    def _letter(self, bad: BadRecord) -> DeadLetter:
        place = f"{self._origin}, row {self._first + bad.number + 1}"
        place += "" if bad.column is None else f", column {bad.column!r}"
        return dead_letter(bad.reason, place, bad.raw)

    def _block(self, ended: bool) -> tuple[int, ParsedBlock | None]:
        """The next whole records, parsed, and how many bytes they take; None: there are none."""
        want = self._size
        while True:
            more = self._fill(want)
            if self._offset == 0 and (head := self._header(ended and not more)) is not None:
                return head, ParsedBlock(no_rows(self._shape.schema), 0)
            end = self._shape.cut(self._pending)
            if end > 0:
                return end, self._shape.parse(self._took(end), self._names)
            if len(self._pending) > LONGEST_RECORD:
                return self._runaway(ended)
            if not more:
                return self._last() if ended and self._pending else (0, None)
            # Never more than this, so that which record is too long does not depend on what was read at once.
            want = min(max(2 * len(self._pending), want), LONGEST_RECORD + 1)

    def _fill(self, size: int) -> bool:
        """Read until ``size`` bytes are pending; whether anything came (or nothing was needed)."""
        parts, total = [self._pending], len(self._pending)
        while total < size:
            data = self._read(self._offset + total, size - total)
            if not data:
                break
            parts.append(data)
            total += len(data)
        grew = total > len(self._pending) or total >= size
        self._pending = b"".join(parts)
        return grew

    def _took(self, size: int) -> bytes:
        block, self._pending = self._pending[:size], self._pending[size:]
        return block

    def _header(self, last: bool) -> int | None:
        """Bytes of byte order mark and header to be skipped at the start; None: none, or not all there yet."""
        mark = len(codecs.BOM_UTF8) if self._pending.startswith(codecs.BOM_UTF8) else 0
        text = self._pending[mark:]
        whole = text[: self._shape.cut(text)] or (text if last else b"")
        if not whole:
            return None
        self._names, header = self._shape.columns_of(whole)
        if mark + header == 0:
            return None
        self._took(mark + header)
        self.body = mark + header
        return mark + header

    def _last(self) -> tuple[int, ParsedBlock]:
        """What stands behind the last newline, at the end."""
        size = len(self._pending)
        torn = self._torn()
        if torn is not None:
            return size, self._refused(torn, self._took(size))
        if self._shape.cut(self._pending + b"\n") == 0:
            return self._unquoted()
        return size, self._shape.parse(self._took(size), self._names)

    def _runaway(self, ended: bool) -> tuple[int, ParsedBlock | None]:
        """A record that does not end: of a delimited text only its first line is given up."""
        if b"\n" in self._pending:
            return self._unquoted()
        at = self._offset + len(self._pending) + self._swallowed
        while data := self._read(at, 1 << 20):
            line = data.find(b"\n") + 1
            at += line or len(data)
            self._swallowed = at - self._offset - len(self._pending)
            if line:
                break
        else:
            if not ended:
                return 0, None
        record, self._pending, self._swallowed = self._pending, b"", 0
        return at - self._offset, self._refused("a record is too long", record)

    def _unquoted(self) -> tuple[int, ParsedBlock]:
        size = self._pending.find(b"\n") + 1 or len(self._pending)
        return size, self._refused("a quoted value does not end", self._took(size))

    def _refused(self, reason: str, record: bytes) -> ParsedBlock:
        none = np.empty(0, dtype=np.int64)
        return ParsedBlock(no_rows(self._shape.schema), 1, (BadRecord(0, reason, raw=record),), none)
