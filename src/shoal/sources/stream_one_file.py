"""One finished file of any format, read from where an earlier run left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError, Rejects
from shoal.sources.arrow_ipc import ArrowReader
from shoal.sources.blocks import FIRST_BLOCK
from shoal.sources.files import format_of
from shoal.sources.locate import Located
from shoal.sources.numpy_files import NumpyReader
from shoal.sources.options import DAMAGED, FileLog, ReadOptions
from shoal.sources.parquet import ParquetReader
from shoal.sources.reader import FileReader, Piece, offered
from shoal.sources.recordio_source import RecordIOReader
from shoal.sources.stream_protocol import DeadLetter
from shoal.sources.stream_records import Mark, Portion, Records, dead_letter
from shoal.sources.stream_text import TextShape, conform, learn_shape, no_rows
from shoal.sources.streams import DAMAGE, CountedStream, chunk_reader

_BEHIND = 2 << 20
"""Bytes that a forward reader keeps behind it: a reader of records may look so far ahead and come back."""


class OneFile(Protocol):
    """One pass over one file."""

    shape: TextShape
    """Columns and types; for tables only its schema says something."""

    def next(self, max_rows: int) -> Portion | None:
        """The next rows and dead letters; None at the end."""

    def mark(self, done: int) -> Mark:
        """Where to go on when the records below ``done`` are dealt with."""

    @property
    def bytes_read(self) -> int:
        """Raw bytes read so far, about."""

    def close(self) -> None:
        """Close the file."""


def open_one(file: Located, options: ReadOptions, shape: TextShape | None, mark: Mark, hint: Any) -> OneFile:
    """A file from a mark on, with the columns of ``shape``, or those of its own if that is None.

    Raises :class:`BadInputError` for files from which nothing can be learned, or that cannot be opened.
    """
    kind, compression = format_of(file, options)
    if kind in ("csv", "tsv", "jsonl"):
        return TextFile(file, "jsonl" if kind == "jsonl" else "csv", compression, options, shape, mark, hint)
    if compression is not None and kind not in ("arrow", "recordio"):
        raise BadInputError(
            f"{kind} inside {compression} cannot be read", place=file.origin, remedy="decompress it first"
        )
    return TableFile(file, kind, compression, options, shape, mark, hint)


class TextFile:
    """A file of records, plain or compressed. Where a compressed file is damaged, a dead letter says so."""

    def __init__(
        self,
        file: Located,
        kind: str,
        compression: str | None,
        options: ReadOptions,
        shape: TextShape | None,
        mark: Mark,
        hint: Any,
    ) -> None:
        self._raw = CountedStream(file.open())
        self._origin = file.origin
        self._bytes = Forward(chunk_reader(self._raw, compression, options.encoding))
        if shape is None:
            head = self._bytes.read(0, FIRST_BLOCK)
            cut = head.rfind(b"\n") + 1 if len(head) >= FIRST_BLOCK else len(head)
            if not head.strip():
                raise BadInputError("file is empty", place=file.origin, remedy="name files with data")
            shape = learn_shape(kind, head[:cut] or head, options, file.origin, hint)
        # A file of the other text format has the same columns and another way to write them.
        elif shape.kind != kind or kind == "csv":
            shape = _rewritten(shape, kind, self._bytes.read(0, FIRST_BLOCK), options, file.origin, mark)
        self.shape = shape
        self._records = Records(self._bytes.read, shape, file.origin, mark, torn=self._torn)
        self._done = mark.done
        self._told = False

    @property
    def bytes_read(self) -> int:
        """Raw bytes read so far."""
        return self._raw.count

    def next(self, max_rows: int) -> Portion | None:
        """The next rows and dead letters; None at the end."""
        portion = self._records.next(max_rows, ended=True)
        damage, row = self._bytes.damage, self._records.row
        if portion is None and damage is not None and not self._told and row >= self._done:
            self._told = True
            reason = f"{DAMAGED} ({' '.join(str(damage).split())[:160]})"
            letter = dead_letter(reason, f"{self._origin}, after row {row}")
            return Portion(no_rows(self.shape.schema), _NO_NUMBERS, [(row, letter)], row + 1)
        return portion

    def _torn(self) -> str | None:
        return None if self._bytes.damage is None else f"{DAMAGED} in this record"

    def mark(self, done: int) -> Mark:
        """Where to go on when the records below ``done`` are dealt with."""
        mark = self._records.mark(done)
        return replace(mark, done=max(done, mark.done)) if self._told else mark

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


_NO_NUMBERS = np.empty(0, dtype=np.int64)


def _rewritten(
    shape: TextShape, kind: str, head: bytes, options: ReadOptions, origin: str, mark: Mark
) -> TextShape:
    """The stream's columns as this file writes them: another delimiter, or JSON where the first file was CSV."""
    cut = head.rfind(b"\n") + 1 or len(head)
    try:
        own = learn_shape(kind, head[:cut], options, origin)
    except BadInputError:
        return shape
    if own.names is not None and not set(own.names) & set(shape.schema.names):
        own = _named(own, shape)
    return TextShape(
        kind, shape.schema, own.delimiter, own.quote, own.null_values, own.header, own.names, own.encoding
    )


