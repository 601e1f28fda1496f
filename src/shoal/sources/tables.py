"""Tables in memory as a source: NumPy, SciPy sparse, pandas, polars, and whatever speaks Arrow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import BadInputError, Rejects
from shoal.sources.numpy_files import vector_batch
from shoal.sources.protocol import PEEK_ROWS, Batch, content_key
from shoal.sources.reader import Piece, rows_that_fit, sliced

_KEY_ROWS = 8192

Chunks = Callable[[int], Iterator[Any]]
"""From a row count to record batches of at most about so many rows."""


def open_table(data: Any, *, name: str | None = None, batch_rows: int = 65_536) -> TableSource:
    """A table in memory as a source.

    Parameters
    ----------
    data : (n, d) array of numbers or SciPy sparse matrix (one column named ``vector``), pandas or polars frame,
        Arrow table, record batch or reader, or any object with ``__arrow_c_stream__``.
    name : what errors call it and what identifies its rows; None: "table" and a hash of its first rows.
    batch_rows : at most this many rows in a batch.

    Raises :class:`BadInputError` for anything else, and for columns that Arrow cannot hold.

    >>> source = open_table(np.zeros((5, 2)), batch_rows=2)
    >>> [b.offset for b in source.batches()], source.schema().names
    ([0, 2, 4], ['vector'])
    """
    origin = name or "table"
    chunks, once = _chunks_of(data, origin)
    length = data.shape[0] if hasattr(data, "shape") else getattr(data, "num_rows", None)
    return TableSource(
        chunks, origin, named=name is not None, once=once, batch_rows=batch_rows, length=length
    )


class TableSource:
    """See :func:`open_table`. A stream (a record batch reader) can be read once, after any number of peeks."""

    def __init__(
        self,
        chunks: Chunks,
        origin: str,
        *,
        named: bool,
        once: bool,
        batch_rows: int,
        length: int | None = None,
    ) -> None:
        self._length = length
        self._origin, self._named, self._once, self._batch_rows = origin, named, once, batch_rows
        self._chunks = chunks
        self._kept: list[Any] = []
        self._stream: Iterator[Any] | None = None
        self._spent = False
        self._bytes = 0
        self._key: int | None = None

    @property
    def names(self) -> list[str]:
        """One name."""
        return [self._origin]

    @property
    def total_bytes(self) -> int | None:
        """Unknown: frames are converted piece by piece."""
        return None

    @property
    def bytes_read(self) -> int:
        """Bytes of the batches given out in the current pass."""
        return self._bytes

    @property
    def rejects(self) -> Rejects:
        """Always empty: what is in memory can be read."""
        return Rejects()

    def schema(self) -> Any:
        """Columns and types; raises :class:`BadInputError` if there is no row to tell them from."""
        return self._first().schema

    def peek(self, rows: int = PEEK_ROWS, columns: Sequence[str] | None = None) -> Any:
        """The first ``rows`` rows as a table; consumes nothing."""
        taken, left = [], rows
        for chunk in self._run(keep=True):
            taken.append(chunk.slice(0, left))
            left -= taken[-1].num_rows
            if left <= 0:
                break
        names = self._wanted(columns)
        return pa.Table.from_batches(taken, schema=self.schema()).select(names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """One pass over all rows."""
        if self._spent:
            raise BadInputError("a stream can be read only once", place=self._origin, remedy="give a table")
        names = self._wanted(columns)
        key = self._identity()
        self._spent = self._once
        self._bytes = 0
        return self._pass(names, key)

    def _pass(self, names: list[str], key: int) -> Iterator[Batch]:
        offset = 0
        for chunk in self._run(keep=False):
            for part in sliced(Piece(chunk.select(names), offset, None), self._batch_rows):
                self._bytes += part.table.nbytes
                yield Batch(part.table, self._origin, key, part.offset)
            offset += chunk.num_rows
        if offset == 0:
            raise BadInputError("no data rows", place=self._origin, remedy="give a table with rows")

    def _run(self, *, keep: bool) -> Iterator[Any]:
        """All chunks from the first; of a stream, those read while ``keep`` are read again later."""
        if not self._once:
            yield from self._chunks(self._batch_rows)
            return
        if self._stream is None:
            self._stream = self._chunks(self._batch_rows)
        if keep:
            yield from list(self._kept)
            for chunk in self._stream:
                self._kept.append(chunk)
                yield chunk
            return
        kept, self._kept = self._kept, []
        yield from kept
        yield from self._stream

    def _first(self) -> Any:
        first = next(self._run(keep=True), None)
        if first is None:
            raise BadInputError("no data rows", place=self._origin, remedy="give a table with rows")
        return first

    def _wanted(self, columns: Sequence[str] | None) -> list[str]:
        available = list(self.schema().names)
        for name in columns or ():
            if name not in available:
                raise BadInputError.unknown_column(name, available, place=self._origin)
        return available if columns is None else list(dict.fromkeys(columns))

    def _identity(self) -> int:
        """The name's hash, or that of the first 8,192 rows and the row count (where known): never an address."""
        if self._key is None:
            if self._named:
                self._key = content_key(self._origin, 0, b"", b"")
            else:
                head = self.peek(_KEY_ROWS).combine_chunks().replace_schema_metadata(None)
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, head.schema) as writer:
                    writer.write_table(head)
                digest = hashlib.blake2b(sink.getvalue(), digest_size=8, salt=str(self._length).encode()[:16])
                self._key = int.from_bytes(digest.digest(), "little")
        return self._key


