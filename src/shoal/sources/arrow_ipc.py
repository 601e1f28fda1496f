"""Arrow IPC files (Feather) and streams, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shoal.sources.locate import Located
from shoal.sources.options import FileLog, ReadOptions
from shoal.sources.reader import Piece
from shoal.sources.streams import DAMAGE, CountedStream, chunk_reader

_MAGIC = b"ARROW1"
_FIRST_MESSAGE = 8
"""The file format is the stream format behind eight bytes of magic, with a footer after it."""


class ArrowReader:
    """One Arrow IPC file or stream.

    Both are read as a stream, front to back, so that a file whose end is missing still gives what it has, and
    so that a pipe or a compressed file works as well.
    """

    def __init__(self, located: Located, compression: str | None, options: ReadOptions, log: FileLog) -> None:
        self._options, self._log = options, log
        self._raw = CountedStream(located.open())
        bytes_in = _Chunks(chunk_reader(self._raw, compression, "utf-8"))
        self._batches: Any = None
        self._schema = pa.schema([])
        self._is_file = False
        try:
            start = bytes_in.read(_FIRST_MESSAGE)
            if start.startswith(b"FEA1"):
                log.fail("is Feather version 1", remedy="write it again with version 2 (Arrow IPC)")
            self._is_file = start.startswith(_MAGIC)
            if not self._is_file:
                bytes_in.unread(start)
            self._batches = pa.ipc.open_stream(pa.PythonFile(bytes_in, mode="r"))
            self._schema = self._batches.schema
        except DAMAGE as error:
            log.damaged(error, after="at its schema")

    @property
    def schema(self) -> Any:
        """The schema of the file."""
        return self._schema

    @property
    def position(self) -> int:
        """Raw bytes read so far."""
        return self._raw.count

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with the named columns."""
        offset = 0
        while self._batches is not None:
            try:
                batch = self._batches.read_next_batch()
                batch.validate(full=True)
            except StopIteration:
                return
            except DAMAGE as error:
                self._log.damaged(error, after=f"after row {offset}")
                return
            if batch.num_rows:
                yield Piece(batch.select(list(columns)), offset, None)
            offset += batch.num_rows


class _Chunks:
    """A readable file over a function that returns the next bytes."""

    closed = False

    def __init__(self, take: Any) -> None:
        self._take = take
        self._pending = b""

    def unread(self, data: bytes) -> None:
        self._pending = data + self._pending

    def read(self, size: int) -> bytes:
        parts, total = [self._pending], len(self._pending)
        while total < size:
            data = self._take()
            if not data:
                break
            parts.append(data)
            total += len(data)
        data = b"".join(parts)
        self._pending = data[size:]
        return data[:size]

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        pass