def _named(own: TextShape, shape: TextShape) -> TextShape:
    """A file without a header takes the names of the stream, where the widths agree."""
    fits = own.header is False and len(own.names or ()) == len(shape.schema)
    names = tuple(shape.schema.names) if fits else own.names
    return TextShape(
        "csv", own.schema, own.delimiter, own.quote, own.null_values, own.header, names, own.encoding
    )


class Forward:
    """A stream that is read forwards, as something that is read at offsets not far from one another."""

    def __init__(self, chunk: Callable[[], bytes]) -> None:
        self._chunk = chunk
        self._kept = b""
        self._start = 0
        self.damage: BaseException | None = None
        """Why the stream broke off before its end."""

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; ``b""`` at the end."""
        while self._start + len(self._kept) <= offset and self._more(offset):
            pass
        at = offset - self._start
        return self._kept[at : at + size]

    def _more(self, offset: int) -> bool:
        if self.damage is not None:
            return False
        try:
            data = self._chunk()
        except DAMAGE as error:
            self.damage, data = error, b""
        spare = max(0, min(offset - _BEHIND - self._start, len(self._kept)))
        self._kept = self._kept[spare:] + data
        self._start += spare
        return bool(data)


class TableFile:
    """A Parquet, Arrow, NumPy or RecordIO file. What is damaged or does not fit is told as dead letters."""

    def __init__(
        self,
        file: Located,
        kind: str,
        compression: str | None,
        options: ReadOptions,
        shape: TextShape | None,
        mark: Mark,
        hint: Any,
    ) -> None:
        self._origin = file.origin
        self._rejects = Rejects()
        log = FileLog(file.origin, "skip", self._rejects)
        self._reader: FileReader
        if kind == "arrow":
            self._reader = ArrowReader(file, compression, options, log)
        elif kind == "parquet":
            self._reader = ParquetReader(file, options, log)
        elif kind == "recordio":
            self._reader = RecordIOReader(file, compression, options, log)
        else:
            self._reader = NumpyReader(file, kind == "npz", options, log)
        own = offered(self._reader.schema)
        schema = shape.schema if shape is not None else hint if hint is not None else own
        if len(schema) == 0:
            raise BadInputError(
                self._first_trouble(), place=file.origin, remedy="get a whole copy, or leave it out"
            )
        self.shape = shape or TextShape("table", schema.remove_metadata())
        self._done = mark.done
        self._next_row = 0
        present = [name for name in self.shape.schema.names if name in self._reader.schema.names]
        self._pieces: Iterator[Piece] = iter(self._reader.pieces(present)) if present else iter(())
        if not present and not self._rejects.total:
            names = ", ".join(map(repr, self._reader.schema.names[:5]))
            self._rejects.add(f"has none of the stream's columns, only {names}", 1, file.origin)

    @property
    def bytes_read(self) -> int:
        """Raw bytes read so far, about."""
        return self._reader.position

    def next(self, max_rows: int) -> Portion | None:
        """The next rows and dead letters; None at the end. Rows done before a restart are read and dropped."""
        while True:
            piece = next(self._pieces, None)
            letters = self._letters()
            portion = self._portion(piece, letters)
            if portion is None:
                return None
            portion.drop_before(self._done)
            if not portion.spent:
                return portion

    def mark(self, done: int) -> Mark:
        """Where to go on when the rows below ``done`` are dealt with."""
        return Mark(0, 0, done)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _portion(self, piece: Piece | None, letters: list[DeadLetter]) -> Portion | None:
        first = self._next_row
        none = no_rows(self.shape.schema)
        if piece is None:
            if not letters:
                return None
            self._next_row = first + 1
            return Portion(none, _NO_NUMBERS, [(first, letter) for letter in letters], first + 1)
        rows = piece.rows if piece.rows is not None else piece.offset + np.arange(piece.table.num_rows)
        self._next_row = end = int(rows[-1]) + 1
        try:
            table = conform(piece.table, self.shape.schema)
        except pa.ArrowException as error:
            place = f"{self._origin}, rows {piece.offset + 1} to {end}"
            reason = f"columns of other types than the stream's ({' '.join(str(error).split())[:160]})"
            letters.append(dead_letter(reason, place))
            return Portion(none, _NO_NUMBERS, [(piece.offset, letter) for letter in letters], end)
        return Portion(table, rows, [(piece.offset, letter) for letter in letters], end)

    def _letters(self) -> list[DeadLetter]:
        found = [
            dead_letter(f"{reason} ({rows} rows)" if rows > 1 else reason, self._rejects.first[reason])
            for reason, rows in self._rejects.counts.items()
        ]
        self._rejects.counts.clear()
        self._rejects.first.clear()
        return found

    def _first_trouble(self) -> str:
        return next(iter(self._rejects.counts), "has no columns")