def _chunks_of(data: Any, origin: str) -> tuple[Chunks, bool]:
    """How to cut ``data`` into record batches, and whether that can be done only once."""
    if isinstance(data, pa.RecordBatchReader):
        return lambda _: _nonempty(data), True
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        return lambda rows: _nonempty(table.to_batches(max_chunksize=rows)), False
    if hasattr(data, "tocsr"):
        return _sparse_chunks(data.tocsr()), False
    if isinstance(data, np.ndarray) or (hasattr(data, "__array__") and not hasattr(data, "columns")):
        return _array_chunks(np.asarray(data), origin), False
    if type(data).__module__.partition(".")[0] == "pandas":
        return _pandas_chunks(data, origin), False
    if hasattr(data, "collect_schema") and hasattr(data, "collect"):
        data = data.collect()
    if hasattr(data, "__arrow_c_stream__"):
        # Frames export themselves again and again; a bare stream does so once.
        once = not hasattr(data, "columns") and not hasattr(data, "schema")
        return lambda _: _nonempty(pa.RecordBatchReader.from_stream(data)), once
    raise BadInputError(
        f"cannot read rows from {type(data).__name__}",
        place=origin,
        remedy="give an array, frame or Arrow table",
    )


def _nonempty(batches: Any) -> Iterator[Any]:
    return (batch for batch in batches if batch.num_rows)


def _array_chunks(array: Any, origin: str) -> Chunks:
    if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] == 0:
        what = f"an array of shape {array.shape} and type {array.dtype}"
        raise BadInputError(
            f"{what} is no table of numbers", place=origin, remedy="give rows by columns of numbers"
        )

    def chunks(rows: int) -> Iterator[Any]:
        step = rows_that_fit(rows, 8.0 * array.shape[1])
        return (vector_batch(array[i : i + step]) for i in range(0, len(array), step))

    return chunks


def _sparse_chunks(matrix: Any) -> Chunks:
    def chunks(rows: int) -> Iterator[Any]:
        step = rows_that_fit(rows, 8.0 * matrix.shape[1])
        return (vector_batch(matrix[i : i + step].toarray()) for i in range(0, matrix.shape[0], step))

    return chunks


def _pandas_chunks(frame: Any, origin: str) -> Chunks:
    frame = frame.to_frame() if not hasattr(frame, "columns") else frame
    named = frame.set_axis([str(c) for c in frame.columns], axis=1)
    try:
        schema = pa.Schema.from_pandas(named, preserve_index=False).remove_metadata()
    except (pa.ArrowException, TypeError) as error:
        raise _mixed(error, origin) from error

    def chunks(rows: int) -> Iterator[Any]:
        for i in range(0, len(named), rows):
            try:
                part = named.iloc[i : i + rows]
                yield pa.RecordBatch.from_pandas(
                    part, schema=schema, preserve_index=False
                ).replace_schema_metadata(None)
            except (pa.ArrowException, TypeError) as error:
                raise _mixed(error, origin) from error

    return chunks


def _mixed(error: Exception, origin: str) -> BadInputError:
    text = " ".join(str(a) for a in error.args)
    return BadInputError(
        f"a column holds values of several types ({text[:160]})",
        place=origin,
        remedy="give each column one type",
    )
