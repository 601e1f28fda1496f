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

    A whole file is read by its footer, batch by batch. Streams, pipes, compressed files and files whose end is
    missing are read front to back, so that what is there is kept.
    """

    def __init__(self, located: Located, compression: str | None, options: ReadOptions, log: FileLog) -> None:
        self._options, self._log = options, log
        self._size = located.size or 0
        self._file: Any = _by_footer(located) if compression is None else None
        if self._file is not None:
            self._schema, self._share = self._file.schema, 0.0
            return
        self._raw = CountedStream(located.open())
        bytes_in = _Chunks(chunk_reader(self._raw, compression, "utf-8"))
        self._batches: Any = None
        self._schema = pa.schema([])
        try:
            start = bytes_in.read(_FIRST_MESSAGE)
            if start.startswith(b"FEA1"):
                log.fail("is Feather version 1", remedy="write it again with version 2 (Arrow IPC)")
            if not start.startswith(_MAGIC):
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
        """Raw bytes read so far, about."""
        return int(self._share * self._size) if self._file is not None else self._raw.count

    def close(self) -> None:
        """Close the file."""
        if self._file is None:
            self._raw.close()

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The file's rows in order, with the named columns."""
        offset = 0
        batches = self._file_batches() if self._file is not None else self._stream_batches()
        while True:
            try:
                batch = next(batches)
                batch.validate(full=True)
            except StopIteration:
                return
            except DAMAGE as error:
                self._log.damaged(error, after=f"after row {offset}")
                return
            if batch.num_rows:
                yield Piece(batch.select(list(columns)), offset, None)
            offset += batch.num_rows

    def _file_batches(self) -> Iterator[Any]:
        for i in range(self._file.num_record_batches):
            yield self._file.get_batch(i)
            self._share = (i + 1) / self._file.num_record_batches

    def _stream_batches(self) -> Iterator[Any]:
        return iter(self._batches if self._batches is not None else ())


def _by_footer(located: Located) -> Any:
    """A random-access reader of a whole file; None where there is no footer or no way to seek to it."""
    raw = located.open()
    try:
        return pa.ipc.open_file(raw)
    except DAMAGE + (AttributeError, ValueError):  # noqa: RUF005
        raw.close()
        return None


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
